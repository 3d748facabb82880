"""Docker engines of the tests, each a process of its own, and what people type to steer them.

`scripts/isolated.sh` starts the tests, so that nothing of an engine is left behind: neither networks nor mounts, and no
process. Only its control groups are outside, and `Engine.close` removes them.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from zkdiscovery.testing.ports import free_port

ROOT = Path(__file__).parents[3]
LIMIT = 60.0  # seconds for the start of an engine, or one command, on a busy machine
_OWN_RUN = 'mount -t tmpfs tmpfs /run && exec "$0" "$@"'
_IDLE = 0.05  # seconds between two looks at an engine that starts


@functools.cache
def programs() -> Path:
    """The directory of the engine's programs, which Debian's archive has; or else where the machine has its own."""
    got = subprocess.run(
        ["sh", ROOT / "scripts" / "get_docker.sh"], capture_output=True, text=True, timeout=300, check=False
    )
    if got.returncode == 0:
        return Path(got.stdout.strip())
    installed = shutil.which("dockerd")
    if installed is None:
        raise FileNotFoundError(f"no Docker engine can be had: {got.stderr.strip()[-500:]}")
    return Path(installed).parents[1]


class Engine:
    """An engine in a `with` block.

    Args:
        directory: an empty one for its data, its socket and its log.
        namespace: the network namespace that it runs in, as a path; None: that of the tests.
        installed: it is the machine's own one, and not the current one.

    Attributes:
        host: value of DOCKER_HOST.
        address: where it listens beside that, for proxies.
    """

    def __init__(self, directory: Path, *, namespace: str | None = None, installed: bool = False) -> None:
        self.directory = directory
        self.address = f"127.0.0.1:{free_port()}"
        self.socket = directory / "socket"
        self.host = f"unix://{self.socket}"
        self.environment = {**os.environ, "DOCKER_HOST": self.host, "DOCKER_CONFIG": str(directory / "config")}
        # Engines of one Swarm name network namespaces below /run alike.
        self._enter = ["nsenter", f"--net={namespace}", "unshare", "--mount", "sh", "-c", _OWN_RUN] if namespace else []
        self._path = os.environ["PATH"] if installed else f"{programs() / 'bin'}:{os.environ['PATH']}"
        self._group = f"zkdiscovery-{secrets.token_hex(4)}"
        self._process: subprocess.Popen[bytes] | None = None
        plugins = programs() / "plugins"
        (directory / "config").mkdir(parents=True)
        (directory / "config" / "config.json").write_text(json.dumps({"cliPluginsExtraDirs": [str(plugins)]}))
        for name in ("data", "exec"):
            (directory / name).mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", directory / "data"], check=True)

    def start(self) -> Self:
        """Start it, or start it again."""
        arguments = [
            *("--host", self.host, "--host", f"tcp://{self.address}", "--tls=false"),
            *("--data-root", self.directory / "data", "--exec-root", self.directory / "exec"),
            *("--pidfile", self.directory / "pid", "--cgroup-parent", f"/{self._group}"),
            *("--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false"),
        ]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._enter, "nice", "-n", "19", "dockerd", *map(str, arguments)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**self.environment, "PATH": self._path},
            )  # fmt: skip
        end = time.monotonic() + LIMIT
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the Docker engine does not start: {self.log()[-3000:]}")
            time.sleep(_IDLE)
        return self

    def answers(self) -> bool:
        """Does it answer?"""
        if not self.socket.exists():
            return False
        return self._run("version", "--format", "{{.Server.Version}}").returncode == 0

    def stop(self) -> None:
        """End it as a service manager does: its containers end, too."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(LIMIT)

    def kill(self) -> None:
        """Kill it. Its containers stay, until it is started again."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(LIMIT)

    def log(self) -> str:
        """What it has logged."""
        return (self.directory / "log").read_text(errors="replace")

    def docker(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        """Run `docker ARGUMENTS` and return what it prints, without the blanks at the end."""
        done = self._run(*arguments, environment=environment)
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr.strip()}"
        return done.stdout.strip()

    def _run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", *arguments],
            env={**self.environment, "PATH": self._path, **(environment or {})}, cwd=self.directory,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip

    def import_image(self, tag: str, fill: Callable[[tarfile.TarFile], None], changes: Sequence[str]) -> str:
        """Make an image, and return its id: nothing can be pulled.

        Args:
            tag: its name.
            fill: adds its files.
            changes: instructions, as a Dockerfile has them.
        """
        archive = self.directory / "image.tar"
        with tarfile.open(archive, "w") as tar:
            fill(tar)
        options = [option for change in changes for option in ("--change", change)]
        return self.docker("import", *options, str(archive), tag)

    def swarm_init(self, port: int) -> None:
        """Make it the manager of a Swarm of its own, on loopback."""
        self.docker(
            "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", f"127.0.0.1:{port}",
            "--data-path-port", str(port + 1),
        )  # fmt: skip

    def remove_all(self) -> None:
        """Remove all stacks, services and containers."""
        if services := self._run("service", "ls", "--quiet").stdout.split():
            self.docker("service", "rm", *services)
        while containers := self.docker("ps", "--all", "--quiet").split():
            self._run("rm", "--force", *containers)  # some may be gone meanwhile

    def close(self) -> None:
        """End it with all its containers, and remove what it leaves."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                self.remove_all()
            self.stop()
        with contextlib.suppress(FileNotFoundError):
            for mount in sorted(_mounts_below(self.directory), reverse=True):
                subprocess.run(["umount", "--lazy", mount], check=False)
        _remove_groups(self._group)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()


def _mounts_below(directory: Path) -> Iterator[str]:
    for line in Path("/proc/mounts").read_text().splitlines():
        if (mount := line.split()[1]).startswith(f"{directory}/"):
            yield mount


def _remove_groups(name: str) -> None:
    """Remove the control groups of an engine, the innermost first."""
    for top in Path("/sys/fs/cgroup").glob(f"**/{name}"):
        for group in sorted((each for each in top.rglob("*") if each.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                group.rmdir()
        with contextlib.suppress(OSError):
            top.rmdir()


def inspected(engine: Engine, *arguments: str) -> Any:
    """What `docker inspect` says."""
    return json.loads(engine.docker("inspect", *arguments))[0]
