"""Watches over the connection: dead links and absent servers on the maintenance thread, lost data on the prober."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from zkdiscovery.errors import NoThreadAvailable
from zkdiscovery.session.probe import probe_server, probe_tick
from zkdiscovery.session.resolver import Address, Resolver
from zkdiscovery.session.states import State
from zkdiscovery.session.status import SessionStatus
from zkdiscovery.session.transport.options import LinkOptions
from zkdiscovery.threads.worker import Worker

log = logging.getLogger("zkdiscovery.session")

ABSENCE_FIRST = 5.0  # seconds without a connection before that is logged
ABSENCE_AGAIN = 60.0  # seconds before it is logged again
USUAL_TICK = 2.0  # seconds, ZooKeeper's own; a session of two of them needs no question


class Watchdog:
    """Does what the connection thread can't do, because that may wait on a dead socket. It is told of each change."""

    def __init__(self, session: SessionStatus, options: LinkOptions, resolver: Resolver, maintenance: Worker) -> None:
        self._session = session
        self._options = options
        self._resolver = resolver
        self._maintenance = maintenance
        self._checked = 0.0  # monotonic seconds; when the link was checked last
        self._refused = False  # servers close our handshakes, and have not let us in since
        self._silent = False  # the link was silent for too long when it was checked last
        self._tick: float | None = None  # seconds, the ensemble's; 0.0 if it does not tell
        self._compared = 0.0  # seconds; the session timeout that was compared with the tick last
        # Waits for servers; the maintenance thread never does, because it renews leases.
        self._prober = Worker("zkdiscovery-prober")

    def connected(self) -> None:
        """Check the new connection from now on (connection thread)."""
        self._refused = False
        self._checked, self._silent = time.monotonic(), False
        self._later(self._check_link, self._session.timeout / 12)

    def disconnected(self) -> None:
        """Report it if no connection comes soon (any thread)."""
        self._later(self._report_absence, ABSENCE_FIRST)

    def refused(self) -> None:
        """Check the data of the servers, because one closed our handshake (connection thread)."""
        if not self._refused:
            # Without a thread, the next refused handshake asks again.
            self._refused = self._probe_later(self._check_data, 2 * self._session.timeout)

    def lease_begins(self) -> None:
        """Check whether T is long enough for leases, once for each T (any thread). Never raises."""
        timeout = self._session.timeout
        if timeout < 2 * USUAL_TICK and timeout != self._compared:
            self._probe_later(self._check_tick)

    def close(self, timeout: float) -> bool:
        """End the prober. Wait up to `timeout` seconds; True if its thread has ended."""
        return self._prober.close(timeout)

    def _later(self, task: Callable[[], None], delay: float) -> None:
        self._maintenance.schedule(task, task, delay)

    def _probe_later(self, task: Callable[[], None], delay: float = 0.0) -> bool:
        """Run a task on the prober. False if the system has no thread for it; nothing else fails because of that."""
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
        # This check is late because the process stood still: answers may lie in the socket's buffer. The next check
        # decides.
        late = now - self._checked > timeout / 6
        stamps = [stamp for stamp in (link.channel.oldest_sent(), link.ping_sent) if stamp is not None]
        # An answer also proves the link for the requests behind it: a long pipeline is not a dead link.
        silent = bool(stamps) and now - max(min(stamps), link.channel.last_answer) > timeout / 3
        if silent and (self._silent or not late):
            link.drop(f"no answer for {timeout / 3:.1f} s")
        self._checked, self._silent = now, silent
        self._later(self._check_link, timeout / 12)

    def _check_tick(self) -> None:
        """Warn if the leader of the ensemble hears of sessions less often than leases require (prober)."""
        session = self._session
        if self._tick is None:
            try:
                self._tick = self._ask_tick() or 0.0
            except OSError as error:
                log.debug("%s does not tell its tick: %s", session.server, error)
                return
        self._compared = session.timeout
        if self._compared < 2 * self._tick:
            log.warning(
                "a session timeout of %g s is less than two ticks of ZooKeeper (tickTime %g s): two leases may be valid"
                " at one time; ask for %g s or more, and leave minSessionTimeout as it is",
                self._compared, self._tick, 2 * self._tick,
            )  # fmt: skip

    def _ask_tick(self) -> float | None:
        for name, ip, port in self._resolver.addresses():  # the first: an ensemble has one tick
            return probe_tick(ip, port, timeout=self._options.connect_timeout, context=self._options.context, name=name)
        return None

    def _check_data(self) -> None:
        """Find out whether servers close our handshakes because they have less data than we have seen (prober)."""
        session = self._session
        if not self._refused or session.gone_for_good:
            return
        servers = self._resolver.servers()
        zxids = [zxid for server in servers if (zxid := self._zxid(server)) is not None]
        # A server that does not tell its last transaction, or does not serve, proves nothing. More than half of the
        # servers have what was committed: as long as half of them may have it, it is not lost.
        lost = 2 * len(zxids) > len(servers) and max(zxids) < session.highest_zxid
        if lost and session.state is not State.CONNECTED:  # meanwhile
            log.error(
                "ZooKeeper at %s has less data than this client has seen (zxid 0x%x): data is lost, starting from zero",
                self._options.hosts,
                session.highest_zxid,
            )
            session.highest_zxid = 0
            session.data_losses += 1
            self._refused = False
        else:
            self._probe_later(self._check_data, session.timeout)

    def _zxid(self, server: list[Address]) -> int | None:
        """The last transaction that a server has seen; None if it tells that at none of its addresses."""
        session = self._session
        for name, ip, port in server:
            if session.state is State.CONNECTED or session.gone_for_good:  # meanwhile
                return None
            try:
                timeout, context = self._options.connect_timeout, self._options.context
                info = probe_server(ip, port, timeout=timeout, context=context, name=name)
            except OSError:
                continue
            if info.mode and info.zxid is not None:
                return info.zxid
        return None
