"""The members of an ensemble as processes on loopback.

All traffic between them passes through fault proxies, one for each direction and port.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from zkdiscovery.testing.ports import free_port, hold_port
from zkdiscovery.testing.proxy.proxy import FaultProxy
from zkdiscovery.testing.proxy.traffic import DIRECTIONS, Mode
from zkdiscovery.testing.servers.installation import Installation, find_installation
from zkdiscovery.testing.servers.local import LocalProcess


class _MemberLink(FaultProxy):
    """The way from one member to a port of another one.

    A member's first message of an election says where it accepts connections, and a member with a larger number
    connects back to that address. It is replaced by the address of the link back, so that no traffic avoids the links.
    """

    def __init__(self, port: int) -> None:
        # Patient: one that is elected takes a moment to listen; a connection that is taken and closed, where a real
        # network would refuse it, sends its followers back into the election.
        super().__init__(f"127.0.0.1:{port}", patient=True)
        self.port = int(self.address.rpartition(":")[2])

    def replace_port(self, sent: int, instead: int) -> None:
        """Replace a port in what is sent, by one with as many digits."""
        before, after = f"127.0.0.1:{sent}".encode(), f"127.0.0.1:{instead}".encode()
        self.alter("client_to_server", lambda chunk: chunk.replace(before, after))

    def heal(self) -> None:
        """Pass everything on, altered as before."""

        def heal() -> None:
            self._relay.traffic.modes = dict.fromkeys(DIRECTIONS, Mode.FLOW)
            self._relay.close_links(lossy_only=True)

        self._relay.call(heal)


class _LocalMember(LocalProcess):
    """One server of an ensemble, in a process."""

    def __init__(
        self, installation: Installation, config: Mapping[str, str], number: int, ports: Sequence[int]
    ) -> None:
        super().__init__(installation, config)
        self._number = number
        # A follower does not listen on the port for followers; if somebody took it, it could never lead.
        self._held_ports = [held for port in ports if (held := hold_port(port)) is not None]

    def start(self) -> None:
        self._data.mkdir(exist_ok=True)
        (self._data / "myid").write_text(str(self._number))
        super().start()

    def close(self) -> None:
        super().close()
        for held in self._held_ports:
            held.close()


def local_ensemble(
    size: int, settings: Mapping[str, str], version: str | None
) -> tuple[list[LocalProcess], dict[tuple[int, int], Sequence[FaultProxy]]]:
    """The sources of `size` members, not started, and their links by the places of who connects and to whom."""
    installation = find_installation(version)
    places = range(size)
    ports = [(free_port(), free_port()) for _ in places]  # for followers, and for elections
    with ExitStack() as stack:  # an error removes what exists
        links = {
            (here, there): [stack.enter_context(_MemberLink(port)) for port in ports[there]]
            for here, there in itertools.permutations(places, 2)
        }
        for (here, there), (_, elections) in links.items():
            elections.replace_port(ports[here][1], links[there, here][1].port)
        sources: list[LocalProcess] = []
        for here in places:
            config = dict(settings)
            for there in places:
                seen = ports[there] if here == there else [link.port for link in links[here, there]]
                config[f"server.{there + 1}"] = f"127.0.0.1:{seen[0]}:{seen[1]}"
            sources.append(_LocalMember(installation, config, here + 1, ports[here]))
            stack.callback(sources[-1].close)
        stack.pop_all()
    return sources, {pair: tuple(both) for pair, both in links.items()}
