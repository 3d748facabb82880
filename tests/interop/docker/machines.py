"""Bridges as processes, and other machines as network namespaces."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.interop.docker.engine import Engine
from tests.support import LIMIT

T = 4.0  # seconds, the session timeout of bridges that are processes


@contextmanager
def bridge(engine: Engine, hosts: str, namespace: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command, as a process."""
    environment = {
        **os.environ, "DOCKER_HOST": engine.host, "ZKDISCOVERY_HOSTS": hosts, "ZKDISCOVERY_NAMESPACE": namespace,
        "ZKDISCOVERY_SESSION_TIMEOUT": f"{T:g}",
    }  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "zkdiscovery", "bridge", "docker"], env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait(LIMIT)


@contextmanager
def network_namespace() -> Iterator[str]:
    """Another machine, as far as a network is concerned: its path."""
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up; echo; exec sleep 3600"], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        yield f"/proc/{holder.pid}/ns/net"
    finally:
        holder.kill()
        holder.wait(LIMIT)
        holder.stdout.close()


@contextmanager
def linked_namespace(here: str, there: str) -> Iterator[tuple[str, str]]:
    """Another machine on a network with this one: its path, and the name of the link here, which cuts it off.

    Args:
        here: the address of this machine, with the length of its prefix.
        there: that of the other one.
    """
    with network_namespace() as path:
        link = "cable"
        holder = path.split("/")[2]
        inside = ["nsenter", f"--net={path}", "ip"]
        for command in (
            ["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", holder],
            ["ip", "address", "add", here, "dev", link],
            ["ip", "link", "set", link, "up"],
            [*inside, "address", "add", there, "dev", "eth0"],
            [*inside, "link", "set", "eth0", "up"],
        ):
            subprocess.run(command, check=True, timeout=LIMIT)
        yield path, link


def switch(link: str, state: str) -> None:
    """Set a link up or down."""
    subprocess.run(["ip", "link", "set", link, state], check=True, timeout=LIMIT)
