"""A candidate process that stops itself at a step that it is told.

candidate.py <hosts> <namespace> <election> <session timeout> <rule, or new>
Is told on standard input, a line each: the step at which it stops itself while its lease begins, which starts its
campaign; then `report`, which ends it.

Says on standard output, as JSON: that it is ready; that it stops; that a lease can't be proven yet; that a lease began;
and at the end its leases. Beside the election it reads something every twentieth of the session timeout.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from tests import rules
from tests.faults.leases.recorded import RecordedLease, record
from tests.support import core_of
from zkdiscovery import Client, Term, ZkDiscoveryError
from zkdiscovery.election import candidacy
from zkdiscovery.session import Exists, Multi, Unproven
from zkdiscovery.session.lease import Leases

_lock = threading.Lock()
_steps: set[str] = set()  # the one at which it stops itself


def say(**what: object) -> None:
    """One line, whole."""
    with _lock:
        print(json.dumps(what), flush=True)


def stop(step: str) -> None:
    """Stand still, if this is the step."""
    if step in _steps:
        _steps.clear()
        say(event="stopping")
        os.kill(os.getpid(), signal.SIGSTOP)


def arm() -> None:
    """Put the steps into the code: before a proof, before its check is sent or answered, before its lease begins."""
    submit, answered, prove = Leases._submit, Leases.answered, Leases.prove

    def stop_and_prove(self: Leases, path: str, **options: Any) -> Any:
        stop("prove")
        return prove(self, path, **options)

    def stop_and_submit(self: Leases, request: Any, generation: int | None = None) -> Any:
        if isinstance(request, Multi):
            stop("send")
        return submit(self, request, generation)

    def stop_and_answer(self: Leases, request: Any, sent: float) -> None:
        if isinstance(request, Multi) and all(type(part).__name__ == "Check" for part in request.operations):
            stop("answer")
        answered(self, request, sent)

    class Stopping(RecordedLease):
        def __init__(self, *args: Any, **options: Any) -> None:
            stop("begin")
            super().__init__(*args, **options)
            say(event="began")

    class Told(Unproven):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            say(event="unproven")

    record()
    lease_module = sys.modules["zkdiscovery.session.lease"]
    lease_module.Lease = Stopping  # type: ignore[attr-defined]
    lease_module.Unproven = candidacy.Unproven = Told  # type: ignore[attr-defined,misc]
    Leases.prove = stop_and_prove  # type: ignore[method-assign]
    Leases._submit = stop_and_submit  # type: ignore[method-assign]
    Leases.answered = stop_and_answer  # type: ignore[method-assign]


def read(client: Client, pause: float) -> None:
    """As any client of a service does."""
    session = core_of(client).session
    while True:
        with suppress(ZkDiscoveryError):
            session.call(Exists("/"), deadline=time.monotonic() + 30.0)
        time.sleep(pause)


def main() -> None:
    """What the arguments say."""
    hosts, namespace, name, timeout, rule = sys.argv[1:]
    arm()
    if rule != "new":
        rules.follow(rule)
    client = Client(hosts, namespace=namespace, session_timeout=float(timeout)).wait_connected(60.0)
    threading.Thread(target=read, args=(client, core_of(client).session.timeout / 20), daemon=True).start()
    say(event="ready", timeout=core_of(client).session.timeout)
    _steps.add(sys.stdin.readline().strip())

    def lead(term: Term) -> None:
        term.wait_lost(None)

    client.election(name).start(lead)
    sys.stdin.readline()
    say(event="report", leases=[lease.span for lease in RecordedLease.all])


if __name__ == "__main__":
    main()
