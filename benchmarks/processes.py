"""Processes of a question, what each uses, and what the server received from it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from zkdiscovery.testing.wire import four_letter_word, split_host_port


class Process:
    """`python -m <module> <arguments>`, which says `ready` first and then answers each line with one.

    Attributes:
        pid: its id.
    """

    def __init__(self, module: str, *arguments: object) -> None:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        root = Path(__file__).parents[1]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
        self.pid = self._process.pid
        try:
            if self.answer() != ["ready"]:
                raise RuntimeError(f"{command} does not start")
        except BaseException:
            self.close()
            raise

    def tell(self, *words: object) -> None:
        """Say something."""
        assert self._process.stdin is not None
        print(*words, file=self._process.stdin, flush=True)

    def answer(self) -> list[str]:
        """The words of the next line."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().split()

    def kill(self) -> None:
        """As a crash does."""
        self._process.kill()

    def close(self) -> None:
        """Kill it, and wait until it is gone."""
        self.kill()
        self._process.communicate()


def cpu_seconds(pid: int) -> float:
    """CPU that all threads of a process have used, to the nanosecond: its clock, of clock_getcpuclockid(3) on Linux."""
    return time.clock_gettime(~pid << 3 | 2)


def wake_ups(pid: int) -> int:
    """Voluntary context switches of all threads that a process has now (Linux)."""
    states = "".join(status.read_text() for status in Path(f"/proc/{pid}/task").glob("*/status"))
    return sum(map(int, re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", states, re.MULTILINE)))


def server_process(hosts: str) -> psutil.Process | None:
    """The process of a server on this machine; None if it is elsewhere or not ours to see."""
    _, port = split_host_port(hosts)
    for connection in psutil.net_connections("tcp"):
        at = connection.laddr
        if connection.status == psutil.CONN_LISTEN and at and at.port == port and connection.pid:
            return psutil.Process(connection.pid)
    return None


class Connection(NamedTuple):
    """One of the server's, by the server's word.

    Attributes:
        port: the client's.
        session: its id.
        received: packets that came over it: requests, pings, and the one that opened it.
    """

    port: int
    session: int
    received: int


def connections(hosts: str) -> Iterator[Connection]:
    """All that the server has now."""
    answer = four_letter_word(hosts, "cons", timeout=10.0)
    found = re.findall(r":(\d+)\[\d+\]\(queued=\d+,recved=(\d+),sent=\d+,sid=0x(\w+)", answer)
    return (Connection(int(port), int(session, 16), int(received)) for port, received, session in found)


def received_from(hosts: str, *pids: int) -> int:
    """Packets that the server has received over the connections that these processes have now."""
    ports = {mine.laddr.port for pid in pids for mine in psutil.Process(pid).net_connections("tcp")}
    return sum(each.received for each in connections(hosts) if each.port in ports)
