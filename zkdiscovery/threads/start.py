"""Start a thread, or say that there is none to be had."""

from __future__ import annotations

import threading
from collections.abc import Callable

from zkdiscovery.errors import NoThreadAvailable


def start_thread(target: Callable[[], object], name: str) -> threading.Thread:
    """A daemon thread that runs `target`.

    Raises:
        NoThreadAvailable: the system has none to give, or the interpreter ends.
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise NoThreadAvailable(
            f"the thread {name!r} can't be started: {error}; nothing was begun. Raise the limit of threads"
            " of this user or container, or end other threads"
        ) from error
    return thread
