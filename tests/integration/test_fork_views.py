"""What was made before a fork and is used after it: in the child it follows ZooKeeper, whatever is called first.

The world changes after the fork, so what a child shows of it comes from a connection of the child's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.child import Child
from tests.integration.forking_parent import PARENT
from tests.support import LIMIT
from zkdiscovery import Client
from zkdiscovery.testing import FaultProxy, ZookeeperServer

FORKED = "print('forked'); wait_word()\n"
FOLLOWED = "assert view.snapshot.stale; until(lambda: ids() == ['a', 'b'] and seen == ['a', 'b'])"


@pytest.fixture
def parent(zkdiscovery_server: ZookeeperServer, namespace: str) -> Iterator[Child]:
    with Child(PARENT, zkdiscovery_server.hosts, namespace) as child:
        yield child


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    return make_client().wait_connected(LIMIT)


def fork(parent: Child, *lines: str, change: Callable[[], object] | None = None) -> None:
    """Run lines in a forked child. With `change`, the child waits until that was called."""
    parent.say(f"fork({(FORKED if change else '') + chr(10).join(lines)!r})")
    if change is not None:
        parent.wait_line("forked")
        change()
        parent.say("go")


def well(parent: Child) -> None:
    """The child has done all that it was to do, and nothing has happened to the parent."""
    parent.wait_line("exit")  # or else the reason would be missing
    assert parent.wait_line("exit") == "0", "\n".join(parent.printed.items)
    parent.say("how_is_it()")
    assert parent.wait_line("parent") == "CONNECTED False"


def adding(client: Client) -> Callable[[], Any]:
    """Registers the instance b."""
    return lambda: client.register("payments", 8081, id="b").wait_registered(LIMIT)


USES = {
    "instances": "until(lambda: ids() == ['a', 'b'])",
    "snapshot": "until(lambda: not view.snapshot.stale); assert ids() == ['a', 'b']",
    "changes": """
known = {}
for change in view.changes(10.0):
    known.update(change.delta)
    if {"a", "b"} <= set(known):
        break
else:
    raise TimeoutError(f"got {known} only")
""",
    "on_change": """
known = {}
view.on_change(lambda change: known.update(change.delta))
until(lambda: len(known) == 2)
""",
    "wait_ready": "view.wait_ready(10.0, at_least=2)",
    "explain": "until(lambda: [report.instance.id for report in view.explain()] == ['a', 'b'])",
    "available": "until(lambda: sorted(instance.id for instance in view.available) == ['a', 'b'])",
    "pick": "until(lambda: view.pick().id == 'b')",
    "attempt": """
def attempt():
    with view.attempt() as attempt:
        return attempt.instance.id
