"""The members of an ensemble as containers.

Each two of them share a private network, over which alone they talk. To cut them from each other, one of them is taken
off it. Clients reach each member over its published port. Members find each other by `/etc/hosts`, because ZooKeeper
never resolves a name again that could not be resolved once.
"""

from __future__ import annotations

import ipaddress
import itertools
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from zkdiscovery.testing.servers import engine
from zkdiscovery.testing.servers.container import PORT, Container
from zkdiscovery.testing.servers.supervisor import Supervisor


class _ContainerMember(Container):
    """One member, which joins its networks when its container is created."""

    def __init__(
        self,
        config: Mapping[str, str],
        notify: Callable[[str], None],
        version: str | None,
        environment: Mapping[str, str],
        name: str,
    ) -> None:
        super().__init__(config, notify, version=version, environment=environment)
        self.name = name
        self._networks: list[_Network] = []
        # Its own name, too: the messages of an election name all members, and resolving a name that does not exist may
        # take 10 s, in which the member handles nothing else.
        self._hosts = {name: "127.0.0.1"}

    def add_network(self, network: _Network, name: str, address: str) -> None:
        """Join a network when the container is created; `name` is at `address` on it."""
        self._networks.append(network)
        self._hosts[name] = address

    def create(self) -> None:
        """Create the container on its networks, so that no server looks for the others before it can reach them."""
        self._created = True
        # What testcontainers does to start it; it can't do the two things one by one.
        self._wrapper._container = self.docker.client.containers.create(  # noqa: SLF001 - see above
            self._image,
            name=self._name,
            environment=self._wrapper.env,
            ports={f"{PORT}/tcp": self._published()},
            extra_hosts=self._hosts,
        )
        for network in self._networks:
            network.join(self)

    def start(self) -> None:
        """Start the container, a new one if its data were wiped."""
        if not self._created:
            self.create()
        super().start()


class _Network:
    """The private network of two members."""

    def __init__(self, one: _ContainerMember, other: _ContainerMember) -> None:
        name = f"zkdiscovery-test-{secrets.token_hex(6)}"
        self._supervisor = Supervisor()
        self._supervisor.at_end([sys.executable, "-I", "-S", engine.PROGRAM, one.endpoint, "network", name])
        self._network, subnet = _private_network(one.docker.client, name)
        addresses = subnet.hosts()
        next(addresses)  # the engine's own
        self._addresses = {one: str(next(addresses)), other: str(next(addresses))}
        self._leaves = other
        self._cut = False
        one.add_network(self, other.name, self._addresses[other])
        other.add_network(self, one.name, self._addresses[one])

    def join(self, member: _ContainerMember) -> None:
        """Connect a member to it, unless the member was cut off."""
        if not (self._cut and member is self._leaves):
            self._network.connect(member.container, ipv4_address=self._addresses[member])

    def blackhole(self) -> None:
        """Disconnect one of the two: what they send each other from now on is lost."""
        if not self._cut:
            self._cut = True
            self._network.disconnect(self._leaves.container, force=True)

    def heal(self) -> None:
        """Connect it again."""
        if self._cut:
            self._cut = False
            self.join(self._leaves)

    def close(self) -> None:
        """Remove the network, which the members have left."""
        self._supervisor.close()


def _private_network(docker: Any, name: str) -> tuple[Any, ipaddress.IPv4Network]:
    """A network without a way out, so that a published port stays with the container's other network; its addresses.

    Fixed addresses can only be had where one has named the range; the engine knows which one is free.
    """
    from docker.types import IPAMConfig, IPAMPool  # noqa: PLC0415 - comes with testcontainers

    draft = docker.networks.create(name, internal=True)
    draft.reload()
    subnet = draft.attrs["IPAM"]["Config"][0]["Subnet"]
    draft.remove()
    pool = IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)])
    return docker.networks.create(name, internal=True, ipam=pool), ipaddress.IPv4Network(subnet)


def container_ensemble(
    size: int, settings: Mapping[str, str], notify: Callable[[str], None], version: str | None
) -> tuple[list[_ContainerMember], dict[tuple[int, int], Sequence[_Network]]]:
    """The sources of `size` members, not started, and their links by the places of the two members.

    Raises:
        NoContainer: no engine is there or can be used, or the image can't be had; says why.
    """
    names = [f"zk{number}" for number in range(1, size + 1)]
    config = {**settings, "quorumListenOnAllIPs": "true"}
    sources: list[_ContainerMember] = []
    with ExitStack() as leaving, ExitStack() as ending:  # an error removes what exists, members first
        for number, name in enumerate(names, start=1):
            # A member tells the others its own address, and they connect back to it. If it is 0.0.0.0, they connect to
            # the member's name instead.
            known = ["0.0.0.0" if other == name else other for other in names]  # noqa: S104 - in its container
            servers = [f"server.{at}={host}:2888:3888;2181" for at, host in enumerate(known, start=1)]
            environment = {"ZOO_MY_ID": str(number), "ZOO_SERVERS": " ".join(servers)}
            sources.append(_ContainerMember(config, notify, version, environment, name))
            ending.callback(sources[-1].close)
        links: dict[tuple[int, int], Sequence[_Network]] = {}
        for here, there in itertools.combinations(range(size), 2):
            network = _Network(sources[here], sources[there])
            leaving.callback(network.close)
            links[here, there] = [network]
        for source in sources:
            source.create()
        ending.pop_all()
        leaving.pop_all()
    return sources, links
