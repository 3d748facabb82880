"""The script that makes images without an engine."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "scripts" / "make_image.py"


def make_image(archive: Path, name: str, *layers: Path, instructions: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, archive, name, *layers],
        input=instructions,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_archive_as_engines_load_it(tmp_path: Path) -> None:
    for layer in ("one", "two"):
        (tmp_path / layer / "app").mkdir(parents=True)
        (tmp_path / layer / "app" / layer).write_text(layer)
    instructions = 'ENV A=b=c d\nENV E=f\nEXPOSE 80\nUSER 7\nWORKDIR /app\nENTRYPOINT ["x", "-y"]\nCMD ["z"]\n'
    archive = tmp_path / "image.tar"
    done = make_image(archive, "shop/web:1", tmp_path / "one", tmp_path / "two", instructions=instructions)
    assert done.returncode == 0, done.stderr
    with tarfile.open(archive) as image:

        def read(name: str) -> bytes:
            file = image.extractfile(name)
            assert file is not None
            return file.read()

        (manifest,) = json.loads(read("manifest.json"))
        config = json.loads(read(manifest["Config"]))
        layers = [read(name) for name in manifest["Layers"]]
        with tarfile.open(fileobj=image.extractfile(manifest["Layers"][1])) as layer:
            file = layer.getmember("./app/two")
    assert manifest["RepoTags"] == ["shop/web:1"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    assert config["config"] == {
        "Env": ["A=b=c d", "E=f"],
        "ExposedPorts": {"80/tcp": {}},
        "User": "7",
        "WorkingDir": "/app",
        "Entrypoint": ["x", "-y"],
        "Cmd": ["z"],
    }
    assert (file.uid, file.gid, file.uname) == (0, 0, "root")


def test_an_instruction_that_it_does_not_know(tmp_path: Path) -> None:
    done = make_image(tmp_path / "image.tar", "web:1", instructions="RUN rm -rf /\n")
    assert done.returncode != 0
    assert "not an instruction of how an image runs: RUN rm -rf /" in done.stderr
