"""The addresses of the servers in `hosts`, looked up on threads of their own.

The system's resolver may take seconds or never answer, and nothing can interrupt it. So each lookup runs on a daemon
thread of its own. Only `wait` waits for it, with a limit.

Guarantees
- At most one lookup of a name is under way in the process, however many clients ask. A name whose lookup hangs
  costs one thread.
- Every method may be called on any thread. All but `wait` return at once.
- An address stays known until a later lookup of its name succeeds without it.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - getaddrinfo needs it, and would import it on the lookup's thread
import ipaddress
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from zkdiscovery.errors import NoThreadAvailable
from zkdiscovery.threads.start import start_thread
from zkdiscovery.validation import deadline_after, join_host_port

log = logging.getLogger("zkdiscovery.session")

PAUSE = 1.0  # seconds from the beginning of a lookup until the name is looked up again
LATE = 1.0  # seconds after which an unanswered lookup is named as a problem


class Address(NamedTuple):
    """An address at which a server may listen.

    Attributes:
        name: the host as in `hosts`; a certificate must name it.
        ip: its address; `name` itself if that is an address already.
        port: its port.
    """

    name: str
    ip: str
    port: int

    def __str__(self) -> str:
        shown = join_host_port(self.name, self.port)
        return shown if self.ip == self.name else f"{shown} ({self.ip})"


class Resolver:
    """The known addresses of some hosts. Literal addresses are known from the start, names after `refresh`."""

    def __init__(self, hosts: Sequence[tuple[str, int]]) -> None:
        self._hosts = tuple(hosts)
        self._known: dict[str, tuple[str, ...]] = {host: (host,) for host, _ in hosts if _is_literal(host)}
        self._names = tuple(dict.fromkeys(host for host, _ in hosts if host not in self._known))
        self._asked: dict[str, float] = {}  # monotonic seconds; when the latest lookup of a name began
        self._problems: dict[str, str] = {}  # why the latest lookup of a name failed
        self._changed = threading.Condition()
        self._closed = False

    def addresses(self) -> list[Address]:
        """All addresses known by now, in the order of the hosts; empty if none is known."""
        known = self._known
        found = [Address(host, ip, port) for host, port in self._hosts for ip in known.get(host, ())]
        return list(dict.fromkeys(found))

    def known_addresses(self) -> dict[str, tuple[str, ...]]:
        """The addresses of each host, as far as they are known by now."""
        known = self._known
        return {host: known.get(host, ()) for host, _ in self._hosts}

    def servers(self) -> list[list[Address]]:
        """The addresses, grouped by the server that they probably lead to.

        The IPv4 and the IPv6 addresses of one name are taken to lead to the same servers. A name without a known
        address counts as one server.
        """
        known = self._known
        groups: list[list[Address]] = []
        for host, port in self._hosts:
            found = [Address(host, ip, port) for ip in known.get(host, ())]
            families = [a for a in found if ":" not in a.ip], [a for a in found if ":" in a.ip]
            groups.extend(
                [family[index] for family in families if index < len(family)]
                for index in range(max(1, *map(len, families)))
            )
        return groups

    def problem(self) -> str:
        """The reason why names have no address, for messages; "" if each has one, or if the lookups began just now."""
        now = time.monotonic()
        parts = []
        with self._changed:
            for name in self._names:
                if name in self._known or name not in self._asked:
                    continue
                if name in self._problems:
                    parts.append(f"{name} can't be resolved: {self._problems[name]}")
                elif (since := now - self._asked[name]) >= LATE:
                    parts.append(f"{name} is not resolved after {since:.0f} s")
        return "; ".join(parts)

    def refresh(self) -> None:
        """Begin to look up each name, unless its latest lookup is under way or began less than `PAUSE` ago."""
        now = time.monotonic()
        with self._changed:
            if self._closed:
                return
            due = [name for name in self._names if now - self._asked.get(name, -PAUSE) >= PAUSE]
            self._asked.update(dict.fromkeys(due, now))
        for name in due:
            try:
                _look_up(name, self._answered)
            except NoThreadAvailable as error:  # the next call tries again
                self._answered(name, (), str(error))

    def wait(self, timeout: float) -> list[Address]:
        """Wait until an address is known or the resolver is closed, at most `timeout` seconds.

        Returns:
            all addresses known by then.
        """
        end = deadline_after(timeout)
        with self._changed:
            while not self._known and not self._closed and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)
        return self.addresses()

    def close(self) -> None:
        """Look up nothing more, and wake those that wait. A lookup that hangs keeps its thread, but not this object."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        _forget(self._answered)

    def _answered(self, name: str, found: tuple[str, ...], problem: str) -> None:
        """Note the end of a lookup (its thread). One that found nothing removes no known address."""
        with self._changed:
            if found:
                self._problems.pop(name, None)
            else:
                self._problems[name] = problem
            if found and self._known.get(name) != found and not self._closed:
                self._known = {**self._known, name: found}  # a new one, because readers take no lock
                self._changed.notify_all()


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


# -- the lookups of the process --

_Answered = Callable[[str, tuple[str, ...], str], None]

_lock = threading.Lock()
_under_way: dict[str, list[_Answered]] = {}  # by name: what is called with its answer
_reported: set[str] = set()  # names that can't be resolved, and were logged


def _look_up(name: str, answered: _Answered) -> None:
    """Call `answered` with the addresses of a name, or with none and the reason, on the lookup's thread.

    Raises:
        NoThreadAvailable: the system has none to give.
    """
    with _lock:
        if (waiting := _under_way.get(name)) is not None:
            if answered not in waiting:
                waiting.append(answered)
            return
        start_thread(partial(_run, name), "zkdiscovery-resolve")  # it can't answer before the lock is free
        _under_way[name] = [answered]


def _run(name: str) -> None:
    found: tuple[str, ...] = ()
    problem = "it has no address"
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        found = tuple(dict.fromkeys(str(address[0]) for _, _, _, _, address in answers))
    except (OSError, UnicodeError) as error:
        problem = getattr(error, "strerror", None) or str(error)
    finally:
        with _lock:
            waiting = _under_way.pop(name, [])
            news = not found and name not in _reported
            if found:
                _reported.discard(name)
            else:
                _reported.add(name)
        if news:
            log.warning("the ZooKeeper host %s can't be resolved: %s; trying again", name, problem)
        for answered in waiting:
            answered(name, found, problem)


def _forget(answered: _Answered) -> None:
    with _lock:
        for waiting in _under_way.values():
            if answered in waiting:
                waiting.remove(answered)


def _forked() -> None:
    """In a forked child: forget the lookups and the lock, which are the parent's."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    _under_way.clear()


os.register_at_fork(after_in_child=_forked)
