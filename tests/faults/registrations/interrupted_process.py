"""A process whose own signal handler closes the client, wherever the main thread is.

    python interrupted_process.py HOSTS NAMESPACE SEED ROUNDS [CALL ...]

In each round, a signal comes at one instruction of a call, chosen by the seed among all that the call runs through in
the SDK and in what it is built of. Prints a line for each round: the seconds that closing took, and where it struck. A
round that hangs ends the process, with the tracebacks of all threads.
"""

from __future__ import annotations

import asyncio
import faulthandler
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from zkdiscovery import AsyncClient, Client, ClientClosed, Status, ZkDiscoveryError

LIMIT = 20.0  # seconds
CLOSING = 2.0  # seconds that closing may take
HANGING = 5.0  # seconds
OURS = ("zkdiscovery", "threading", "futures", "logging", "weakref")  # in the paths of the code that is interrupted


def _register(client: Client) -> None:
    client.register("payments", 8081, id="b").wait_registered(LIMIT)


def _update(client: Client) -> None:
    client.held.update(version="2")
    client.held.wait_registered(LIMIT)


async def _read(client: Client) -> None:
    await AsyncClient.of(client).instances("payments")


async def _lead(client: Client) -> None:
    async with AsyncClient.of(client).election("e").campaign(LIMIT) as term:
        term.resign()


CALLS: dict[str, Callable[[Any], object]] = {
    "register": _register,
    "register_many": lambda client: client.register_many([{"service": "s", "port": port} for port in (1, 2)]),
    "update": _update,
    "set_status": lambda client: client.held.set_status(Status.DOWN),
    "on_change": lambda client: client.held.on_change(lambda _: None).close(),
    "drain": lambda client: client.held.drain(delay=0.005),
    "close": lambda client: client.held.close(),
    "close the client": lambda client: client.close(),
    "first use": lambda client: Client(client.settings.hosts, namespace="/x").start().close(),
    "override": lambda client: client.override("payments", "a", weight=2.0),
    "instances": lambda client: client.instances("payments"),
    "discover": lambda client: client.discover("payments").wait_ready(LIMIT).pick(),
    "campaign": lambda client: next(iter(client.election("e").terms())).resign(),
    "async instances": lambda client: asyncio.run(_read(client)),
    "async campaign": lambda client: asyncio.run(_lead(client)),
}


class Interrupter:
    """Counts the instructions of a call, and sends the signal at one of them."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0
        self.place = "-"

    def trace(self, frame: FrameType, event: str, _arg: object) -> Any:
        if event == "call":
            if not any(part in frame.f_code.co_filename for part in OURS):
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            self.count += 1
            if self.count == self.at:
                self.place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                signal.raise_signal(signal.SIGUSR1)
        return self.trace


def run(call: Callable[[Any], object], hosts: str, namespace: str, at: int) -> Interrupter:
    """One round; prints how long the handler took."""
    client: Any = Client(hosts, namespace=namespace, session_timeout=4.0)
    client.held = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    took: list[float] = []

    def handler(_number: int, _frame: object) -> None:
        begun = time.monotonic()
        client.close(CLOSING)
        took.append(time.monotonic() - begun)

    signal.signal(signal.SIGUSR1, handler)
    interrupter = Interrupter(at)
    faulthandler.dump_traceback_later(HANGING, exit=True)
    sys.settrace(interrupter.trace)
    try:
        call(client)
    except (ClientClosed, ZkDiscoveryError, StopIteration):
        pass  # closed in its midst
    finally:
        sys.settrace(None)
    client.close(CLOSING)
    if not client.slot.ending._idle.wait(CLOSING):
        print(f"not closed, at {at} {interrupter.place}", flush=True)
    faulthandler.cancel_dump_traceback_later()
    for seconds in took:
        print(f"closed {seconds:.3f} at {at} {interrupter.place}", flush=True)
    return interrupter


def main() -> None:
    hosts, namespace, seed, rounds, *names = sys.argv[1:]
    dice = random.Random(int(seed))
    for name in names or CALLS:
        call = CALLS[name]
        run(call, hosts, namespace, 0)
        total = run(call, hosts, namespace, 0).count  # the second time, for what is done once is done
        print(f"{name}: {total} instructions", flush=True)
        for at in sorted(dice.choices(range(1, total + 1), k=int(rounds))):
            run(call, hosts, namespace, at)
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("zkdiscovery")]
    print(f"threads left: {left}", flush=True)


if __name__ == "__main__":
    main()
