"""The two directions between a follower and its leader, one by one."""

from __future__ import annotations

from contextlib import suppress
from typing import Self, cast

from tests.support import Recorder
from zkdiscovery.session.clock import lease_now
from zkdiscovery.testing import FaultProxy, ZookeeperEnsemble, ZookeeperMember
from zkdiscovery.testing.proxy.traffic import Mode


class FollowerLink:
    """What a follower and its leader say to each other, on an ensemble of local processes.

    As a context manager it listens to the follower: to what it passes on that has a text in it, and to its reports.
    """

    def __init__(
        self, ensemble: ZookeeperEnsemble, follower: ZookeeperMember, leader: ZookeeperMember, text: str = ""
    ) -> None:
        places = ensemble.members.index(follower), ensemble.members.index(leader)
        self._link = cast("FaultProxy", ensemble._links[places][0])  # the follower connects; the other one is for votes
        self._text = text.encode()
        self._passed: Recorder[float] = Recorder()  # lease clock
        self._reports: Recorder[float] = Recorder()

    def __enter__(self) -> Self:
        def look(chunk: bytes) -> bytes:
            (self._passed if self._text in chunk else self._reports)(lease_now())
            return chunk

        self._link.alter("client_to_server", look)
        return self

    def __exit__(self, *exc: object) -> None:
        self._link.alter("client_to_server", bytes)

    def wait_report(self, timeout: float) -> None:
        """Wait until the follower has just reported to the leader, so that the next report is as far as it can be."""
        now = lease_now()
        with suppress(AssertionError):
            self._reports.wait(lambda times: bool(times) and times[-1] > now, timeout)

    def wait_passed(self, after: float, timeout: float) -> bool:
        """Wait until the follower has passed on something about the text later than that; False if it does not."""
        try:
            self._passed.wait(lambda times: bool(times) and times[-1] > after, timeout)
        except AssertionError:
            return False
        return True

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
