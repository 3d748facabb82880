"""Close open clients when the interpreter exits, and reset them in a forked child."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import weakref

from zkdiscovery.lifecycle.ending import Closable, Level, end

log = logging.getLogger("zkdiscovery.lifecycle")


_slots: weakref.WeakSet[Closable] = weakref.WeakSet()


def inhabit(slot: Closable) -> None:
    """Close a client when the interpreter ends, and tell it of forks."""
    _slots.add(slot)


def _known_slots() -> list[Closable]:
    while True:
        try:
            return list(_slots)
        except RuntimeError:  # another thread has made a client meanwhile
            continue


def _at_exit() -> None:
    slots = _known_slots()
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C: stop waiting
        try:
            end(slots, Level.CLOSED, process=True)
        except Exception:
            log.exception("ending a client failed; the others have ended")
        for slot in slots:  # what other threads are ending
            slot.ending.wait()


def _after_fork() -> None:
    for slot in _known_slots():
        try:
            slot.forked()
        except Exception:
            log.exception("%r can't be used in this forked process", slot)


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
