"""The port of an instance that is ready once a program listens there.

Threads: the worker of owned nodes begins to watch; the threads of `core.checks` look; any thread closes.
"""

from __future__ import annotations

from collections.abc import Callable

from zkdiscovery.model import Instance
from zkdiscovery.registration.address import LISTEN_PORT, is_address
from zkdiscovery.registration.readiness import PROBE_TIMEOUT, PortWatch, accepts, local_addresses
from zkdiscovery.threads import Worker

_MAPPED = (
    "The advertised {} is no address of this machine. If the program listens at another port than the advertised one,"
    f" give listen_port=, or set {LISTEN_PORT}"
)


class InstancePort:
    """Watches the port of one instance.

    Args:
        worker: runs the looks.
        own: gives the instance as its owner wants it.
        on_listening: called with the address to advertise and the port when a program listens there.
        on_silent: called with the addresses, in words, when nothing has listened for long.
    """

    def __init__(
        self,
        worker: Worker,
        own: Callable[[], Instance],
        on_listening: Callable[[str, int], None],
        on_silent: Callable[[str], None],
    ) -> None:
        self._worker = worker
        self._own = own
        self._on_listening = on_listening
        self._on_silent = on_silent
        self._watch: PortWatch | None = None

    def watch(self, listen_port: int | None, other: str | None) -> None:
        """Begin to look.

        Args:
            listen_port: where the program listens, if that was said.
            other: the IPv6 address to advertise if the program listens on IPv6 alone.
        """
        own = self._own()
        port, proxied = listen_port or own.port, listen_port is not None
        hosts = local_addresses(own.host, proxied=proxied)
        advice = "" if own.host in hosts or proxied or not is_address(own.host) else _MAPPED.format(own.host)
        if other is not None:
            hosts.append(other)

        def listening() -> None:
            host = self._own().host
            if other is not None and not accepts(host, port, PROBE_TIMEOUT) and accepts(other, port, PROBE_TIMEOUT):
                host = other
            self._on_listening(host, port)

        self._watch = PortWatch(self._worker, hosts, port, listening, self._on_silent, advice)
        self._watch.begin()

    def close(self) -> None:
        """Look no more. Never blocks."""
        if self._watch is not None:
            self._watch.close()

    @property
    def silence(self) -> str:
        """That nothing listens yet, in words; "" otherwise."""
        return self._watch.silence if self._watch is not None else ""
