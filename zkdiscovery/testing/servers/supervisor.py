"""A small process that cleans up after its parent, however the parent ends.

`Supervisor` starts this very file as a separate process and talks to it over a socket pair: one JSON object a line,
one line in answer. The end of the parent closes the socket, whether the parent exits, crashes or is killed; the
supervisor then kills its child, removes its directory and runs the commands left with it. The normal end works the same
way.

Guarantees:
    - No other process holds the parent's end open: it is closed on exec, and in each forked child by a hook.
    - The supervisor, not the parent, is the child's parent: a signal never hits a process that has reused the number.
    - Works on Linux and macOS alike, with nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from pathlib import Path
from typing import Any

_GRACE = 10.0  # seconds for a killed process to be gone
_COMMAND_LIMIT = 30.0  # seconds for each command left for the end


class Supervisor:
    """The parent's side: one child process at a time, one temporary directory, commands for the end.

    Not thread-safe: its owner serialises the calls.
    """

    def __init__(self) -> None:
        with _forking:
            self._channel, theirs = socket.socketpair()
            _channels.add(self._channel)
            with theirs:
                # A session of its own: Ctrl-C in the terminal reaches the parent alone, which then ends in order.
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", __file__],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
        self._received = b""
        self._pid = 0
        self._directory: Path | None = None
        self._exit_statuses: dict[int, int] = {}

    def make_directory(self) -> Path:
        """A new temporary directory, removed at the end."""
        self._directory = Path(self._request(do="make_directory")["directory"])
        return self._directory

    def start(self, argv: list[str], log: Path) -> int:
        """Start the child; its output is appended to `log`. Returns its process id.

        Raises:
            OSError: the program can't be started.
        """
        self._pid = self._request(do="start", argv=argv, log=str(log))["pid"]
        return self._pid

    def signal(self, number: int) -> None:
        """Send a signal to the child; nothing happens if it has ended."""
        self._request(do="signal", number=number)

    def wait(self, timeout: float) -> int | None:
        """Wait up to `timeout` seconds for the child to end: its exit status (negative: a signal), or None."""
        deadline = time.monotonic() + timeout
        while self._pid not in self._exit_statuses and (message := self._receive(deadline)) is not None:
            self._take(message)
        return self._exit_statuses.get(self._pid)

    def at_end(self, argv: list[str]) -> None:
        """Leave a command that is run once, after the parent has ended or called `close`."""
        self._request(do="at_end", argv=argv)

    def close(self, timeout: float = 45.0) -> None:
        """Kill the child, remove the directory, run the commands left; wait up to `timeout` seconds for all that."""
        self._channel.close()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_GRACE)
        if self._directory is not None:  # the supervisor itself was killed
            shutil.rmtree(self._directory, ignore_errors=True)

    def _request(self, **request: Any) -> dict[str, Any]:
        self._channel.settimeout(_GRACE)
        self._channel.sendall(_line(request))
        deadline = time.monotonic() + _GRACE
        while (message := self._receive(deadline)) is not None:
            if not self._take(message):
                if "error" in message:
                    raise OSError(message["error"])
                return message
        raise TimeoutError(f"the supervisor process did not answer to {request['do']!r} within {_GRACE:g} s")

    def _take(self, message: dict[str, Any]) -> bool:
        """True if the message is news of a child's end and no answer; it may come before the answer to its start."""
        if "exited" not in message:
            return False
        self._exit_statuses[message["exited"]] = message["status"]
        return True

    def _receive(self, deadline: float) -> dict[str, Any] | None:
        """The next message, or None at the deadline (monotonic seconds)."""
        while b"\n" not in self._received:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return None
            self._channel.settimeout(remaining)
            try:
                chunk = self._channel.recv(4096)
            except TimeoutError:
                return None
            if not chunk:
                raise ConnectionError("the supervisor process has ended")
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message


_forking = threading.Lock()
_channels: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _close_in_child() -> None:
    _forking.release()
    for channel in list(_channels):
        channel.close()


# Held across a fork, so that no child is forked between the creation of a channel and its entry in the set.
os.register_at_fork(
    before=_forking.acquire,
    after_in_parent=_forking.release,
    after_in_child=_close_in_child,
)


class _Supervision:
    """The supervisor's side: handles requests until the channel ends, then cleans up."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._sending = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._directory: str | None = None
        self._at_end: list[list[str]] = []

    def run(self) -> None:
        try:
            with contextlib.suppress(OSError), self._channel.makefile("rb") as requests:
                for line in requests:
                    self._send(self._handle(json.loads(line)))
        finally:
            self._clean_up()

    def _handle(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            match request["do"]:
                case "make_directory":
                    self._directory = tempfile.mkdtemp(prefix="zkdiscovery-test-")
                    return {"directory": self._directory}
                case "start":
                    return {"pid": self._start(request["argv"], request["log"])}
                case "signal":
                    if self._child is not None:
                        self._child.send_signal(request["number"])
                case "at_end":
                    self._at_end.append(request["argv"])
        except OSError as error:
            return {"error": str(error)}
        return {}

    def _start(self, argv: list[str], log: str) -> int:
        with Path(log).open("ab") as output:
            child = subprocess.Popen(
                argv,
                cwd=Path(log).parent,  # so that dumps of a crash are removed, too
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._child = child
        threading.Thread(target=self._report_exit, args=(child,), name="zkdiscovery-wait", daemon=True).start()
        return child.pid

    def _report_exit(self, child: subprocess.Popen[bytes]) -> None:
        self._send({"exited": child.pid, "status": child.wait()})

    def _send(self, message: dict[str, Any]) -> None:
        # A parent that is gone reads nothing; its end is noticed where requests are read.
        with contextlib.suppress(OSError), self._sending:
            self._channel.sendall(_line(message))

    def _clean_up(self) -> None:
        if self._child is not None:
            self._child.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(_GRACE)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
        for argv in self._at_end:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=_COMMAND_LIMIT, check=False)


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def main() -> None:
    """Run as the supervisor; standard input is the channel. Only the channel's end ends it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # SIG_IGN would be inherited by the child
    with socket.socket(fileno=0) as channel:
        _Supervision(channel).run()


if __name__ == "__main__":
    main()
