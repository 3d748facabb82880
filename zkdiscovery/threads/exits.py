"""Tells at once when other processes end, by pidfds: they need not be children.

Threads: one, which starts with `start` and waits in one system call for all processes. It calls `on_exit`, which must
not block. Any thread may call the public methods.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable, Collection, Hashable
from contextlib import suppress

from zkdiscovery.threads.start import start_thread

log = logging.getLogger("zkdiscovery.threads")


class Exits:
    """The ends of processes that somebody follows. It tells nothing where the system has no pidfds.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._fds: dict[Hashable, dict[int, int]] = {}  # by who follows and number of the process
        self._calls: dict[int, tuple[Hashable, int, Callable[[], None]]] = {}  # by fd; with who and number
        self._epoll: select.epoll | None = None
        self._thread: threading.Thread | None = None
        self._alarm = (-1, -1)  # a pipe that ends the thread
        self._closed = False

    def start(self) -> None:
        """Start the thread, unless it runs, or the system has no pidfds.

        Raises:
            NoThreadAvailable: the system has no thread to give.
        """
        with self._lock:
            if self._thread is not None or self._closed or not hasattr(os, "pidfd_open"):
                return
            epoll = select.epoll()
            alarm = os.pipe()
            epoll.register(alarm[0], select.EPOLLIN)
            self._epoll, self._alarm = epoll, alarm
            try:
                self._thread = start_thread(lambda: self._run(epoll, alarm[0]), self._name)
            except BaseException:
                self._epoll = None
                epoll.close()
                _close(*alarm)
                raise

    def follow(self, who: Hashable, pids: Collection[int], on_exit: Callable[[], None]) -> None:
        """Call `on_exit` once for each of these that ends from now on, and for no other one that `who` followed before.

        One that has ended already, or can't be followed, is passed over.
        """
        with self._lock:
            if self._epoll is None or self._closed:
                return
            known = self._fds.get(who, {})
            for pid in known.keys() - set(pids):
                self._forget(known[pid])
            for pid in set(pids) - known.keys():
                with suppress(OSError, OverflowError):  # ended, no leader of its threads, no pidfds, too many files
                    fd = os.pidfd_open(pid)
                    self._fds.setdefault(who, {})[pid] = fd
                    self._calls[fd] = (who, pid, on_exit)
                    self._epoll.register(fd, select.EPOLLIN | select.EPOLLONESHOT)

    def close(self, timeout: float) -> None:
        """Tell nothing more, and end the thread, within `timeout` seconds."""
        with self._lock:
            self._closed = True
            epoll, thread = self._epoll, self._thread
            for fd in list(self._calls):
                self._forget(fd)
        if epoll is None or thread is None:
            return
        os.write(self._alarm[1], b"\0")
        if thread is not threading.current_thread():
            thread.join(timeout)
        with self._lock:
            if not thread.is_alive() and self._epoll is not None:
                self._epoll = None
                epoll.close()
                _close(*self._alarm)

    def forked(self) -> None:
        """In a forked child: close what it inherited. The parent's are not touched."""
        self._lock = threading.Lock()
        self._closed = True
        epoll, self._epoll = self._epoll, None
        calls, self._calls = self._calls, {}
        if epoll is not None:
            _close(*calls, *self._alarm)
            epoll.close()

    def _forget(self, fd: int) -> Callable[[], None]:
        who, pid, call = self._calls.pop(fd)
        del self._fds[who][pid]
        if not self._fds[who]:
            del self._fds[who]
        if self._epoll is not None:
            with suppress(OSError):
                self._epoll.unregister(fd)  # a forked child may keep it open
        _close(fd)
        return call

    def _run(self, epoll: select.epoll, alarm: int) -> None:
        while True:
            for fd, _ in epoll.poll():
                if fd == alarm:
                    return
                with self._lock:
                    # The number may be that of a later process, who then is looked at in vain.
                    call = self._forget(fd) if fd in self._calls else None
                if call is None:
                    continue
                try:
                    call()
                except Exception:
                    log.exception("the end of a process could not be told")


def _close(*fds: int) -> None:
    for fd in fds:
        with suppress(OSError):
            os.close(fd)
