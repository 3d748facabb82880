"""Workers behind one port come and go, and nobody who looks notices.

`make test-servers` does it 50 times, and so does `RECYCLES=50 pytest -s` with this file.
"""

from __future__ import annotations

import logging
import os
import signal
from itertools import islice

import pytest

from tests.conftest import MakeClient
from tests.faults.registrations.shared_workers import DRAINING, UP, watching, ways_to_recycle, workers
from tests.support import IN_FULL, LIMIT, Truth, wait_view
from zkdiscovery.testing import ZookeeperServer
from zkdiscovery.znodes import watched

RECYCLES = int(os.environ.get("RECYCLES", "50" if IN_FULL else "6"))  # each way once
HOLD = os.environ.get("HOLD")  # seconds; what a view allows between the two events of one transaction


@pytest.mark.timeout(120 + 20 * RECYCLES)
def test_through_all_recycles_it_is_never_missing_and_drains_once_at_the_end(
    make_client: MakeClient,
    truth: Truth,
    zkdiscovery_server: ZookeeperServer,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`truth` sees every gap, because a server answers nobody within a transaction."""
    monkeypatch.setattr(watched, "ONE_TRANSACTION", float(HOLD or "0.25"))  # a busy machine
    view = make_client(session_timeout=30.0).discover("payments")
    with workers(zkdiscovery_server.hosts, namespace, timeout=20.0, drain_delay=0.5) as made:
        made.start(4)
        view.wait_ready(LIMIT)
        registered_at = view.pick().registered_at
        with watching(view, truth, made.path) as watch:
            done = []
            for name, children, number in islice(ways_to_recycle(made, truth), RECYCLES):
                made.end(children, number)
                made.start(len(children))
                done.append(name)
                print(len(done), name, flush=True)
                assert (set(watch.reads), made.loud()) == ({UP}, []), done
            assert set(watch.looks) == {UP}
            assert watch.statuses == [UP]
            assert view.pick().registered_at == registered_at, "it is one registration all the time"
            looks, reads = watch.looks[UP], watch.reads[UP]
            made.end(list(made.running), signal.SIGTERM)
            wait_view(view, lambda snapshot: not snapshot.instances)
        print(f"{len(done)} recycles, {looks} looks at the view, {reads} reads: {watch}")
        assert watch.statuses == [UP, DRAINING, "missing"]
        assert made.loud() == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
