"""Signals of real processes: deregistration first, then what the signal did before."""

from __future__ import annotations

import signal
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import MakeClient
from tests.integration.child import Child
from tests.integration.registration.helpers import events, read
from tests.support import Truth, wait_view
from zkdiscovery import Service, Status
from zkdiscovery.testing import ZookeeperServer

SESSION_TIMEOUT = "10"  # seconds: had it to be waited for, the tests would notice
SERVICE = """
import queue, signal, sys, threading, time
from zkdiscovery import Client, close_on_signals
hosts, namespace, timeout, delay = sys.argv[1:]
client = Client(hosts, namespace=namespace, session_timeout=float(timeout))
"""
REGISTERED = """
registration = client.register("payments", 8080, id="a", host="10.0.0.1", drain_delay=float(delay))
registration.wait_registered(20.0)
print("ready")
"""
ON_SIGNALS = "close_on_signals(client)\n"

Start = Callable[..., Child]


@pytest.fixture
def start(zkdiscovery_server: ZookeeperServer, namespace: str) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(script: str, delay: float = 0.0) -> Child:
            arguments = (zkdiscovery_server.hosts, namespace, SESSION_TIMEOUT, str(delay))
            child = stack.enter_context(Child(SERVICE + script, *arguments))
            child.wait_line("ready")
            return child

        yield run


@pytest.fixture
def path(namespace: str) -> str:
    return f"{namespace}/services/payments/a"


@pytest.fixture
def view(make_client: MakeClient) -> Service:
    return make_client().discover("payments")


def assert_gone_politely(view: Service, path: str, truth: Truth) -> None:
    snapshot = wait_view(view, lambda snapshot: len(snapshot) == 0)
    assert not snapshot.suspects
    assert truth.get(path) is None


def test_sigterm_takes_it_out_and_then_ends_the_process(start: Start, view: Service, path: str, truth: Truth) -> None:
    child = start(ON_SIGNALS + REGISTERED)
    with events(truth, path) as seen:
        child.signal(signal.SIGTERM)
        assert child.process.wait(20.0) == -signal.SIGTERM
        assert_gone_politely(view, path, truth)
    assert seen.items == ["CHANGED", "DELETED"]


def test_sigint_is_a_keyboard_interrupt_as_before(start: Start, view: Service, path: str, truth: Truth) -> None:
    child = start(
        ON_SIGNALS
        + "try:"
        + textwrap.indent(REGISTERED, "    ")  # it may come as soon as that is ready
        + """
    obey()
except KeyboardInterrupt:
    print("interrupted", client.state, registration.state)
"""
    )
    child.signal(signal.SIGINT)
    assert child.wait_line("interrupted") == "CLOSED CLOSED"
    assert_gone_politely(view, path, truth)
    assert child.wait() == 0


def test_an_earlier_handler_is_called_afterwards(start: Start, path: str, truth: Truth) -> None:
    child = start(
        """
def earlier(number, frame):
    print("earlier", number, registration.state, threading.current_thread() is threading.main_thread())

signal.signal(signal.SIGTERM, earlier)
"""
        + ON_SIGNALS
        + REGISTERED
    )
    child.signal(signal.SIGTERM)
    assert child.wait_line("earlier") == f"{signal.SIGTERM.value} CLOSED True"
    assert truth.get(path) is None
    child.say("print('handler', signal.getsignal(signal.SIGTERM) is earlier)")
    assert child.wait_line("handler") == "True"
    assert child.wait() == 0


