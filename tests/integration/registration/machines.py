"""Machines like Docker hosts: each with private addresses that repeat on the others, a host name and a boot id.

A machine is a router, which stands for the host's bridge, and containers behind it, each a network namespace. Nothing
leads out of it but a relay to ZooKeeper at the router's address: it goes through a socket in the file system, which
all network namespaces share.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.integration.child import Child

GATEWAY = "172.31.99.1"  # the router's address on each machine
FIRST = 2  # last part of the first container's address

_RELAY = """
import socket, sys
sys.path.insert(0, sys.argv[4])
from tests.integration.registration.machines import relay
path, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
def towards():
    side = socket.socket(socket.AF_UNIX)
    side.connect(path)
    return side
relay(socket.create_server((host, port)), towards)
print("relaying")
"""


def relay(listener: socket.socket, towards) -> None:  # type: ignore[no-untyped-def]
    """Carry what comes to a listener to `towards()`, in the background."""

    def carry(near: socket.socket, far: socket.socket) -> None:
        with near, far, contextlib.suppress(OSError), selectors.DefaultSelector() as selector:
            selector.register(near, selectors.EVENT_READ, far)
            selector.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in selector.select():
                    part = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not part:
                        return
                    key.data.sendall(part)

    def accept() -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = listener.accept()
                threading.Thread(target=carry, args=(near, towards()), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


class Machines:
    """Makes machines; `close` removes them.

    Args:
        directory: for files.
        hosts: `host:port` of ZooKeeper on this machine.
    """

    def __init__(self, directory: Path, hosts: str) -> None:
        self._directory = directory
        self._stack = contextlib.ExitStack()
        self._count = 0
        host, _, port = hosts.rpartition(":")
        self._listener = socket.socket(socket.AF_UNIX)
        self._path = str(directory / "zookeeper")
        self._listener.bind(self._path)
        self._listener.listen()
        self._stack.callback(self._listener.close)
        self._stack.callback(self._listener.shutdown, socket.SHUT_RDWR)
        relay(self._listener, lambda: socket.create_connection((host, int(port))))
        self.zookeeper = f"{GATEWAY}:2181"  # as seen from every container

    def machine(self, names: Sequence[str]) -> list[list[str]]:
        """A machine with a container for each host name: the commands that run something in them."""
        self._count += 1
        prefix = f"zkd{os.getpid()}-{self._count}"
        router = self._namespace(f"{prefix}-r")
        self._run(f"ip -n {router} link add br0 type bridge")
        self._run(f"ip -n {router} addr add {GATEWAY}/24 dev br0")
        self._run(f"ip -n {router} link set br0 up")
        boot_id = self._directory / f"boot-{self._count}"
        boot_id.write_text(f"{uuid.uuid4()}\n")
        containers = []
        for number, name in enumerate(names, FIRST):
            namespace = self._namespace(f"{prefix}-{number}")
            self._run(f"ip -n {router} link add port{number} type veth peer name eth0 netns {namespace}")
            self._run(f"ip -n {router} link set port{number} master br0 up")
            self._run(f"ip -n {namespace} addr add 172.31.99.{number}/24 dev eth0")
            self._run(f"ip -n {namespace} link set eth0 up")
            self._run(f"ip -n {namespace} route add default via {GATEWAY}")
            # What Docker's overlay network adds: the containers' own network, to which the default route does not lead.
            self._run(f"ip -n {router} link add over{number} type veth peer name eth1 netns {namespace}")
            self._run(f"ip -n {router} link set over{number} up")
            script = f'hostname {name}; mount --bind {boot_id} /proc/sys/kernel/random/boot_id; exec "$@"'
            containers.append(
                ["ip", "netns", "exec", namespace, "unshare", "--uts", "--mount", "sh", "-ec", script, "sh"]
            )
        child = Child(_RELAY, self._path, GATEWAY, "2181", str(Path.cwd()), within=["ip", "netns", "exec", router])
        self._stack.enter_context(child)
        child.wait_line("relaying")
        return containers

    def join_overlay(self, container: Sequence[str], address: str) -> None:
        """Give a container an address on a second network."""
        subprocess.run([*container, "ip", "addr", "add", f"{address}/24", "dev", "eth1"], check=True)
        subprocess.run([*container, "ip", "link", "set", "eth1", "up"], check=True)

    def close(self) -> None:
        self._stack.close()

    def _namespace(self, name: str) -> str:
        self._run(f"ip netns add {name}")
        self._stack.callback(self._run, f"ip netns del {name}")
        self._run(f"ip -n {name} link set lo up")
        return name

    def _run(self, command: str) -> None:
        subprocess.run(command.split(), check=True, capture_output=True, text=True)


@contextlib.contextmanager
def machines(directory: Path, hosts: str) -> Iterator[Machines]:
    """Skips the test where this process may not make network namespaces."""
    made = Machines(directory, hosts)
    try:
        try:
            made._namespace(f"zkd{os.getpid()}-probe")
            made._run(f"ip -n zkd{os.getpid()}-probe link add v0 type veth peer name v1")
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", "") or str(error)
            pytest.skip(f"network namespaces need root, `ip` and veth devices: {reason.strip()}")
        yield made
    finally:
        made.close()
