"""`FaultProxy`: the faults of a network on demand, between a client and a server.

Guarantees: when a method has returned, the new mode is in force for every byte not yet passed on. Bytes are never
reordered, and never altered unless `alter` asks for it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import Self

from zkdiscovery.errors import OperationTimeout
from zkdiscovery.testing.ports import free_port
from zkdiscovery.testing.proxy.frames import CutFrame, FrameFault, LostReply, LostRequest
from zkdiscovery.testing.proxy.relay import Relay
from zkdiscovery.testing.proxy.traffic import DIRECTIONS, Direction, Mode
from zkdiscovery.testing.wire import split_host_port
from zkdiscovery.validation import check_function, check_timeout

_PORT_TRIES = 5


class FaultProxy:
    """A TCP proxy on a free port of 127.0.0.1 before `target`, used as a context manager.

    All methods are thread-safe and return when the new mode is in force. `pause`, `blackhole` and `half_open` replace
    each other; `refuse`, `delay`, `slow`, `alter` and the faults of frames come on top; `heal` ends all of them.

    Args:
        target: `host:port` of the server; it need not be there yet.
        patient: keep a client's connection while the target refuses it, and try again; else close it.

    Raises:
        ValueError: the target is not `host:port`.
        OSError: the target's name can't be resolved.

    Attributes:
        target: as given.
        address: `127.0.0.1:port` for clients, the same as long as the proxy lives.
    """

    def __init__(self, target: str, *, patient: bool = False) -> None:
        self.target = target
        self._relay = _relay(split_host_port(target), patient=patient)
        self.address = f"127.0.0.1:{self._relay.port}"
        self._relay.call(self._relay.listen)
        self._closed = False

    @property
    def connections(self) -> int:
        """Connections that clients have open now."""
        return self._relay.open_clients

    @property
    def accepted(self) -> int:
        """Connections taken from clients so far."""
        return self._relay.accepted

    @property
    def bytes_passed(self) -> Mapping[Direction, int]:
        """Bytes passed on so far, by direction: all that anybody has received, and no more."""
        self._relay.settle()
        return dict(self._relay.traffic.passed)

    def wait_connections(self, count: int, timeout: float | None = 5.0) -> None:
        """Wait until clients have exactly `count` connections open.

        Raises:
            OperationTimeout: it was not so within `timeout` seconds.
        """
        timeout = check_timeout(timeout)
        with self._relay.changed:
            if not self._relay.changed.wait_for(lambda: self._relay.open_clients == count, timeout):
                raise OperationTimeout(
                    f"{self._relay.open_clients} connections through the proxy {self.address} to {self.target},"
                    f" not {count}, after {timeout:g} s",
                    server=self.target,
                )

    def drop(self) -> None:
        """Close all connections now; new ones are accepted."""
        self._relay.call(self._relay.close_links)

    def refuse(self) -> None:
        """Close all connections and refuse new ones, as a machine does whose server is down."""

        def refuse() -> None:
            self._relay.stop_listening()
            self._relay.close_links()

        self._relay.call(refuse)

    def pause(self) -> None:
        """Hold all bytes back. Connections stay open, new ones are accepted, and what waits flows on later."""
        self._set_modes(Mode.HOLD, Mode.HOLD)

    def blackhole(self) -> None:
        """As `pause`, but what is sent or still waits is lost. `heal` closes the connections that have a loss."""
        self._set_modes(Mode.SWALLOW, Mode.SWALLOW)

    def half_open(self, direction: Direction) -> None:
        """Pass bytes on in this direction only; those of the other wait."""
        if direction not in DIRECTIONS:
            raise ValueError(f"direction must be one of {', '.join(DIRECTIONS)}: got {direction!r}")
        self._set_modes(*(Mode.FLOW if each == direction else Mode.HOLD for each in DIRECTIONS))

    def delay(self, seconds: float) -> None:
        """Pass on what is read from now on `seconds` later, in both directions; the rate is not limited."""

        def delay() -> None:
            self._relay.traffic.delay = seconds

        self._relay.call(delay)

    def slow(self, bytes_per_second: float) -> None:
        """Pass on no more than that in each direction of each connection, in pieces of up to 64 KiB."""

        def slow() -> None:
            self._relay.traffic.rate = bytes_per_second

        self._relay.call(slow)

    def alter(self, direction: Direction, transform: Callable[[bytes], bytes]) -> None:
        """Put what is read in this direction through `transform`, chunk by chunk, on the proxy's thread.

        A chunk is what one read gave and may end anywhere in a message; an empty result passes nothing on. If
        `transform` raises, the connection is closed and the error logged.

        Raises:
            TypeError: `transform` is no function, or a coroutine or generator function.
        """
        check_function(transform, "`transform`")
        self._relay.call(lambda: self._relay.traffic.transforms.update({direction: transform}))

    def lose_request(self, *kinds: str) -> FrameFault:
        """Lose the next request of such a kind before it arrives, and end its connection; happens once.

        Args:
            kinds: names of `frames.KINDS`, such as "create", "delete", "set_data", "multi", "ping" or "connect"; a
                transaction is of the kind "multi" and of that of its first operation; none given: any request.

        Raises:
            ValueError: there is no such kind.
        """
        return self._arm(LostRequest(kinds))

    def lose_reply(self, *kinds: str) -> FrameFault:
        """Let the next request of such a kind be executed, lose its answer, and end its connection; happens once.

        Args:
            kinds: as of `lose_request`.

        Raises:
            ValueError: there is no such kind.
        """
        return self._arm(LostReply(kinds))

    def reset_mid_frame(self, direction: Direction) -> FrameFault:
        """Pass on one half of the next frame in this direction and end its connection; happens once."""
        if direction not in DIRECTIONS:
            raise ValueError(f"direction must be one of {', '.join(DIRECTIONS)}: got {direction!r}")
        return self._arm(CutFrame(direction))

    def _arm(self, fault: FrameFault) -> FrameFault:
        self._relay.call(lambda: self._relay.traffic.faults.append(fault))
        return fault

    def heal(self) -> None:
        """Back to normal: accept, and pass everything on at once and unaltered; what was held back flows on."""

        def heal() -> None:
            self._relay.traffic.reset()
            self._relay.release_waiting()
            self._relay.close_links(lossy_only=True)
            self._relay.listen()

        self._relay.call(heal)

    def close(self) -> None:
        """Close all connections and the port. Safe to call again."""
        self._closed = True
        self._relay.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        modes = self._relay.traffic.modes.items()
        state = "closed" if self._closed else ", ".join(f"{direction} {mode.value}" for direction, mode in modes)
        return f"<FaultProxy {self.address} before {self.target}: {self.connections} connections, {state}>"

    def _set_modes(self, to_server: Mode, to_client: Mode) -> None:
        def set_modes() -> None:
            self._relay.traffic.modes = {"client_to_server": to_server, "server_to_client": to_client}
            self._relay.swallow_waiting()

        self._relay.call(set_modes)


def _relay(target: tuple[str, int], *, patient: bool) -> Relay:
    """A relay on a free port. Somebody else may take a port between its choice and its use: then another one."""
    for _ in range(_PORT_TRIES):
        try:
            return Relay(free_port(), target, patient=patient)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    return Relay(free_port(), target, patient=patient)
