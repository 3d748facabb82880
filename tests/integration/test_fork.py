"""Forks of a process that uses a client: the child has a connection of its own, and the parent notices nothing."""

from __future__ import annotations

import pytest

from tests.conftest import MakeClient
from tests.integration.child import Child
from tests.support import LIMIT, Truth
from zkdiscovery.testing import ZookeeperServer

PARENT = """
import faulthandler, os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: a fork beside threads
from zkdiscovery import Client, ClientClosed, LeadershipLost
from zkdiscovery.discovery import Discovery
from zkdiscovery.registration import Registrar

hosts, namespace = sys.argv[1:]
client = Client(hosts, namespace=namespace, session_timeout=3.0)
registration = client.register("payments", 8080, id="a", host="10.0.0.1").wait_registered(20.0)
view = client.discover("payments").wait_ready(20.0)
election = client.election("job")
won = threading.Event()

def lead(term):
    global led
    led = term
    won.set()
    term.wait_lost(None)

election.start(lead)
assert won.wait(20.0)

def session():
    return client.slot.current().session.session_id

def fork(child, leave=os._exit):
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(15.0, exit=True)  # whatever blocks for good
        try:
            child()
            print("child done")
        except BaseException as error:
            print("child failed", type(error), error)
            leave(1)
        leave(0)
    print("exit", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

def how_is_it():
    registration.update(version=(registration.instance.version or "") + "+")
    registration.wait_registered(20.0)
    print("parent", client.state, registration.state, client.slot.current().session.epoch, led.lost, session())

how_is_it()
"""


@pytest.fixture
def parent(zkdiscovery_server: ZookeeperServer, namespace: str):
    with Child(PARENT, zkdiscovery_server.hosts, namespace) as child:
        yield child


def undisturbed(parent: Child, truth: Truth, namespace: str) -> None:
    """Nothing has happened to the parent, and it can go on."""
    before = parent.wait_line("parent")
    parent.say("how_is_it()")
    assert parent.wait_line("parent", 2) == before
    assert before.startswith("CONNECTED REGISTERED 1 False")
    node = truth.get(f"{namespace}/services/payments/a")
    assert node is not None
    assert node.stat.ephemeral_owner == int(before.split()[-1])


def run(parent: Child, *lines: str) -> None:
    """Run lines in a forked child."""
    parent.say(f"exec({'def child():' + chr(10) + chr(10).join('    ' + line for line in lines)!r})")
    parent.say("fork(child)")