def test_an_ignored_signal_stays_ignored(start: Start, path: str, truth: Truth) -> None:
    child = start("signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + ON_SIGNALS + REGISTERED)
    child.signal(signal.SIGINT)
    child.say("print('serving', registration.state)")
    assert child.wait_line("serving") == "REGISTERED"
    assert truth.get(path) is not None


def test_the_main_thread_serves_on_while_the_instance_drains(
    start: Start, view: Service, path: str, truth: Truth
) -> None:
    child = start(ON_SIGNALS + REGISTERED, delay=3600.0)
    child.signal(signal.SIGTERM)
    draining = truth.wait(path, lambda node: read(path, node).status is Status.DRAINING)
    assert draining is not None
    for number in range(3):
        child.say(f"print('served', {number})")
        child.wait_line(f"served {number}")
    child.say("registration.drain(delay=0.0)")  # all calls have ended
    assert child.process.wait(20.0) == -signal.SIGTERM
    assert_gone_politely(view, path, truth)


def test_a_second_signal_proceeds_at_once(start: Start, path: str, truth: Truth) -> None:
    child = start(ON_SIGNALS + REGISTERED, delay=3600.0)
    child.signal(signal.SIGTERM)
    truth.wait(path, lambda node: read(path, node).status is Status.DRAINING)
    child.signal(signal.SIGTERM)
    assert child.process.wait(5.0) == -signal.SIGTERM  # far below the time limit for closing
    assert truth.get(path) is not None


def test_a_second_signal_of_another_kind_proceeds_at_once(start: Start, path: str, truth: Truth) -> None:
    child = start(ON_SIGNALS + REGISTERED, delay=3600.0)
    child.signal(signal.SIGTERM)
    truth.wait(path, lambda node: read(path, node).status is Status.DRAINING)
    child.signal(signal.SIGINT)
    assert child.process.wait(5.0) == -signal.SIGINT
    child.wait_line("KeyboardInterrupt")
    assert truth.get(path) is not None


def test_both_signals_at_once(start: Start, path: str, truth: Truth) -> None:
    child = start(ON_SIGNALS + REGISTERED, delay=3600.0)
    child.signal(signal.SIGTERM)
    child.signal(signal.SIGINT)
    assert child.process.wait(20.0) in {-signal.SIGTERM, -signal.SIGINT}


def test_several_clients_are_closed_side_by_side(start: Start, path: str, truth: Truth) -> None:
    child = start(
        """
other = Client(hosts, namespace=namespace, session_timeout=float(timeout))
close_on_signals(client, other, timeout=20.0)
second = other.register("payments", 8081, id="b", host="10.0.0.1", drain_delay=float(delay)).wait_registered(20.0)
"""
        + REGISTERED,
        delay=3600.0,
    )
    sibling = f"{path.removesuffix('/a')}/b"
    child.signal(signal.SIGTERM)
    for each in (path, sibling):
        truth.wait(each, lambda node, each=each: read(each, node).status is Status.DRAINING)
    child.say("registration.drain(delay=0.0)")
    child.say("second.drain(delay=0.0)")
    assert child.process.wait(20.0) == -signal.SIGTERM
    assert truth.children(path.removesuffix("/a")) == []


def test_the_time_limit_bounds_the_deregistration(start: Start, view: Service, path: str, truth: Truth) -> None:
    child = start("close_on_signals(client, timeout=1.0)\n" + REGISTERED, delay=3600.0)
    child.signal(signal.SIGTERM)
    assert child.process.wait(5.0) == -signal.SIGTERM
    assert_gone_politely(view, path, truth)


def test_after_the_block_a_signal_does_what_it_did_before(start: Start, path: str, truth: Truth) -> None:
    child = start(
        """
with close_on_signals(client) as handlers:
    assert signal.getsignal(signal.SIGTERM) == handlers._handle
handlers.restore()
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""
        + REGISTERED
    )
    child.signal(signal.SIGTERM)
    assert child.process.wait(20.0) == -signal.SIGTERM
    assert truth.get(path) is not None


def test_the_interpreter_s_end_waits_for_a_deregistration_under_way(start: Start, path: str, truth: Truth) -> None:
    child = start(ON_SIGNALS + REGISTERED, delay=0.5)
    with events(truth, path) as seen:
        child.signal(signal.SIGTERM)
        truth.wait(path, lambda node: read(path, node).status is Status.DRAINING)
        assert child.wait() in {0, -signal.SIGTERM}  # the main thread is through with its work at once
        assert truth.get(path) is None
    assert seen.items == ["CHANGED", "DELETED"]


def test_a_decorated_function_and_a_signal(start: Start, view: Service, path: str, truth: Truth) -> None:
    child = start(
        ON_SIGNALS
        + """
@client.registered("payments", 8080, id="a", host="10.0.0.1", ready="now")
def serve(registration):
    registration.wait_registered(20.0)
    print("ready")
    obey()

serve()
"""
    )
    child.signal(signal.SIGTERM)
    assert child.process.wait(20.0) == -signal.SIGTERM
    assert_gone_politely(view, path, truth)


def test_a_signal_during_a_close_waits_for_it(start: Start, path: str, truth: Truth) -> None:
    child = start(ON_SIGNALS + REGISTERED, delay=1.0)
    with events(truth, path) as seen:
        child.say("threading.Thread(target=client.close).start()")
        truth.wait(path, lambda node: read(path, node).status is Status.DRAINING)
        child.signal(signal.SIGTERM)
        assert child.process.wait(20.0) == -signal.SIGTERM
        assert truth.get(path) is None
    assert seen.items == ["CHANGED", "DELETED"]


@pytest.mark.parametrize("threads", ["", "threading.Thread.start = no_thread"])
def test_a_signal_after_the_end_of_the_main_thread(start: Start, path: str, truth: Truth, threads: str) -> None:
    """Other threads keep the process alive. From Python 3.12 on none can be started any more."""
    child = start(
        f"""
def serve():
    threading.main_thread().join()
    print("main thread ended")
    while True:  # a signal that comes just before the main thread blocks would not wake it
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        time.sleep(0.05)

def no_thread(_):
    raise RuntimeError("can't create new thread at interpreter shutdown")

{ON_SIGNALS}
signal.signal(signal.SIGUSR1, lambda *_: None)
threading.Thread(target=serve).start()
"""
        + REGISTERED
        + threads
    )
    assert child.process.stdin is not None
    child.process.stdin.close()
    child.wait_line("main thread ended")
    child.signal(signal.SIGTERM)
    assert child.process.wait(20.0) == -signal.SIGTERM
    assert truth.get(path) is None


def test_a_second_signal_while_a_server_stops_is_the_server_s(start: Start, path: str, truth: Truth) -> None:
    """Ours is not sent to it again when the leaving is over: some servers take a second one for impatience."""
    child = start(
        """
heard = []
signal.signal(signal.SIGTERM, lambda *_: (heard.append(1), print("heard", len(heard))))
"""
        + ON_SIGNALS
        + REGISTERED,
        delay=3600.0,
    )
    child.signal(signal.SIGTERM)
    truth.wait(path, lambda node: read(path, node).status is Status.DRAINING)
    child.signal(signal.SIGTERM)
    child.wait_line("heard 1")
    child.say("registration.drain(delay=0.0)")
    truth.wait(path, lambda node: node is None)
    child.say("client.slot.ending._idle.wait(20.0); print('drained', len(heard))")
    assert child.wait_line("drained") == "1"
