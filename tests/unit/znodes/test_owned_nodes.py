"""Owned nodes, at moments that no server brings about."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from zkdiscovery.threads import Worker
from zkdiscovery.znodes import OwnedNodes


def test_the_garbage_collector_may_release_a_node_on_a_thread_that_holds_the_lock() -> None:
    """A loop over terms that was abandoned ends in the midst of anything, and waited for its own thread."""
    session: Any = SimpleNamespace(listen=lambda _listener: None)
    worker = Worker("unused")
    worker.close(0.0)
    nodes = OwnedNodes(session, worker)
    node = nodes.prepare("/a", b"", on_state=lambda _node: None)

    def release() -> None:
        with nodes._lock:
            node.release()

    thread = threading.Thread(target=release, daemon=True)
    thread.start()
    thread.join(5.0)
    assert not thread.is_alive()
    assert not node.desired.exists
