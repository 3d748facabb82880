"""Make a container image without an engine: an archive as `docker save` writes it, which engines load.

    python3 scripts/make_image.py ARCHIVE NAME LAYER... <INSTRUCTIONS

A LAYER is a tar archive, or a directory whose files become root's. INSTRUCTIONS are those of a Dockerfile that set how
the image runs: CMD, ENTRYPOINT, ENV, EXPOSE, USER and WORKDIR, the first two as lists.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def make_image(archive: Path, name: str, layers: Iterable[Path], instructions: Iterable[str]) -> None:
    """Write the archive of an image."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive, "w") as image:
        tars = [_tar_of(layer, Path(folder) / f"{number}.tar") for number, layer in enumerate(layers)]
        digests = [_digest(tar) for tar in tars]
        made = {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": configuration(instructions),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
            "history": [{"created_by": "make_image.py"} for _ in digests],
        }
        config = json.dumps(made).encode()
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        names = [f"{digest}.tar" for digest in digests]
        manifest = [{"Config": config_name, "RepoTags": [name], "Layers": names}]
        for tar, layer_name in zip(tars, names, strict=True):
            image.add(tar, layer_name)
        _add(image, config_name, config)
        _add(image, "manifest.json", json.dumps(manifest).encode())


def configuration(instructions: Iterable[str]) -> dict[str, Any]:
    """Return the configuration of an image that these instructions ask for."""
    config: dict[str, Any] = {"Env": []}
    for line in instructions:
        word, _, rest = line.strip().partition(" ")
        if word in {"CMD", "ENTRYPOINT"}:
            config[word.title()] = json.loads(rest)
        elif word == "ENV":
            config["Env"].append(rest)
        elif word == "EXPOSE":
            config.setdefault("ExposedPorts", {})[f"{rest}/tcp"] = {}
        elif word == "USER":
            config["User"] = rest
        elif word == "WORKDIR":
            config["WorkingDir"] = rest
        elif word:
            raise ValueError(f"not an instruction of how an image runs: {line.strip()}")
    return config


def _tar_of(layer: Path, target: Path) -> Path:
    if not layer.is_dir():
        return layer
    with tarfile.open(target, "w") as tar:
        tar.add(layer, ".", filter=_of_root)
    return target


def _of_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add(image: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    image.addfile(info, io.BytesIO(data))


if __name__ == "__main__":
    make_image(Path(sys.argv[1]), sys.argv[2], [Path(layer) for layer in sys.argv[3:]], sys.stdin)
