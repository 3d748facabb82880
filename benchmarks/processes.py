"""Processes of a question: each is told lines and answers lines, so that its CPU is that of what it does alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from zkdiscovery.testing.wire import four_letter_word, split_host_port


class Process:
    """`python -m <module> <arguments>`, which says `ready` first and then answers each line with one."""

    def __init__(self, module: str, *arguments: object) -> None:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        root = Path(__file__).parents[1]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
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

    def ask(self, *words: object) -> list[float]:
        """Say something and wait for the numbers that it answers."""
        self.tell(*words)
        return [float(word) for word in self.answer()]

    def close(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.communicate()


def server_process(hosts: str) -> psutil.Process | None:
    """The process of a server on this machine; None if it is elsewhere or not ours to see."""
    _, port = split_host_port(hosts)
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return psutil.Process(connection.pid)
    return None


def received(hosts: str) -> int:
    """Packets that the server has received so far."""
    return int(four_letter_word(hosts, "mntr").partition("zk_packets_received\t")[2].split()[0])
