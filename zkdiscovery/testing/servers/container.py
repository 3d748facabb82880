"""ZooKeeper in a container, through testcontainers.

The image is that of `ZKDISCOVERY_ZOOKEEPER_IMAGE`, else `zookeeper:VERSION` where a version is wanted, else
`zookeeper:3.9`. It takes its settings from the official image's variables (`ZOO_TICK_TIME`,
`ZOO_4LW_COMMANDS_WHITELIST`, `ZOO_ADMINSERVER_ENABLED`, `ZOO_MAX_CLIENT_CNXNS`, `ZOO_CFG_EXTRA`; for an ensemble
`ZOO_INIT_LIMIT`, `ZOO_SYNC_LIMIT`, `ZOO_MY_ID` and `ZOO_SERVERS`) and listens on port 2181.

Guarantees: the container and its data are removed when this process ends, however it ends, whether testcontainers'
own reaper (Ryuk) runs or not.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing.ports import free_port
from zkdiscovery.testing.servers import engine
from zkdiscovery.testing.servers.source import Source
from zkdiscovery.testing.servers.supervisor import Supervisor

DEFAULT_VERSION = "3.9"

PORT = 2181  # inside the container
_VARIABLES = {
    "tickTime": "ZOO_TICK_TIME",
    "4lw.commands.whitelist": "ZOO_4LW_COMMANDS_WHITELIST",
    "maxClientCnxns": "ZOO_MAX_CLIENT_CNXNS",
    "admin.enableServer": "ZOO_ADMINSERVER_ENABLED",
    "initLimit": "ZOO_INIT_LIMIT",
    "syncLimit": "ZOO_SYNC_LIMIT",
}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_API_LIMIT = 30  # seconds for one answer of the engine
_PULL_LIMIT = 300.0  # seconds
_STOP_GRACE = 10  # seconds


class NoContainer(NoServerForTests):
    """No container is available.

    Attributes:
        brief: why, in a few words; the message tells more.
    """

    def __init__(self, brief: str, detail: object) -> None:
        super().__init__(f"{brief}: {detail}")
        self.brief = brief


class NoEngine(NoContainer):
    """There is no Docker engine at all, which needs no message where another source serves."""


class Container(Source):
    """A ZooKeeper in a container that is published on one port of its host: `port`; None: a free one.

    `version` is that of the official image; `environment` are further variables for the image.

    Attributes:
        endpoint: where the Docker engine is.
        docker: testcontainers' client of it.

    Raises:
        NoEngine: no Docker engine is there.
        NoContainer: an engine is there but can't be used, or the image can't be had; says why.
    """

    def __init__(
        self,
        config: Mapping[str, str],
        notify: Callable[[str], None],
        port: int | None = None,
        *,
        version: str | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.endpoint = engine.find_endpoint()
        _expect_engine(self.endpoint)
        try:
            from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - slow, and optional
        except ImportError as error:
            raise NoContainer(
                "the package testcontainers can't be imported", f"{error}: pip install 'zkdiscovery[testing]'"
            ) from None
        extra = " ".join(f"{key}={value}" for key, value in config.items() if key not in _VARIABLES)
        name = f"zkdiscovery-test-{secrets.token_hex(6)}"
        try:
            self._wrapper: Any = DockerContainer(
                os.environ.get("ZKDISCOVERY_ZOOKEEPER_IMAGE") or f"zookeeper:{version or DEFAULT_VERSION}",
                docker_client_kw={"timeout": _API_LIMIT},
                name=name,
                env={
                    **{variable: config[key] for key, variable in _VARIABLES.items() if key in config},
                    "ZOO_CFG_EXTRA": extra,
                    "JVMFLAGS": os.environ.get("JVMFLAGS", ""),  # as a local process has it
                    **environment,
                },
            )
        except Exception as error:
            raise NoContainer(f"the Docker engine at {self.endpoint} can't be used", error) from error
        self.docker = self._wrapper.get_docker_client()
        self._image = self._wrapper.image
        try:
            _pull(self.docker.client, self._image, notify)
        except BaseException:
            self.docker.client.close()
            raise
        self._supervisor = Supervisor()
        self._supervisor.at_end([sys.executable, "-I", "-S", engine.PROGRAM, self.endpoint, "container", name])
        self._name = name
        self._created = False
        self._wanted_port = port
        self.move()

    def describe(self, version: str) -> str:
        """Describe the server in words."""
        return f"container (ZooKeeper {version}, image {self._image})"

    def move(self) -> None:
        """Choose another port, before a start."""
        self._remove()
        self._port = self._wanted_port or free_port()
        self.hosts = f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Create the container if there is none, and start it.

        Raises:
            NoContainer: the engine refuses.
        """
        try:
            if self._created:
                self.container.start()
            else:
                self._created = True
                self._wrapper.ports = {f"{PORT}/tcp": self._published()}
                self._wrapper.start()
            self.hosts = self._locate()
        except Exception as error:
            raise NoContainer(f"the container of {self._image} can't be started", error) from error

    def wait_ended(self, timeout: float) -> bool:
        """Wait `timeout` seconds; return whether the container has ended."""
        time.sleep(timeout)
        self.container.reload()
        return self.container.status in ("exited", "dead")

    def stop(self) -> None:
        """End the server in order, by force after 10 s."""
        self.container.stop(timeout=_STOP_GRACE)

    def kill(self) -> None:
        """End the server with SIGKILL, if it runs."""
        if not self.wait_ended(0.0):
            self.container.kill()
            self.container.wait(timeout=_STOP_GRACE)

    def pause(self) -> None:
        """Freeze the container."""
        self.container.pause()

    def resume(self) -> None:
        """Resume the container."""
        self.container.unpause()

    def wipe(self) -> None:
        """Remove the ended container with its data; the next start creates a new one."""
        self._remove()

    def log_tail(self) -> str:
        """The last lines of the server's log."""
        log: bytes = self.container.logs(tail=20)
        return log.decode("utf-8", "replace")

    def close(self) -> None:
        """Remove the container and its data."""
        self._supervisor.close()
        self.docker.client.close()

    @property
    def container(self) -> Any:
        """The container, once it is created."""
        return self._wrapper.get_wrapped_container()

    def _published(self) -> tuple[str, int] | int:
        """The port on the engine's host: on loopback, unless the engine is reached by another address."""
        host = _host_override()
        if not host and self.docker.get_connection_mode().value == "docker_host":
            host = self.docker.host()
        return ("127.0.0.1", self._port) if host in _LOOPBACK else self._port

    def _locate(self) -> str:
        """The address of the started container, by testcontainers' rules, which hold for remote engines too."""
        if host := _host_override():
            return f"{host}:{self._port}"
        host = self._wrapper.get_container_host_ip()
        # By number, because `localhost` may mean ::1 first, where nothing is published.
        return f"{'127.0.0.1' if host == 'localhost' else host}:{self._wrapper.get_exposed_port(PORT)}"

    def _remove(self) -> None:
        if self._created:
            engine.remove_container(self.endpoint, self._name)
            self._created = False


