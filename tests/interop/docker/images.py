"""Images of the tests. Nothing can be pulled, so each is made of what this machine has."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

from tests.interop.docker.engine import ROOT, Engine, programs

PORT = 8080  # where the programs of the images listen

# The program: busybox's web server, which tells the container's name, and serves on for $LAST seconds after SIGTERM.
_PROGRAM = """#!/bin/busybox sh
mkdir -p /www
echo "$VERSION $HOSTNAME" >/www/index.html
[ -z "$FIRST" ] || sleep "$FIRST"
httpd -f -p 8080 -h /www &
serving=$!
trap 'trap "" TERM; sleep "$LAST"; kill $serving; exit 0' TERM
while kill -0 $serving; do wait $serving; done
"""


def build_web(
    engine: Engine, tag: str, *, version: str = "1", last: float = 2.0, health: str | None = "--start-interval=300ms"
) -> str:
    """Make the image of the program, and return its id.

    Args:
        engine: the engine.
        tag: its name.
        version: the program answers it, and its container's name.
        last: seconds that it serves on after SIGTERM.
        health: further options of its health check; None: it has none.
    """
    changes = [
        *('ENTRYPOINT ["/bin/web"]', f"EXPOSE {PORT}", "ENV PATH=/bin"),
        *(f"ENV VERSION={version}", f"ENV LAST={last:g}"),
    ]  # fmt: skip
    if health is not None:
        probe = f"wget -q -O /dev/null http://127.0.0.1:{PORT}/"
        changes.append(f"HEALTHCHECK --interval=500ms --timeout=5s --start-period=10s {health} CMD {probe}")
    return engine.import_image(tag, _add_web, changes)


def build_python(engine: Engine, tag: str) -> str:
    """Make an image for this Python and its packages, and return its id; `python_mounts` are the rest of it."""

    def fill(tar: tarfile.TarFile) -> None:
        for name in ("bin", "lib", "lib64"):
            _add_link(tar, name, f"usr/{name}")
        tmp = tarfile.TarInfo("tmp")
        tmp.type, tmp.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(tmp)

    changes = [
        f"WORKDIR {ROOT}",
        f"ENV PYTHONPATH={ROOT} PYTHONDONTWRITEBYTECODE=1",
        f'ENTRYPOINT ["{sys.executable}"]',
    ]
    return engine.import_image(tag, fill, changes)


def python_mounts() -> list[str]:
    """The options by which a container sees this machine's libraries, this Python and this package."""
    places = {"/usr", sys.base_prefix, sys.prefix, str(ROOT)}
    return [f"--volume={place}:{place}:ro" for place in sorted(places) if place == "/usr" or place[:5] != "/usr/"]


def _add_web(tar: tarfile.TarFile) -> None:
    busybox = programs() / "bin" / "busybox"
    tar.add(busybox if busybox.exists() else Path("/bin/busybox"), "bin/busybox", filter=_executable)
    for applet in ("sh", "httpd", "wget", "sleep", "mkdir", "kill", "pidof"):
        _add_link(tar, f"bin/{applet}", "busybox")
    program = tarfile.TarInfo("bin/web")
    program.size, program.mode = len(_PROGRAM), 0o755
    tar.addfile(program, io.BytesIO(_PROGRAM.encode()))


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    link = tarfile.TarInfo(name)
    link.type, link.linkname = tarfile.SYMTYPE, target
    tar.addfile(link)


def _executable(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mode = 0o755
    return info
