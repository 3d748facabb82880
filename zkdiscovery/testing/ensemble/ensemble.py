"""`ZookeeperEnsemble`: running servers that elect a leader, and the faults between them."""

from __future__ import annotations

import itertools
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Literal, Protocol, Self

from zkdiscovery.errors import NoServerForTests, ZkDiscoveryError
from zkdiscovery.testing.servers.server import ServerState, ZookeeperServer
from zkdiscovery.testing.wire import RawSession, four_letter_word
from zkdiscovery.validation import check_timeout, deadline_after

_log = logging.getLogger("zkdiscovery.testing")

_POLL = 0.05  # seconds between two questions
_ANSWER = 1.0  # seconds for one answer
_ELECTION = 30.0  # seconds for an election and all that follows it
_HUNG = 3.0  # seconds in which a leader with its followers commits something, if it ever will


class Link(Protocol):
    """A way from one member to another one."""

    def blackhole(self) -> None:
        """Lose all that is sent over it from now on."""

    def heal(self) -> None:
        """Lose no more."""

    def close(self) -> None:
        """Remove it."""


class ZookeeperMember(ZookeeperServer):
    """One server of an ensemble."""

    def __repr__(self) -> str:
        return f"<ZookeeperMember {self.hosts} {self._state.value}>"

    def mode(self) -> Literal["leader", "follower"] | None:
        """The role that it has now; None if it does not serve, or does not answer within a second."""
        try:
            answer = four_letter_word(self.hosts, "srvr", timeout=_ANSWER)
        except OSError:
            return None
        for mode in ("leader", "follower"):
            if f"Mode: {mode}" in answer:
                return mode
        return None

    def restart(self, *, wipe: bool = False, wait: bool = True) -> None:
        """Stop the server if it runs, and start it again.

        Args:
            wipe: delete its data in between; the leader sends them again.
            wait: return when it serves, which it does as one of a majority only.

        Raises:
            NoServerForTests: it does not serve within 30 s.
        """
        if wait:
            return super().restart(wipe=wipe)
        with self._lock:
            return self._relaunch(wipe=wipe)

    @property
    def running(self) -> bool:
        """True if it was started and neither stopped nor killed; a paused one runs."""
        return self._state in (ServerState.RUNNING, ServerState.PAUSED)


