"""Python as the first process of a real container, whose files are those of this machine, so that nothing is pulled."""

from __future__ import annotations

import io
import secrets
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from tests.support import LIMIT
from zkdiscovery.testing.servers import engine

_IMAGE = "zkdiscovery-test-machine"


class Machine:
    """An image that has nothing but the links of this machine's root; containers get its folders, not writable.

    Attributes:
        docker: the client of the engine.
        image: the image.
    """

    def __init__(self, docker: Any) -> None:
        self.docker = docker
        self.image = f"{_IMAGE}:{secrets.token_hex(4)}"
        archive = io.BytesIO()
        folders = {"/usr", sys.prefix, sys.base_prefix}
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path in map(Path, ("/bin", "/sbin", "/lib", "/lib32", "/lib64")):
                if path.is_symlink():
                    tar.add(path, path.name)
                elif path.is_dir():
                    folders.add(str(path))
        self.folders = sorted(folders)
        repository, _, tag = self.image.partition(":")
        docker.api.import_image_from_data(archive.getvalue(), repository=repository, tag=tag)


@contextmanager
def machine() -> Iterator[Machine]:
    """An image like this machine. Skips the test where no engine answers."""
    endpoint = engine.find_endpoint()
    try:
        engine.ping(endpoint)
    except (OSError, ValueError) as error:
        pytest.skip(f"no Docker engine can be used here: {error}")
    docker: Any = pytest.importorskip("docker")
    client = docker.DockerClient(base_url=endpoint, timeout=LIMIT)
    try:
        made = Machine(client)
        try:
            yield made
        finally:
            client.images.remove(made.image, force=True)
    finally:
        client.close()


class FirstOfContainer:
    """Runs a Python program as process 1 of a container; signals come by way of the engine. See FirstProcess."""

    def __init__(self, machine: Machine, *command: str, folder: Path, writable: Path, env: dict[str, str]) -> None:
        mounts: Sequence[tuple[str, str]] = [*((path, "ro") for path in machine.folders), (str(folder), "ro")]
        self._container = machine.docker.containers.run(
            machine.image,
            [sys.executable, "-u", *command],
            detach=True,
            environment=env,
            network_mode="host",
            volumes=[f"{path}:{path}:{mode}" for path, mode in [*mounts, (str(writable), "rw")]],
            working_dir=str(folder),
        )

    @property
    def pid(self) -> int:
        """Its process id outside of the container."""
        self._container.reload()
        return int(self._container.attrs["State"]["Pid"])

    def signal(self, number: int) -> None:
        """Send a signal to process 1."""
        self._container.kill(signal=int(number))

    def wait(self, timeout: float = LIMIT) -> int:
        """Wait for its end; its exit status."""
        return int(self._container.wait(timeout=timeout)["StatusCode"])

    @property
    def output(self) -> str:
        """What it has printed, once it has ended."""
        return str(self._container.logs().decode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._container.remove(force=True, v=True)
