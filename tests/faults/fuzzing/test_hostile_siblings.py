"""A real cache on a real server whose nodes were written by somebody hostile."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import MakeClient
from tests.faults.fuzzing.helpers import HOSTILE_TEXTS, HOSTILE_VALUES, SPRING, check_message, dump, nested, plain
from tests.integration.cli.conftest import Done, Running, options, run, start
from tests.integration.discovery.helpers import Written, ids
from tests.support import LIMIT, Recorder, Truth, core_of, wait_view
from zkdiscovery import Candidate, UndecodableNode
from zkdiscovery.cli.exits import ExitCode
from zkdiscovery.session import Create

__all__ = ["options", "run", "start"]

# What ZooKeeper takes for a name: no control characters, no surrogates, nothing beyond U+FFEF.
NAMES = (
    "\u202egnp.exe", "\u2028line", "\u200bnothing", "\ufeffbom", "a\u0301\u0301\u0301", " ", "  a  ", "%s%n", "{0.a}",
    "[red]markup", "\\x1b[31m", "'; rm -rf", "zookeeper", "\u0627\u0644", "a" * 300, "€" * 200, "-", "*", "a:b:c",
    "\u3000", "\u061c", "${jndi:ldap:x}",
)  # fmt: skip
ESCAPES = "\x1b[2J\x1b]0;owned\x07\u202e\r\n+ fake"


def hostile_nodes(seed: int) -> dict[str, bytes]:
    """Nodes by name: every odd name with healthy data, and plain names with all kinds of data."""
    rng = random.Random(seed)
    healthy = dump(plain(id="x"))
    nodes = dict.fromkeys(NAMES, healthy)
    data = [
        b"", b"\0", b"null", b"[]", b"{", rng.randbytes(300), healthy[:-1], b"\xef\xbb\xbf" + healthy, b"x" * 900_000,
        healthy.decode().encode("utf-16"), nested(100_000, "[", "]").encode(), b'{"address":' * 20_000,
        *(dump(plain(address=text)) for text in HOSTILE_TEXTS),
        *(dump(plain(payload={"@class": SPRING, "metadata": {"status": text}})) for text in HOSTILE_TEXTS),
        *(dump(plain(port=value)) for value in HOSTILE_VALUES),
        *(dump(dict.fromkeys(HOSTILE_TEXTS, number)) for number in range(2)),
    ]  # fmt: skip
    for _ in range(30):
        node = bytearray(healthy)
        for _ in range(3):
            node[rng.randrange(len(node))] ^= 1 << rng.randrange(8)
        data.append(bytes(node))
    return nodes | {f"n{number:03}": content for number, content in enumerate(data)}


@pytest.fixture
def payments(truth: Truth, namespace: str) -> Written:
    return Written(truth, namespace)


@pytest.fixture
def no_thread_dies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No thread ends by an exception that nobody caught."""
    dead: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: dead.append(repr(args)))
    yield
    assert dead == []


@pytest.mark.usefixtures("no_thread_dies")
def test_hostile_siblings_harm_nobody(
    make_client: MakeClient, payments: Written, truth: Truth, caplog: pytest.LogCaptureFixture
) -> None:
    """Before and after the cache opens: healthy ones stay and change, the others are rejected with a reason."""
    payments.add("healthy")
    nodes = hostile_nodes(1)
    half = len(nodes) // 2
    for name, data in list(nodes.items())[:half]:
        truth.create(f"{payments.path}/{name}", data)
    client = make_client()
    view = client.discover("payments").wait_ready(LIMIT)
    for name, data in list(nodes.items())[half:]:
        truth.create(f"{payments.path}/{name}", data)
    everything = {"healthy", *nodes}
    wait_view(view, lambda s: ids(s) | set(s.rejected) == everything)
    for data in hostile_nodes(2).values():  # one node that holds everything in turn
        truth.set(f"{payments.path}/healthy", data)
    payments.change("healthy", weight=7.0)
    snapshot = wait_view(view, lambda s: any(i.id == "healthy" and i.weight == 7.0 for i in s.instances))
    assert ids(snapshot) | set(snapshot.rejected) == everything
    assert ids(snapshot) & set(snapshot.rejected) == set()
    assert {"n000", "n008", "a" * 300, "zookeeper"} <= set(snapshot.rejected)
    assert all(instance.with_() == instance for instance in snapshot)
    for reason in snapshot.rejected.values():
        check_message(UndecodableNode(reason))
    assert "codec failed" not in " ".join(snapshot.rejected.values())
    assert view.pick().service == "payments"
    assert ids(client.instances("payments")) == ids(snapshot)
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR or r.exc_info]


def test_the_log_of_hostile_siblings_can_be_shown(
    make_client: MakeClient, payments: Written, truth: Truth, caplog: pytest.LogCaptureFixture
) -> None:
    """What is in a node never reaches a log as it is: no terminal escape, no faked line."""
    payments.add("healthy")
    for number, data in enumerate((dump(plain(address=ESCAPES)), dump({ESCAPES: 1}), ESCAPES.encode())):
        truth.create(f"{payments.path}/bad-{number}", data)
    client = make_client()
    view = client.discover("payments").wait_ready(LIMIT)
    wait_view(view, lambda s: len(s.rejected) == 3)
    client.instances("payments")
    messages = [record.getMessage() for record in caplog.records]
    assert len([message for message in messages if "left out" in message]) == 6
    assert all(message.isprintable() for message in messages)


