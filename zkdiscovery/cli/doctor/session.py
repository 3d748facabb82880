"""A session: can it be had, what did the server grant, how fast is it, what may we do, what does its clock say?"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from zkdiscovery.cli.doctor.report import Finding, Level, failed, milliseconds, problem
from zkdiscovery.cli.exits import ExitCode
from zkdiscovery.errors import AccessDenied, NodeMissing, NotConnected, ZkDiscoveryError
from zkdiscovery.session import EPHEMERAL, Check, Create, Delete, GetChildren, GetData, Multi, Session, probe_tick
from zkdiscovery.znodes import Paths, parent_of

if TYPE_CHECKING:
    from zkdiscovery import Client
    from zkdiscovery.session.requests import Request

_ROUNDS = 5  # requests whose median is reported
_MAX_CLOCK_DIFFERENCE = 1.0  # seconds beyond which a warning is due


def examine_session(client: Client, timeout: float) -> Iterator[Finding]:
    """Examine a session with ZooKeeper; `timeout` in seconds for the connection and for each answer."""
    core = client.slot.current()
    session, paths = core.session, core.paths
    start = time.monotonic()
    try:
        client.wait_connected(timeout)
    except NotConnected:
        yield problem("session", f"none within {timeout:g} s", "see the hosts", ExitCode.NOT_CONNECTED)
        return
    except ZkDiscoveryError as error:
        yield failed("session", error)
        return
    yield _granted(session, time.monotonic() - start)
    timed = _TimedSession(session, timeout)
    checks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("read", lambda: _read_speed(timed, paths)),
        ("services", lambda: _rights(timed, paths.services())),
        ("elections", lambda: _rights(timed, paths.elections())),
        ("write", lambda: _write_speed(timed, paths)),
        ("clock", lambda: _clock(timed, paths)),
        ("tick", lambda: _tick(session)),
    )
    for name, check in checks:
        try:
            yield check()
        except ZkDiscoveryError as error:
            yield failed(name, error)


class _TimedSession:
    """A session whose calls have one time limit."""

    def __init__(self, session: Session, timeout: float) -> None:
        self.session = session
        self._timeout = timeout

    def call(self, request: Request) -> Any:
        return self.session.call(request, deadline=time.monotonic() + self._timeout)

    def seconds(self, request: Request) -> float:
        """Seconds that the answer took, whatever it says."""
        start = time.monotonic()
        with suppress(NodeMissing, AccessDenied):
            self.call(request)
        return time.monotonic() - start

    def existing(self, path: str) -> str:
        """The path, or the nearest one above it that is there."""
        while True:
            try:
                self.call(GetData(path))
            except NodeMissing:
                path = parent_of(path)
            except AccessDenied:  # it exists, and we may not read it
                return path
            else:
                return path

    def may_create(self, parent: str) -> bool:
        """Ask by a transaction that can't succeed: its first half is refused if we have no right to it.

        ZooKeeper commits failed transactions like others, as an entry that changes nothing.
        """
        try:
            self.call(_failing_transaction(self.session, parent))
        except AccessDenied:
            return False
        except NodeMissing as error:
            if error.operation_index == 0:  # the parent itself, gone meanwhile
                raise
        return True


def _child(parent: str) -> str:
    return f"{parent.rstrip('/')}/zkdiscovery-doctor-{secrets.token_hex(8)}"


def _failing_transaction(session: Session, parent: str) -> Multi:
    return Multi([Create(_child(parent), b"", session.leaf_acl, EPHEMERAL), Check(_child(parent))])


def _granted(session: Session, seconds: float) -> Finding:
    requested, granted = session.settings.session_timeout, session.timeout
    data = {
        "server": session.server, "session_id": f"0x{session.session_id:x}", "connected_after": seconds,
        "session_timeout": granted, "session_timeout_requested": requested,
    }  # fmt: skip
    found = f"at {session.server} after {milliseconds(seconds)}; session timeout {granted:g} s"
    if abs(requested - granted) < 0.001:
        return Finding("session", f"{found}, as requested", data=data)
    return Finding(
        "session",
        f"{found}, {requested:g} s were requested",
        Level.WARNING,
        "the server bounds it: minSessionTimeout (2 ticks if not set) and maxSessionTimeout (20 ticks)",
        data,
    )


def _tick(session: Session) -> Finding:
    """Is the session timeout long enough for leases?"""
    tick = None
    for name, ip, port in session.resolver.addresses():
        with suppress(OSError):
            tick = probe_tick(
                ip, port, timeout=session.settings.connect_timeout, context=session.options.context, name=name
            )
        if tick is not None:
            break
    if tick is None:
        return Finding(
            "tick",
            "unknown: no server answers `conf`, which is not in its 4lw.commands.whitelist; elections need a session"
            " timeout of two ticks or more, as ZooKeeper grants unless minSessionTimeout is set",
            data={"tick": None},
        )
    found = f"{tick:g} s; the session timeout is {session.timeout / tick:.3g} ticks"
    if session.timeout >= 2 * tick:
        return Finding("tick", found, data={"tick": tick})
    return Finding(
        "tick",
        f"{found}: two leaders may hold valid leases at one time",
        Level.WARNING,
        f"ask for a session timeout of {2 * tick:g} s or more (ZKDISCOVERY_SESSION_TIMEOUT), and leave"
        " minSessionTimeout as it is",
        data={"tick": tick},
    )


def _read_speed(timed: _TimedSession, paths: Paths) -> Finding:
    seconds = statistics.median(timed.seconds(GetData(paths.root or "/")) for _ in range(_ROUNDS))
    return Finding("read", f"answered in {milliseconds(seconds)}", data={"seconds": seconds})


def _write_speed(timed: _TimedSession, paths: Paths) -> Finding:
    place = timed.existing(paths.root or "/")
    seconds = statistics.median(timed.seconds(_failing_transaction(timed.session, place)) for _ in range(_ROUNDS))
    return Finding("write", f"committed in {milliseconds(seconds)}", data={"seconds": seconds})


def _rights(timed: _TimedSession, path: str) -> Finding:
    """May we read what is there, and create?"""
    name = f"rights on {path}"
    place = timed.existing(path)
    readable = True
    try:
        count = len(timed.call(GetChildren(path)))
        found = f"{count} there"
    except NodeMissing:
        found = f"not there yet, to be made in {place}"
    except AccessDenied:
        readable, found = False, "must not be read"
    creatable = timed.may_create(place)
    data = {"path": path, "exists": place == path, "read": readable, "create": creatable}
    if readable and creatable:
        return Finding(name, f"read and create; {found}", data=data)
    missing = " nor ".join(right for right, given in (("read", readable), ("create", creatable)) if not given)
    return problem(
        name,
        f"no right to {missing} in {place}",
        "give credentials (ZKDISCOVERY_AUTH__USERNAME, …__PASSWORD), or have its ACL changed with `setAcl`",
        ExitCode.REFUSED,
        **data,
    )


def _clock(timed: _TimedSession, paths: Paths) -> Finding:
    """The server's clock against ours, by the creation time of a node."""
    place = timed.existing(paths.root or "/")
    path = _child(place)
    before, start = time.time(), time.monotonic()
    try:
        stat = timed.call(Create(path, b"", timed.session.leaf_acl, EPHEMERAL))
    except AccessDenied:
        return Finding("clock", f"not known: no right to create a node in {place}")
    spent = time.monotonic() - start
    with suppress(NodeMissing):
        timed.call(Delete(path))
    # The server stamps somewhere between sending and answer, in whole milliseconds.
    difference, doubt = stat.ctime / 1000 - (before + spent / 2), spent / 2 + 0.001
    data = {"ahead": difference, "doubt": doubt}
    if abs(difference) <= doubt:
        return Finding("clock", f"the server's is the same, within {milliseconds(doubt)}", data=data)
    found = f"the server's is {abs(difference):.3f} s {'ahead of' if difference > 0 else 'behind'} ours"
    if abs(difference) - doubt <= _MAX_CLOCK_DIFFERENCE:
        return Finding("clock", found, data=data)
    return Finding(
        "clock",
        found,
        Level.WARNING,
        "synchronise both with NTP: times of registration and certificates depend on it (sessions and leases do not)",
        data,
    )