def test_a_child_works_with_a_session_of_its_own(
    parent: Child, make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    run(
        parent,
        "print('picked', view.pick().id, session())",
        "view.wait_ready(20.0, at_least=2)",
        "print('followed', sorted(instance.id for instance in view.instances))",
        "with client.register('payments', 8082, id='c', host='10.0.0.1') as mine:",
        "    mine.wait_registered(20.0)",
        "    print('registered')",
        "    view.wait_ready(20.0, at_least=3)",
        "client.close()",
    )
    own_session = parent.wait_line("picked a")
    make_client().register("payments", 8081, id="b").wait_registered(LIMIT)
    assert parent.wait_line("followed") == "['a', 'b']"
    parent.wait_line("registered")
    parent.wait_line("child done")
    assert parent.wait_line("exit") == "0"
    assert parent.wait_line("parent").split()[-1] != own_session
    assert truth.children(f"{namespace}/services/payments") == ["a", "b"]
    undisturbed(parent, truth, namespace)


def test_registrations_and_terms_are_the_parent_s(parent: Child, truth: Truth, namespace: str) -> None:
    run(
        parent,
        "print('state', registration.state, registration.error, led.lost, election.term)",
        "for call in (lambda: registration.update(weight=3.0), registration.wait_registered, registration.reclaim):",
        "    try: call()",
        "    except ClientClosed as error: print('refused', error)",
        "try: led.check()",
        "except LeadershipLost as error: print('lost', error)",
        "led.resign()",
        "registration.drain()",
        "registration.close()",
        "client.close()",
    )
    assert parent.wait_line("state") == "CLOSED None True None"
    assert "belongs to the parent process" in parent.wait_line("refused", 3)
    assert "parent process" in parent.wait_line("lost")
    parent.wait_line("child done")
    assert parent.wait_line("exit") == "0"
    undisturbed(parent, truth, namespace)


def test_a_child_that_ends_without_closing(parent: Child, truth: Truth, namespace: str) -> None:
    run(parent, "print('session', session())", "view.pick()", "os._exit(0)")
    parent.wait_line("session")
    assert parent.wait_line("exit") == "0"
    undisturbed(parent, truth, namespace)


def test_a_child_that_ends_as_an_interpreter_does(parent: Child, truth: Truth, namespace: str) -> None:
    parent.say("other = Client(hosts, namespace=namespace); other.start(); other.close()")
    parent.say("fork(lambda: client.register('payments', 1, id='b').wait_registered(20.0), leave=sys.exit)")
    parent.wait_line("child done")
    assert parent.wait_line("exit") == "0"
    assert truth.children(f"{namespace}/services/payments") == ["a"]
    undisturbed(parent, truth, namespace)


def test_multiprocessing(parent: Child, truth: Truth, namespace: str) -> None:
    parent.say("import multiprocessing")
    parent.say("work = lambda: print('works', view.pick().id, registration.state)")
    parent.say("process = multiprocessing.get_context('fork').Process(target=work); process.start()")
    assert parent.wait_line("works") == "a CLOSED"
    parent.say("process.join(20.0); print('exit', process.exitcode)")
    assert parent.wait_line("exit") == "0"
    undisturbed(parent, truth, namespace)


def test_a_client_made_before_the_fork_and_used_after_it(parent: Child, truth: Truth, namespace: str) -> None:
    parent.say("fresh = Client(hosts, namespace=namespace, session_timeout=3.0)")
    run(parent, "fresh.wait_connected(20.0)", "print('child', fresh.slot.current().session.session_id)")
    parent.wait_line("exit 0")
    parent.say("fresh.wait_connected(20.0); print('fresh', fresh.slot.current().session.session_id)")
    assert parent.wait_line("fresh") != parent.wait_line("child")
    undisturbed(parent, truth, namespace)


@pytest.mark.parametrize(
    "locks",
    [
        "client.slot._lock",
        "client.slot.dispatcher.ready",
        "registration._owned._lock",
        "registration._owned.node.changed",
        "client.feature(Registrar)._lock",
        "client.slot.current().nodes._lock",
        "client.slot.current().worker._ready",
        "client.slot.current().session.changed",
        "client.slot.current().session.watches._lock",
        "client.slot.current().session.maintenance._ready",
        "client.feature(Discovery)._lock",
        "client.slot.current()._lock",
        "client.slot.current().loader.worker._ready",
        "view._changed",
        "election._changed",
        "election._candidacy.changed",
        "led._lease._lock",
        "client.slot.current().session.leases._lock",
    ],
)
def test_a_lock_held_by_another_thread_blocks_no_child(parent: Child, truth: Truth, namespace: str, locks: str) -> None:
    parent.say(f"lock = {locks}; held, release = threading.Event(), threading.Event()")
    parent.say("exec('def hold():\\n    with lock:\\n        held.set()\\n        release.wait(20.0)')")
    parent.say("holder = threading.Thread(target=hold); holder.start(); held.wait(20.0)")
    run(
        parent,
        "registration.state, registration.instance, registration.error, repr(registration), repr(client), repr(view)",
        "registration.on_change(print)",
        "view.on_change(print)",
        "view.pick()",
        "led.lost, led.remaining, led.wait_lost(1.0), led.resign()",
        "registration.close()",
        "client.register('payments', 8082, id='c', host='10.0.0.1').wait_registered(20.0)",
        "view.wait_ready(20.0, at_least=2)",
        "with client.election('other').campaign(20.0): pass",
        "election.candidates()",
        "election.close()",
        "view.close()",
        "client.close()",
    )
    parent.wait_line("child done")
    parent.say("release.set(); holder.join(20.0)")
    assert parent.wait_line("exit") == "0"
    undisturbed(parent, truth, namespace)


def test_a_view_of_the_child_connects_once_there_is_a_thread_for_it(
    parent: Child, truth: Truth, namespace: str
) -> None:
    run(
        parent,
        "start = threading.Thread.start",
        "def exhausted(self): raise RuntimeError('no more')",
        "threading.Thread.start = exhausted",
        "try: view.pick()",
        "except RuntimeError as error: print('refused', type(error).__name__)",
        "threading.Thread.start = start",
        "print('picked', view.pick().id)",
        "import time",
        "end = time.monotonic() + 15.0",
        "while view.snapshot.stale and time.monotonic() < end: time.sleep(0.02)",
        "print('live', not view.snapshot.stale)",
    )
    assert parent.wait_line("refused") == "NoThreadAvailable"
    assert parent.wait_line("picked") == "a"
    assert parent.wait_line("live") == "True"
    assert parent.wait_line("exit") == "0"
    undisturbed(parent, truth, namespace)
