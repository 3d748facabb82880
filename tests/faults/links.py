"""The two directions between a follower and its leader, one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from zkdiscovery.testing import FaultProxy, ZookeeperEnsemble, ZookeeperMember
from zkdiscovery.testing.relay import Mode


class FollowerLink:
    """What a follower and its leader say to each other, on an ensemble of local processes."""

    def __init__(self, ensemble: ZookeeperEnsemble, follower: ZookeeperMember, leader: ZookeeperMember) -> None:
        places = ensemble.members.index(follower), ensemble.members.index(leader)
        self._link = cast("FaultProxy", ensemble._links[places][0])  # the follower connects; the other one is for votes

    def watch(self, action: Callable[[bytes], None]) -> None:
        """Call `action` with whatever the follower says, before it is passed on; on the link's thread."""

        def look(chunk: bytes) -> bytes:
            action(chunk)
            return chunk

        self._link.alter("client_to_server", look)

    def unwatch(self) -> None:
        """Watch no more."""
        self._link.alter("client_to_server", bytes)

    def hold_from_leader(self) -> None:
        """What the leader says waits: pings, proposals and answers. What the follower says passes."""
        self._link._set_modes(Mode.FLOW, Mode.HOLD)

    def lose_to_leader(self) -> None:
        """What the leader said arrives. What the follower says from now on is lost; `heal` ends the connection."""
        self._link._set_modes(Mode.SWALLOW, Mode.FLOW)

    def pass_on(self) -> None:
        """Both directions pass, and what was held arrives."""
        self._link._set_modes(Mode.FLOW, Mode.FLOW)

    def lose(self) -> None:
        """All is lost from now on."""
        self._link.blackhole()

    def heal(self) -> None:
        """Both directions pass."""
        self._link.heal()
