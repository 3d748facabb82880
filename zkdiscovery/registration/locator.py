"""The addresses at which the instances of one client can be reached.

All but `forecast` runs on the owner's worker alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from zkdiscovery.registration.address import Choice, Given, Servers, choose, forecast
from zkdiscovery.registration.interfaces import OwnAddress, own_addresses
from zkdiscovery.registration.readiness import PROBE_TIMEOUT, accepts
from zkdiscovery.session import Session

log = logging.getLogger("zkdiscovery.registration")

PATIENCE = 2.0  # seconds that names of ZooKeeper hosts may take to be resolved, if no known address tells enough
PROBING = 1.0  # seconds in all that may be spent on finding out who listens on IPv6 alone


class Locator:
    """Chooses the addresses of one client, each once for each connection, and logs what was chosen and why."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._generation = 0
        self._choices: dict[Given, Choice] = {}  # of this connection
        self._told: dict[Given, Choice] = {}
        self._forecasts: dict[Given, str] = {}
        self._asked: float | None = None  # monotonic seconds
        self._probing = PROBING

    def forecast(self, given: Given, servers: Servers) -> str:
        """Return what `locate` will most likely say: what it said last, or what the routing table says (any thread)."""
        if (told := self._told.get(given)) is not None:
            return told.host
        if (host := self._forecasts.get(given)) is None:
            # Kept, because one client has one answer for all, and some systems take a while to make a socket.
            host = self._forecasts[given] = forecast(given, servers)
        return host

    def locate(self, given: Given, port: int) -> Choice | None:
        """The address at which clients reach what listens at `port`; None: ask again in a moment.

        Raises:
            InvalidInstance: this machine has none that answers to what was given.
        """
        choice = self._choose(given)
        if choice is None or choice.other is None:
            return choice
        return self._for_port(choice, choice.other, port)

    def left(self, hosts: Iterable[str]) -> set[str]:
        """Those of some addresses that this machine has no more."""
        own = {address.host for address in _own_addresses()}
        return set(hosts) - own if own else set()

    def _choose(self, given: Given) -> Choice | None:
        session = self._session
        if self._generation != session.generation:
            self._generation = session.generation
            self._choices.clear()
        choice = self._choices.get(given)
        if choice is None:
            now = time.monotonic()
            self._asked = self._asked or now
            servers = session.known_addresses()
            choice = choose(given, servers, _own_addresses())
            if choice.vague and not all(servers.values()) and now - self._asked < PATIENCE:
                return None
            self._choices[given] = choice
            self._tell(given, choice)
        return choice

    def _tell(self, given: Given, choice: Choice) -> None:
        if self._told.get(given) == choice:
            return
        self._told[given] = choice
        log.info("advertising %s: %s", choice.host, choice.why)
        if choice.competing:
            log.warning(
                "advertising %s (%s), though clients may need %s: if they can't reach it, give host=, or set"
                " ZKDISCOVERY_ADVERTISE_HOST, to an address, an interface ('if:eth1') or a network ('10.0.0.0/8')",
                choice.host,
                choice.why,
                " or ".join(choice.competing),
            )

    def _for_port(self, choice: Choice, other: str, port: int) -> Choice:
        """The IPv6 address, if somebody listens there and not on IPv4."""
        if self._probing <= 0:
            return choice
        began = time.monotonic()
        alone = accepts(other, port, PROBE_TIMEOUT) and not accepts(choice.host, port, PROBE_TIMEOUT)
        self._probing -= time.monotonic() - began  # a firewall that drops must not keep the worker
        return choice._replace(host=other, other=None) if alone else choice


def _own_addresses() -> list[OwnAddress]:
    try:
        return own_addresses()
    except OSError as error:
        log.warning("this machine does not tell its addresses: %s", error)
        return []