until(lambda: attempt() == "b")
""",
    "call": "until(lambda: view.call(lambda instance: instance.id) == 'b')",
}


@pytest.mark.parametrize("use", USES)
def test_each_way_to_use_a_view_follows_in_the_child(parent: Child, client: Client, use: str) -> None:
    """Nothing else of the client is used there."""
    fork(parent, USES[use], change=adding(client))
    well(parent)


def test_a_snapshot_is_stale_right_after_the_fork(parent: Child) -> None:
    fork(
        parent,
        "first = view.snapshot",
        "assert first.stale and first.loaded and [instance.id for instance in first.instances] == ['a'], first",
        "until(lambda: not view.snapshot.stale)",
        "assert ids() == ['a']",
    )
    well(parent)


@pytest.mark.parametrize(
    "use", ["client.start()", "client.service_names()", "client.register('other', 1)", "client.discover('other')"]
)
def test_subscriptions_from_before_the_fork_are_told_once_anything_is_used(
    parent: Child, make_client: MakeClient, client: Client, use: str
) -> None:
    parent.say("seen = []; view.on_change(lambda change: seen.extend(change.delta)); until(lambda: seen == ['a'])")
    parent.say("leaders = []; election.on_change(lambda leader: leaders.append(leader and leader.id))")
    parent.say("until(lambda: leaders == [None])")

    def change() -> None:
        adding(client)()
        leading = make_client().election("job", id="somebody")
        leading.start(lambda term: term.wait_lost(None))
        parent_election = client.election("job")
        while (leader := parent_election.leader()) is None or leader.id != "somebody":
            pass

    fork(
        parent,
        use,
        "until(lambda: seen == ['a', 'b'])",
        "until(lambda: leaders and leaders[-1] == 'somebody')",
        change=change,
    )
    well(parent)


def test_subscriptions_whose_subject_nobody_holds_go_on_in_the_child(
    parent: Child, make_client: MakeClient, client: Client
) -> None:
    parent.say("seen = []; client.discover('payments').on_change(lambda change: seen.extend(change.delta))")
    parent.say("leaders = []; client.election('job').on_change(lambda leader: leaders.append(leader and leader.id))")
    parent.say("until(lambda: seen == ['a'] and leaders == [None]); gc.collect()")

    def change() -> None:
        adding(client)()
        make_client().election("job", id="somebody").start(lambda term: term.wait_lost(None))

    fork(
        parent,
        "client.start()",
        "until(lambda: seen == ['a', 'b'])",
        "until(lambda: leaders[-1] == 'somebody')",
        change=change,
    )
    well(parent)


def test_a_loop_over_changes_goes_on_in_the_child(parent: Child, client: Client) -> None:
    """In both processes."""
    parent.say("loop()")
    assert parent.wait_line("before:") == "a"
    parent.wait_line("forked", 2)
    adding(client)()
    assert parent.wait_line("below:") == "b"
    assert parent.wait_line("above:") == "b"
    well(parent)


@pytest.mark.parametrize("between", ["pass", "until(lambda: not view.snapshot.stale)"])
def test_two_forks_deep(parent: Child, client: Client, between: str) -> None:
    """The child between the two has used the client, or has not."""
    parent.say("seen = []; view.on_change(lambda change: seen.extend(change.delta)); until(lambda: seen == ['a'])")
    parent.say(f"grandchild = {FORKED + FOLLOWED!r}")
    fork(parent, between, "fork(grandchild)", "until(lambda: ids() == ['a', 'b'])")
    parent.wait_line("forked")
    adding(client)()
    parent.say("go")
    parent.wait_line("child done", 2)
    assert parent.wait_line("exit", 2) == "0", "\n".join(parent.printed.items)
    well(parent)


def test_a_fork_while_a_callback_runs(parent: Child, client: Client) -> None:
    """What waits for that callback is told in the child."""
    parent.say("seen, begun, go_on = [], threading.Event(), threading.Event()")
    parent.say("view.on_change(slow); begun.wait(10.0); print('begun')")
    parent.wait_line("begun")
    adding(client)()
    parent.say("until(lambda: ids() == ['a', 'b'])")

    def change() -> None:
        client.register("payments", 8082, id="c").wait_registered(LIMIT)

    fork(
        parent,
        "go_on.set()",
        "until(lambda: ids() == ['a', 'b', 'c'])",
        "until(lambda: sorted(seen) == ['a', 'b', 'c'])",
        change=change,
    )
    parent.wait_line("exit")
    parent.say("go_on.set()")
    well(parent)


def test_a_callback_that_forks(parent: Child, client: Client) -> None:
    parent.say("seen = []; view.on_change(lambda change: seen.extend(change.delta)); until(lambda: seen == ['a'])")
    code = FORKED + "reaped.set()\n" + FOLLOWED
    parent.say(f"code, reaped = {code!r}, threading.Event()")
    parent.say("view.on_change(lambda change: reaped.is_set() or fork(code) or reaped.set()); reaped.wait(20.0)")
    parent.wait_line("forked")
    adding(client)()
    parent.say("go")
    well(parent)


def test_a_thread_that_forks(parent: Child, client: Client) -> None:
    parent.say("seen = []; view.on_change(lambda change: seen.extend(change.delta)); until(lambda: seen == ['a'])")
    code = FORKED + FOLLOWED
    parent.say(f"thread = threading.Thread(target=fork, args=[{code!r}]); thread.start(); thread.join()")
    parent.wait_line("forked")
    adding(client)()
    parent.say("go")
    well(parent)


def test_a_fork_while_the_cache_applies_a_change(parent: Child, client: Client) -> None:
    """The set of the child is that of its own connection: nothing that came and went meanwhile stays in it."""
    parent.say("slowly = client.discover('payments', balancer=Slow()).wait_ready(20.0); print('ready')")
    parent.wait_line("ready")
    b = adding(client)()
    parent.say("Slow.applying.wait(20.0); assert len(slowly.instances) == 1")

    def change() -> None:
        b.close()
        client.register("payments", 8082, id="c").wait_registered(LIMIT)

    fork(
        parent,
        "Slow.go_on.set()",
        "slowly.wait_ready(10.0)",
        "until(lambda: not slowly.snapshot.stale)",
        "assert sorted(instance.id for instance in slowly.instances) == ['a', 'c'], slowly.instances",
        "assert sorted(instance.id for instance in slowly.available) == ['a', 'c'], slowly.available",
        "assert {slowly.pick().id for _ in range(10)} == {'a', 'c'}",
        change=change,
    )
    parent.wait_line("exit")
    parent.say("Slow.go_on.set()")
    well(parent)


def test_ejection_in_the_child(parent: Child, client: Client) -> None:
    """Of instances that have not changed since the fork, too."""
    adding(client)()
    parent.say(
        "both = client.discover('payments', balancer='round_robin').wait_ready(20.0, at_least=2); print('ready')"
    )
    parent.wait_line("ready")
    fork(
        parent,
        "until(lambda: not both.snapshot.stale)",
        "for _ in range(20):",
        "    try:",
        "        with both.attempt() as attempt:",
        "            if attempt.instance.id == 'a': raise ConnectionRefusedError",
        "    except ConnectionRefusedError: pass",
        "assert {both.pick().id for _ in range(10)} == {'b'}, both.explain()",
    )
    well(parent)


def test_a_child_that_is_cut_off_before_it_has_loaded(
    parent: Child, client: Client, zkdiscovery_proxy: FaultProxy
) -> None:
    """What was known serves on, and nothing is said to be removed."""
    parent.say(f"cut = Client({zkdiscovery_proxy.address!r}, namespace=namespace, session_timeout=3.0)")
    parent.say("removed = []; last = cut.discover('payments').wait_ready(20.0)")
    parent.say("last.on_change(lambda change: removed.extend(change.removed)); print('ready')")
    parent.wait_line("ready")
    lost = zkdiscovery_proxy.lose_reply("get_children")
    fork(
        parent,
        "least, end = 1, time.monotonic() + 15.0",
        "while last.snapshot.stale and time.monotonic() < end:",
        "    least = min(least, len(last.instances), len(last.available))",
        "assert not last.snapshot.stale and least == 1, least",
        "assert removed == [], removed",
    )
    well(parent)
    assert lost.happened


def test_a_view_that_was_closed_before_the_fork_stays_closed(parent: Child) -> None:
    parent.say("seen = []; closed = client.discover('payments').wait_ready(20.0); closed.on_change(seen.append)")
    parent.say("until(lambda: len(seen) == 1); closed.close()")
    fork(
        parent,
        "assert client.state.name == 'NEW', client.state",
        "assert [instance.id for instance in closed.instances] == ['a'] and closed.snapshot.stale",
        "assert len(list(closed.changes(5.0))) == 1, 'what is known, and the end'",
        "for call in (closed.pick, closed.wait_ready, lambda: closed.call(print), closed.attempt().__enter__):",
        "    try: call()",
        "    except ClientClosed: pass",
        "    else: raise AssertionError(call)",
        "assert [report.instance.id for report in closed.explain()] == ['a']",
        "closed.close(), repr(closed)",
        "assert client.state.name == 'NEW', 'a closed view connects to nothing'",
        "client.start(); until(lambda: not view.snapshot.stale)",
        "assert len(seen) == 1 and closed.snapshot.stale",
    )
    well(parent)


def test_a_client_that_was_closed_before_the_fork_stays_closed(parent: Child) -> None:
    parent.say("other = make_client(); gone = other.discover('payments').wait_ready(20.0); job = other.election('job')")
    parent.say("job.on_change(print); other.close()")
    fork(
        parent,
        "assert other.state.name == 'CLOSED' and gone.snapshot.stale and len(gone.instances) == 1",
        "for call in (other.start, gone.pick, gone.wait_ready, lambda: other.discover('payments'), job.leader):",
        "    try: call()",
        "    except ClientClosed: pass",
        "    else: raise AssertionError(call)",
        "assert len(list(gone.changes(5.0))) == 1, 'what is known, and the end'",
        "other.close()",
        "assert other.state.name == 'CLOSED'",
        "assert view.wait_ready(10.0).pick().id == 'a', 'the other client is not'",
    )
    well(parent)


def test_a_fork_while_the_client_closes(parent: Child) -> None:
    """What was closing is never ours: the child ends at once, and the parent goes on closing."""
    parent.say("other = make_client(); gone = other.discover('payments').wait_ready(20.0)")
    parent.say("closing = other.register('slow', 1, host='10.0.0.1', drain_delay=3.0).wait_registered(10.0)")
    parent.say("closer = threading.Thread(target=other.close); closer.start(); until(lambda: other.slot.ending.begun)")
    fork(parent, "begun = time.monotonic()", "other.close()", "assert time.monotonic() - begun < 2.0")
    parent.wait_line("exit")
    parent.say("assert closer.is_alive(); closer.join(20.0); print('closed', other.state, closing.state)")
    assert parent.wait_line("closed") == "CLOSED CLOSED"
    well(parent)


@pytest.mark.parametrize("leave", ["client.close()", "view.close()", "election.close()", "client.drain()", "sys.exit"])
def test_what_the_child_ends_leaves_the_parent_alone(parent: Child, client: Client, leave: str) -> None:
    parent.say("seen = []; view.on_change(lambda change: seen.extend(change.delta)); until(lambda: seen == ['a'])")
    end = "import atexit; atexit._run_exitfuncs()" if leave == "sys.exit" else leave
    fork(parent, "until(lambda: not view.snapshot.stale)", end)
    parent.wait_line("exit")
    adding(client)()
    parent.say("until(lambda: ids() == ['a', 'b'] and seen == ['a', 'b']); print('followed')")
    parent.wait_line("followed")
    well(parent)


def test_a_child_that_closes_before_it_has_used_anything(parent: Child) -> None:
    fork(
        parent,
        "begun = time.monotonic()",
        "client.close()",
        "assert time.monotonic() - begun < 2.0 and client.state.name == 'CLOSED'",
        "try: view.pick()",
        "except ClientClosed: pass",
        "else: raise AssertionError",
        "print('last known', *[instance.id for instance in view.instances], view.snapshot.stale)",
    )
    assert parent.wait_line("last known") == "a True"
    well(parent)
