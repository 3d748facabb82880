"""A Docker engine's HTTP interface at its barest: find it, ask whether it answers, remove a container or a network.

It is asked before the `docker` package is imported, which is slow, and by the supervisor when the process that
started them is gone. This file is also a program for that: `python engine.py ENDPOINT container NAME` removes a
container with its data, `python engine.py ENDPOINT network NAME` a network once nothing is on it. So it needs nothing
but the standard library.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import ssl
import sys
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

PROGRAM = __file__
PING_LIMIT = 2.0  # seconds
_REMOVE_LIMIT = 20.0  # seconds
_AGAIN = 0.2  # seconds between two attempts


def find_endpoint(environment: Mapping[str, str] = os.environ, home: Path | None = None) -> str:
    """Return where the engine is, such as `unix:///var/run/docker.sock`, found as testcontainers finds it.

    That is `tc.host` in `~/.testcontainers.properties`, `DOCKER_HOST`, the current Docker context, the usual socket.
    """
    home = home or Path.home()
    return (
        _testcontainers_host(home / ".testcontainers.properties")
        or environment.get("DOCKER_HOST")
        or _context_host(environment, Path(environment.get("DOCKER_CONFIG") or home / ".docker"))
        or "unix:///var/run/docker.sock"
    )


def _testcontainers_host(properties: Path) -> str | None:
    try:
        lines = properties.read_text().splitlines()
    except OSError:
        return None
    settings = {key.strip(): value.strip() for key, found, value in (line.partition("=") for line in lines) if found}
    return settings.get("tc.host")


def _context_host(environment: Mapping[str, str], config: Path) -> str | None:
    """The endpoint of the current context; Docker keeps each under the SHA-256 of its name."""
    try:
        name = environment.get("DOCKER_CONTEXT") or json.loads((config / "config.json").read_text())["currentContext"]
        digest = hashlib.sha256(name.encode()).hexdigest()
        meta = json.loads((config / "contexts" / "meta" / digest / "meta.json").read_text())
        return str(meta["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError):
        return None


def ping(endpoint: str) -> None:
    """Return if an engine answers at the endpoint within 2 s.

    Raises:
        OSError: it does not; `PermissionError` and the like say why.
        ValueError: the endpoint is of a kind that can't be asked.
    """
    status = _request(endpoint, "GET", "/_ping", PING_LIMIT)
    if status != 200:
        raise ConnectionError(f"the Docker engine at {endpoint} answers with status {status}")


def remove_container(endpoint: str, name: str) -> None:
    """Kill and delete a container and its anonymous volumes; one that is not there is no error.

    Raises:
        OSError: the engine did not do it.
    """
    status = _request(endpoint, "DELETE", f"/containers/{urllib.parse.quote(name)}?force=true&v=true", _REMOVE_LIMIT)
    if status not in (204, 404):
        raise ConnectionError(f"the Docker engine at {endpoint} answers with status {status}")


def remove_network(endpoint: str, name: str) -> None:
    """Delete a network as soon as its last container has left it, within 20 s; one that is not there is no error.

    Raises:
        OSError: the engine did not do it.
    """
    deadline = time.monotonic() + _REMOVE_LIMIT
    while (status := _request(endpoint, "DELETE", f"/networks/{urllib.parse.quote(name)}", _REMOVE_LIMIT)) == 403:
        if time.monotonic() > deadline:
            break
        time.sleep(_AGAIN)
    if status not in (204, 404):
        raise ConnectionError(f"the Docker engine at {endpoint} answers with status {status}")


def _request(endpoint: str, method: str, path: str, timeout: float) -> int:
    connection = _connection(endpoint, timeout)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    except http.client.HTTPException as error:
        raise ConnectionError(f"what answers at {endpoint} is no Docker engine: {error!r}") from error
    finally:
        connection.close()


def _connection(endpoint: str, timeout: float) -> http.client.HTTPConnection:
    url = urllib.parse.urlsplit(endpoint)
    if url.scheme == "unix":
        return _UnixConnection(url.path, timeout)
    if url.scheme not in ("tcp", "http", "https") or not url.hostname:
        raise ValueError(f"the Docker engine at {endpoint} can't be asked here: only unix:// and tcp:// can")
    if url.scheme != "https" and not os.environ.get("DOCKER_TLS_VERIFY"):
        return http.client.HTTPConnection(url.hostname, url.port or 2375, timeout=timeout)
    certificates = Path(os.environ.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    return http.client.HTTPSConnection(url.hostname, url.port or 2376, timeout=timeout, context=context)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


if __name__ == "__main__":
    {"container": remove_container, "network": remove_network}[sys.argv[2]](sys.argv[1], sys.argv[3])