def test_the_log_of_hostile_names_can_be_shown(
    make_client: MakeClient, payments: Written, truth: Truth, caplog: pytest.LogCaptureFixture
) -> None:
    """A name that turns the direction of writing, or breaks the line."""
    for name in ("\u202egnp.exe", "\u2028line"):
        truth.create(f"{payments.path}/{name}", b"bad")
    client = make_client()
    view = client.discover("payments")
    wait_view(view, lambda s: len(s.rejected) == 2)
    client.instances("payments")
    assert all(record.getMessage().isprintable() for record in caplog.records)


@pytest.mark.usefixtures("no_thread_dies")
def test_hostile_candidates_harm_no_election(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    """They stand in the queue, for ZooKeeper says so, but nothing of theirs is shown as it is."""
    path = f"{namespace}/elections/report"
    hostile = [b"", b"{", nested(100_000, "[", "]").encode(), dump({"id": ESCAPES}), dump({"id": "x" * 900_000})]
    for number, data in enumerate(hostile):
        truth.create(f"{path}/h{number}", data, ephemeral=True)
    client = make_client()
    election = client.election("report", id="us")
    leaders: Recorder[Candidate | None] = Recorder()
    election.on_change(leaders)
    candidates = election.candidates()
    assert len(candidates) == len(hostile)
    assert all(candidate.id.isprintable() and len(candidate.id) <= 256 for candidate in candidates)
    for number in range(len(hostile)):
        truth.delete(f"{path}/h{number}")
    with election.campaign(LIMIT) as term:
        assert not term.lost
        leaders.wait(lambda seen: seen[-1] is not None and seen[-1].id == "us")


def test_very_long_names_break_no_connection(
    make_client: MakeClient, payments: Written, truth: Truth, namespace: str
) -> None:
    """500 of them in one bulk read would exceed the 1 MiB that the server takes, again on each connection."""
    payments.add("healthy")
    others = Written(truth, namespace, "others")
    others.add("healthy")
    deadline = time.monotonic() + LIMIT
    for number in range(600):
        create = Create(f"{payments.path}/{'n' * 2500}{number}", b"", truth.session.leaf_acl)
        created = truth.session.submit(create, deadline=deadline)
    created.result(LIMIT)
    client = make_client()
    views = [client.discover(service).wait_ready(LIMIT) for service in ("payments", "others")]
    assert [ids(view.instances) for view in views] == [{"healthy"}] * 2
    assert len(views[0].snapshot.rejected) == 600
    assert core_of(client).session.generation == 1


# -- what the command shows of them --


def printable(done: Done) -> bool:
    return all(line.isprintable() for line in (done.out + done.err).split("\n"))


def test_the_command_shows_nothing_as_it_stands(run: Callable[..., Done], payments: Written, truth: Truth) -> None:
    """`services`, `instances`, `elections`: no escape, no direction mark, no line that is not ours; JSON is ASCII."""
    payments.add("healthy")
    zone = {"@class": SPRING, "metadata": {"x": ESCAPES, ESCAPES: "x"}}
    truth.create(f"{payments.path}/\u202egnp.exe", dump(plain(payload=zone)))
    truth.create(f"{payments.path}/bad", dump(plain(address=ESCAPES)))
    truth.create(f"{payments.path}/[red]r", dump(plain(payload=zone)))
    for command in (["services"], ["instances", "payments"], ["elections"]):
        for more in ([], ["-o", "json"], ["--debug"]):
            done = run(*command, *more)
            assert done.code == 0
            assert printable(done)
            assert done.out.isascii() or "json" not in more
    table = run("instances", "payments").out.splitlines()
    assert len(table) == 4
    assert "[red]r" in table[2] + table[1] + table[3]


def test_watch_shows_nothing_as_it_stands(start: Callable[..., Running], payments: Written, truth: Truth) -> None:
    """A hostile instance that comes, changes and goes under the eyes of an operator."""
    payments.add("healthy")
    watching = start("watch", "payments")
    watching.line("+ healthy")
    hostile = f"{payments.path}/\u202egnp.exe"
    truth.create(hostile, dump(plain(payload={"@class": SPRING, "metadata": {"x": ESCAPES}})))
    watching.line("+ ", "gnp.exe")
    truth.set(hostile, dump(plain(payload={"@class": SPRING, "metadata": {"y": ESCAPES * 2}})))
    watching.line("~ ", "gnp.exe")
    truth.set(hostile, dump(plain(address=ESCAPES)))
    watching.line("- ", "gnp.exe")
    watching.close()
    assert all(line.isprintable() for line in (*watching.out.items, *watching.err.items))
    assert len(watching.out.items) == 4


@pytest.mark.parametrize("command", ["services", "elections"])
def test_one_odd_name_does_not_hide_the_others(
    run: Callable[..., Done], payments: Written, truth: Truth, namespace: str, command: str
) -> None:
    """A folder named `zookeeper`, and one of 300 characters: no service of ours, and no reason to show nothing."""
    payments.add("healthy")
    truth.create(f"{namespace}/elections/report")
    for name in ("zookeeper", "a" * 300):
        truth.create(f"{namespace}/{command}/{name}")
    done = run(command)
    assert done.code == ExitCode.OK
    assert "payments" in done.out or "report" in done.out
