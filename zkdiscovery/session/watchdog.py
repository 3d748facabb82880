"""Watches over the link: dead links and absent servers on the keeper thread, lost data on one of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from zkdiscovery.errors import NoThreadAvailable
from zkdiscovery.session.probe import probe_server, probe_tick
from zkdiscovery.session.states import State
from zkdiscovery.threads.worker import Worker

if TYPE_CHECKING:
    from zkdiscovery.session.resolver import Address
    from zkdiscovery.session.session import Session

log = logging.getLogger("zkdiscovery.session")

ABSENCE_FIRST = 5.0  # seconds without a connection before that is logged
ABSENCE_AGAIN = 60.0  # seconds before it is logged again
USUAL_TICK = 2.0  # seconds, ZooKeeper's own; a session of two of them needs no question


class Watchdog:
    """What the connection thread can't do, because it may wait on a dead socket. Told of each change by the session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._checked = 0.0  # monotonic seconds; when the link was looked at last
        self._refused = False  # servers hang up on our handshakes, and have not let us in since
        self._silent = False  # the link was silent for too long when it was looked at last
        self._tick: float | None = None  # seconds, the ensemble's; 0.0 if it does not tell
        self._judged = 0.0  # seconds; the session timeout that was compared with the tick last
        # Waits for servers; the keeper never does, because it renews leases.
        self._prober = Worker("zkdiscovery-prober")

    def connected(self) -> None:
        """A connection stands (connection thread)."""
        self._refused = False
        self._checked, self._silent = time.monotonic(), False
        self._later(self._check_link, self._session.timeout / 12)

    def disconnected(self) -> None:
        """There is no connection, or none yet (any thread)."""
        self._later(self._report_absence, ABSENCE_FIRST)

    def refused(self) -> None:
        """A server hung up on our handshake (connection thread)."""
        if not self._refused:
            # Without a thread, the next refused handshake asks again.
            self._refused = self._probe_later(self._check_data, 2 * self._session.timeout)

    def lease_begins(self) -> None:
        """A lease begins (any thread): is T long enough for it? Asked once for each T. Never raises."""
        timeout = self._session.timeout
        if timeout < 2 * USUAL_TICK and timeout != self._judged:
            self._probe_later(self._check_tick)

    def close(self, timeout: float) -> bool:
        """Ask no server anything more, and wait up to `timeout` seconds; True if the thread has ended."""
        return self._prober.close(timeout)

    def _later(self, task: Callable[[], None], delay: float) -> None:
        self._session.maintenance.schedule(task, task, delay)

    def _probe_later(self, task: Callable[[], None], delay: float = 0.0) -> bool:
        """Run a task on the prober. False if the system has no thread for it: nothing else fails because of that."""
        try:
            self._prober.schedule(task, task, delay)
        except NoThreadAvailable as error:
            log.debug("no server is asked: %s", error)
            return False
        return True

    def _report_absence(self) -> None:
        """Say what is wrong while there is no connection: soon, then rarely."""
        session = self._session
        if session.state is not State.CONNECTED and not session.gone_for_good:
            log.warning("%s; still trying", session.status_message)
            self._later(self._report_absence, ABSENCE_AGAIN)

    def _check_link(self) -> None:
        """Drop a link whose oldest request or ping waits too long.

        kazoo sends no pings under traffic, so it would not notice.
        """
        link, timeout = self._session.link, self._session.timeout
        if link is None or self._session.state is not State.CONNECTED:
            return
        now = time.monotonic()
        # We come late because we did not run: the answers may lie in the socket's buffer. The next look decides.
        late = now - self._checked > timeout / 6
        stamps = [stamp for stamp in (link.channel.oldest_sent(), link.ping_sent) if stamp is not None]
        # Answers prove the link for the requests behind them, too: a long pipeline is not a dead link.
        silent = bool(stamps) and now - max(min(stamps), link.channel.last_answer) > timeout / 3
        if silent and (self._silent or not late):
            link.drop(f"no answer for {timeout / 3:.1f} s")
        self._checked, self._silent = now, silent
        self._later(self._check_link, timeout / 12)

    def _check_tick(self) -> None:
        """Say so if the leader of the ensemble hears of sessions less often than leases rest on (prober)."""
        session = self._session
        if self._tick is None:
            try:
                self._tick = self._ask_tick() or 0.0
            except OSError as error:
                log.debug("%s does not tell its tick: %s", session.server, error)
                return
        self._judged = session.timeout
        if self._judged < 2 * self._tick:
            log.warning(
                "a session timeout of %g s is less than two ticks of ZooKeeper (tickTime %g s): two leases may be valid"
                " at one time; ask for %g s or more, and leave minSessionTimeout as it is",
                self._judged, self._tick, 2 * self._tick,
            )  # fmt: skip

    def _ask_tick(self) -> float | None:
        session = self._session
        address = next((each for each in session.resolver.addresses()), None)  # one ensemble, one tick
        if address is None:
            return None
        name, ip, port = address
        return probe_tick(ip, port, timeout=session.settings.connect_timeout, context=session.context, name=name)

    def _check_data(self) -> None:
        """Every server hangs up on us: without quorum, or with less data than we have seen?"""
        session = self._session
        if not self._refused or session.gone_for_good:
            return
        servers = session.resolver.servers()
        zxids = [zxid for server in servers if (zxid := self._zxid(server)) is not None]
        # A server that does not say how far it is, or does not serve, proves nothing. What was committed stands on more
        # than half of the servers: as long as half of them may have it, it is not lost.
        lost = 2 * len(zxids) > len(servers) and max(zxids) < session.highest_zxid
        if lost and session.state is not State.CONNECTED:  # meanwhile
            log.error(
                "ZooKeeper at %s has less data than this client has seen (zxid 0x%x): data is lost, starting from zero",
                session.settings.hosts,
                session.highest_zxid,
            )
            session.highest_zxid = 0
            session.data_losses += 1
            self._refused = False
        else:
            self._probe_later(self._check_data, session.timeout)

    def _zxid(self, server: list[Address]) -> int | None:
        """The last transaction that a server has seen; None if it does not say, at any of its addresses."""
        session = self._session
        for name, ip, port in server:
            if session.state is State.CONNECTED or session.gone_for_good:  # meanwhile
                return None
            try:
                timeout = session.settings.connect_timeout
                info = probe_server(ip, port, timeout=timeout, context=session.context, name=name)
            except OSError:
                continue
            if info.mode and info.zxid is not None:
                return info.zxid
        return None