def _host_override() -> str | None:
    """The host of published ports that testcontainers is configured with."""
    return os.environ.get("TC_HOST") or os.environ.get("TESTCONTAINERS_HOST_OVERRIDE")


def _expect_engine(endpoint: str) -> None:
    try:
        engine.ping(endpoint)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NoEngine(f"no Docker engine at {endpoint}", error) from None
    except (OSError, ValueError) as error:
        raise NoContainer(f"the Docker engine at {endpoint} can't be used", error) from None


def _pull(docker: Any, image: str, notify: Callable[[str], None]) -> None:
    """Get the image if the engine does not have it, within 300 s."""
    from docker.errors import ImageNotFound  # noqa: PLC0415 - comes with testcontainers

    problem = f"the image {image} can't be pulled"
    try:
        with contextlib.suppress(ImageNotFound):
            docker.images.get(image)
            return
        notify(f"pulling the image {image} for tests")
        deadline = time.monotonic() + _PULL_LIMIT
        for progress in docker.api.pull(*_repository_and_tag(image), stream=True, decode=True):
            if "error" in progress:
                raise NoContainer(problem, progress["error"])
            if time.monotonic() > deadline:
                raise NoContainer(problem, f"it is not here after {_PULL_LIMIT:g} s")
    except NoContainer:
        raise
    except Exception as error:
        raise NoContainer(problem, error) from error


def _repository_and_tag(image: str) -> tuple[str, str | None]:
    """Split `zookeeper:3.9` into its parts; a digest stays with the repository."""
    repository, colon, tag = image.rpartition(":")
    if not colon or "/" in tag or "@" in image:
        return image, None if "@" in image else "latest"
    return repository, tag
