"""Watches over the link: dead links and absent servers on the keeper thread, lost data on one of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from zkdiscovery.session.probe import probe_server
from zkdiscovery.session.states import State
from zkdiscovery.session.worker import Worker

if TYPE_CHECKING:
    from zkdiscovery.session.resolver import Address
    from zkdiscovery.session.session import Session

log = logging.getLogger("zkdiscovery.session")

ABSENCE_FIRST = 5.0  # seconds without a connection before that is logged
ABSENCE_AGAIN = 60.0  # seconds before it is logged again


class Watchdog:
    """What the connection thread can't do, for it may wait on a dead socket. Told of each change by the session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._checked = 0.0  # monotonic seconds; when the link was looked at last
        self._refused = False  # servers hang up on our handshakes, and have not let us in since
        self._prober = Worker(
            "zkdiscovery-prober"
        )  # waits for servers; the keeper never does, because it renews leases

    def connected(self) -> None:
        """A connection stands (connection thread)."""
        self._refused = False
        self._checked = time.monotonic()
        self._later(self._check_link, self._session.timeout / 12)

    def disconnected(self) -> None:
        """There is no connection, or none yet (any thread)."""
        self._later(self._report_absence, ABSENCE_FIRST)

    def refused(self) -> None:
        """A server hung up on our handshake (connection thread)."""
        if not self._refused:
            self._refused = True
            self._check_data_later(2 * self._session.timeout)

    def close(self, timeout: float) -> bool:
        """Ask no server anything more, and wait up to `timeout` seconds; True if the thread has ended."""
        return self._prober.close(timeout)

    def _later(self, task: Callable[[], None], delay: float) -> None:
        self._session.keeper.schedule(task, task, delay)

    def _check_data_later(self, delay: float) -> None:
        self._prober.schedule(self._check_data, self._check_data, delay)

    def _report_absence(self) -> None:
        """Say what is wrong while there is no connection: soon, then rarely."""
        session = self._session
        if session.state is not State.CONNECTED and not session.gone_for_good:
            log.warning("%s; still trying", session.trouble)
            self._later(self._report_absence, ABSENCE_AGAIN)

    def _check_link(self) -> None:
        """Drop a link whose oldest request or ping waits too long.

        kazoo sends no pings under traffic, so it would not notice.
        """
        link, timeout = self._session.link, self._session.timeout
        if link is None or self._session.state is not State.CONNECTED:
            return
        now = time.monotonic()
        paused = now - self._checked > timeout / 3  # we did not run: the answers may lie in the socket's buffer
        self._checked = now
        stamps = [stamp for stamp in (link.channel.oldest_sent(), link.ping_sent) if stamp is not None]
        # Answers prove the link for the requests behind them, too: a long pipeline is not a dead link.
        if stamps and not paused and now - max(min(stamps), link.channel.last_answer) > timeout / 3:
            link.drop(f"no answer for {timeout / 3:.1f} s")
        self._later(self._check_link, timeout / 12)

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
            self._check_data_later(session.timeout)

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