class ZookeeperEnsemble:
    """Running ZooKeeper servers that form one ensemble. Made by `zookeeper_ensemble`.

    Attributes:
        members: the servers.
        namespace: a path that nobody else uses; not created here.
    """

    def __init__(self, members: Sequence[ZookeeperMember], links: Mapping[tuple[int, int], Sequence[Link]]) -> None:
        self.members = tuple(members)
        self.namespace = f"/zkdiscovery-test-{secrets.token_hex(6)}"
        self._links = links  # by the places of who connects and to whom

    @property
    def hosts(self) -> str:
        """The addresses for clients: `host:port` of each member, with commas."""
        return ",".join(member.hosts for member in self.members)

    def leader(self, timeout: float | None = 20.0) -> ZookeeperMember:
        """Wait for the leader: the one member that answers that it leads.

        Raises:
            NoServerForTests: there was none, or more than one, for `timeout` seconds.
        """
        return self._by_mode("leader", 1, check_timeout(timeout))[0]

    def followers(self, timeout: float | None = 20.0) -> tuple[ZookeeperMember, ...]:
        """The members that follow a leader; at least one is waited for.

        Raises:
            NoServerForTests: none for `timeout` seconds.
        """
        self.leader(timeout)
        return self._by_mode("follower", None, check_timeout(timeout))

    def wait_serving(self, timeout: float | None = _ELECTION) -> None:
        """Wait until one member alone leads, and each that runs serves: takes a session, which is a transaction.

        Raises:
            NoServerForTests: not within `timeout` seconds.
        """
        deadline = deadline_after(timeout)
        self.leader(timeout)  # a leader that was paused believes for a moment that it still leads
        self._wait_each(lambda member: member.mode() is not None, deadline)
        self._wait_each(_takes_sessions, deadline)

    def _wait_each(self, condition: Callable[[ZookeeperMember], bool], deadline: float) -> None:
        for member in self.members:
            while member.running and not condition(member):
                if time.monotonic() > deadline:
                    raise NoServerForTests(
                        f"{member!r} does not serve in time. The end of its log:\n{member.log_tail()}",
                        server=member.hosts,
                    )
                time.sleep(_POLL)

    def cut(self, one: ZookeeperMember, other: ZookeeperMember) -> None:
        """Lose all that these two send each other from now on; the clients of both stay connected."""
        for link in self._between(one, other):
            link.blackhole()

    def isolate(self, member: ZookeeperMember) -> None:
        """Cut a member from all others; its own clients stay connected."""
        for other in self.members:
            if other is not member:
                self.cut(member, other)

    def heal(self) -> None:
        """Restore the traffic between the members, and resume the paused ones."""
        for links in self._links.values():
            for link in links:
                link.heal()
        for member in self.members:
            if member.running:
                member.resume()

    def repair(self) -> None:
        """Heal, start the members that do not run, and wait until all serve.

        A leader whose followers come back to it just before it would give up may lead on and commit nothing, for good:
        it waits for acknowledgements of what it had proposed meanwhile (seen with ZooKeeper 3.8.0). It is restarted. A
        follower that leaves its leader may end by itself, with "Committed proposal cached out of order" in its log
        (seen with ZooKeeper 3.9.5). It is started again.

        Raises:
            NoServerForTests: they don't within 30 s.
        """
        self.heal()
        for member in self.members:
            if not member.running:
                member.restart(wait=False)
        leader = self.leader(_ELECTION)
        self._wait_each(_serves_or_starts_again, time.monotonic() + _ELECTION)
        try:
            self._wait_each(_takes_sessions, time.monotonic() + _HUNG)
        except NoServerForTests:
            _log.warning("%r leads and commits nothing for %g s; restarting it", leader, _HUNG)
            leader.restart(wait=False)
            self.wait_serving()

    def stop(self) -> None:
        """End all members in order; data and ports are kept."""
        for member in self.members:
            member.stop()

    def kill(self) -> None:
        """End all members with SIGKILL; data and ports are kept."""
        for member in self.members:
            member.kill()

    def restart(self, *, wipe: bool = False) -> None:
        """Stop all members, then start them; return when all serve.

        Args:
            wipe: delete all data in between, as an ensemble that lost its disks.
        """
        self.stop()
        for member in self.members:
            member.restart(wipe=wipe, wait=False)
        self.wait_serving()

    def rolling_restart(self) -> None:
        """Restart the members one by one, the leader last; each serves before the next one goes."""
        leader = self.leader()
        for member in sorted(self.members, key=lambda member: member is leader):
            member.restart()
            self.wait_serving()

    def close(self) -> None:
        """End all members for good and remove what they left. Safe to call again."""
        with ExitStack() as stack:  # a member that can't be closed prevents nothing else
            for links in self._links.values():
                for link in links:
                    stack.callback(link.close)
            for member in self.members:
                stack.callback(member.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ZookeeperEnsemble {self.hosts}>"

    def _between(self, one: ZookeeperMember, other: ZookeeperMember) -> Iterator[Link]:
        here, there = self.members.index(one), self.members.index(other)
        return itertools.chain(self._links.get((here, there), ()), self._links.get((there, here), ()))

    def _by_mode(self, mode: str, count: int | None, timeout: float) -> tuple[ZookeeperMember, ...]:
        deadline = time.monotonic() + timeout
        while True:
            found = tuple(member for member in self.members if member.running and member.mode() == mode)
            if found and (count is None or len(found) == count):
                return found
            if time.monotonic() > deadline:
                modes = ", ".join(f"{member.hosts}: {member.mode()}" for member in self.members)
                log = self.members[0].log_tail()
                raise NoServerForTests(
                    f"no {mode} after {timeout:g} s ({modes}). The end of the first one's log:\n{log}",
                    server=self.hosts,
                )
            time.sleep(_POLL)


def _serves_or_starts_again(member: ZookeeperMember) -> bool:
    """Tell whether the member has a role; start it again if its process has ended by itself."""
    if member.mode() is not None:
        return True
    if member.wait_ended(0):
        _log.warning("%r has ended by itself; starting it again", member)
        member.restart(wait=False)
    return False


def _takes_sessions(member: ZookeeperMember) -> bool:
    try:
        with RawSession(member.hosts, timeout=_ANSWER):
            return True
    except (OSError, ZkDiscoveryError):
        return False
