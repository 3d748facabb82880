"""The state that the connections of one proxy share: the server that they lead to, and what happens to their bytes."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from enum import Enum
from typing import Literal

from zkdiscovery.testing.proxy.frames import FrameFault

Direction = Literal["client_to_server", "server_to_client"]
DIRECTIONS: tuple[Direction, Direction] = ("client_to_server", "server_to_client")


class Mode(Enum):
    """The treatment of the bytes of one direction."""

    FLOW = "flow"
    HOLD = "hold"
    SWALLOW = "swallow"


class Traffic:
    """The state that a relay shares with its connections. Only the relay's thread may change it.

    Attributes:
        target: the server's socket address, of the family `target_family`.
        patient: try again while the target refuses a client's connection; else close it.
        modes: what happens to the bytes, by direction.
        delay: seconds between the reading of a chunk and its passing on.
        rate: bytes a second that a direction of a connection passes on; None: no limit.
        transforms: functions that alter the chunks read, by direction.
        faults: faults that happen to frames, each once.
        passed: bytes passed on so far, by direction.
        selector: reports events to the relay's thread; the data of a key is the function to call.

    Raises:
        OSError: the target's name can't be resolved.
    """

    def __init__(self, target: tuple[str, int], *, patient: bool) -> None:
        resolved = socket.getaddrinfo(*target, type=socket.SOCK_STREAM)[0]
        self.target_family, self.target = resolved[0], resolved[4]
        self.patient = patient
        self.passed = dict.fromkeys(DIRECTIONS, 0)
        self.selector = selectors.DefaultSelector()
        self.reset()

    def reset(self) -> None:
        """Let all bytes pass at once and unaltered."""
        self.modes = dict.fromkeys(DIRECTIONS, Mode.FLOW)
        self.delay = 0.0
        self.rate: float | None = None
        self.transforms: dict[Direction, Callable[[bytes], bytes]] = {}
        self.faults: list[FrameFault] = []
