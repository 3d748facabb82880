"""locks: who holds what, who waits, and requests for a release."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.conftest import MakeClient
from tests.integration.cli.conftest import Done
from tests.support import LIMIT, Recorder, Truth, core_of, wait_until
from zkdiscovery import Hold
from zkdiscovery.cli.exits import ExitCode
from zkdiscovery.lifecycle import default_id
from zkdiscovery.session.requests import AccessEntry, Create

Run = Callable[..., Done]


def test_all(run: Run, make_client: MakeClient, truth: Truth, namespace: str) -> None:
    empty = run("locks")
    message = f"no lock and no semaphore is in use in {namespace}/locks and {namespace}/semaphores\n"
    assert (empty.code, empty.out, empty.err) == (0, "", message)
    assert run("locks", "-o", "json").json == []
    client, before = make_client(), time.time()
    with client.lock("free"):
        pass
    with client.lock("invoice") as hold, client.semaphore("gpu", 2) as lease, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(make_client().lock("invoice").acquire, LIMIT)
        wait_until(lambda: len(truth.children(f"{namespace}/locks/invoice")) == 2)
        gpu, invoice = run("locks", "-o", "json").json
        assert (gpu["name"], gpu["kind"], gpu["limit"], gpu["waiters"]) == ("gpu", "semaphore", 2, [])
        assert [who["fence"] for who in gpu["holders"]] == [lease.fence]
        (holder,), (waiter,) = invoice["holders"], invoice["waiters"]
        assert (invoice["name"], invoice["kind"], invoice["limit"]) == ("invoice", "lock", None)
        session = f"0x{core_of(client).session.session_id:x}"
        assert before - 5.0 < holder.pop("since") < time.time() + 5.0
        assert holder == {
            "id": default_id(), "session": session, "fence": hold.fence, "number": 0, "mode": "exclusive",
        }  # fmt: skip
        assert (waiter["number"], waiter["mode"]) == (1, "exclusive")
        header, first, second = [line.split() for line in run("locks").out.splitlines()]
        assert header == ["NAME", "KIND", "LIMIT", "HOLDER", "FENCE", "SINCE", "WAITING"]
        assert (first[:5], first[-1]) == (["gpu", "semaphore", "2", default_id(), str(lease.fence)], "0")
        assert (second[:5], second[-1]) == (["invoice", "lock", "-", default_id(), str(hold.fence)], "1")
        hold.release()
        waiting.result(LIMIT)


def test_one(run: Run, make_client: MakeClient, truth: Truth, namespace: str) -> None:
    first, second = make_client().read_write_lock("index"), make_client().read_write_lock("index")
    with first.read as one, second.read as two, ThreadPoolExecutor(1) as pool:
        writing = pool.submit(make_client().read_write_lock("index").write.acquire, LIMIT)
        wait_until(lambda: len(truth.children(f"{namespace}/locks/index")) == 3)
        done = run("locks", "index")
        assert (done.code, done.err) == (0, "lock index: held by 2, 1 waiting\n")
        header, *rows = [line.split() for line in done.out.splitlines()]
        assert header == ["STATE", "MODE", "ID", "SESSION", "FENCE", "NUMBER", "SINCE"]
        assert [(row[0], row[1], row[5]) for row in rows] == [
            ("holds", "shared", "0"),
            ("holds", "shared", "1"),
            ("waits", "exclusive", "2"),
        ]
        assert [int(row[4]) for row in rows[:2]] == [one.fence, two.fence]
        absolute = run("locks", f"{namespace}/locks/index", "-o", "json").json
        assert [len(absolute[0][key]) for key in ("holders", "waiters")] == [2, 1]
        one.release()
        two.release()
        writing.result(LIMIT)


def test_a_semaphore_that_nobody_holds_shows_its_limit(run: Run, make_client: MakeClient) -> None:
    make_client().semaphore("gpu").set_limit(3)
    done = run("locks", "gpu")
    assert (done.code, done.out, done.err) == (0, "", "semaphore gpu: held by 0 of 3, 0 waiting\n")
    assert run("locks", "gpu", "-o", "json").json == [
        {"name": "gpu", "kind": "semaphore", "limit": 3, "holders": [], "waiters": []}
    ]
    assert run("locks").out.splitlines()[1].split() == ["gpu", "semaphore", "3", "-", "-", "-", "0"]
    assert run("locks", "gpu", "--request-release").code == ExitCode.NOT_FOUND


def test_a_request(run: Run, make_client: MakeClient) -> None:
    lock, told = make_client().lock("invoice"), Recorder[Hold]()
    lock.on_release_requested(told)
    with lock as hold:
        done = run("locks", "invoice", "--request-release")
        assert (done.code, done.out) == (0, "")
        assert done.err == f"asked {default_id()} to release the lock invoice\n"
        assert told.wait(lambda items: len(items) == 1) == [hold]
        (asked,) = run("locks", "invoice", "--request-release", "-o", "json").json
        assert (asked["name"], asked["kind"]) == ("invoice", "lock")
        assert [who["fence"] for who in asked["asked"]] == [hold.fence]
        told.wait(lambda items: len(items) == 2)
        assert not hold.lost
    semaphore, asked_lease = make_client().semaphore("gpu", 2), Recorder[Hold]()
    semaphore.on_release_requested(asked_lease)
    with semaphore as lease:
        assert run("locks", "gpu", "--request-release").code == 0
        assert asked_lease.wait(lambda items: len(items) == 1) == [lease]


def test_what_is_not_there(run: Run, namespace: str) -> None:
    for options in ([], ["--request-release"]):
        done = run("locks", "nothing", *options)
        assert (done.code, done.out) == (ExitCode.NOT_FOUND, "")
        assert done.err == (
            f"error: nobody holds 'nothing' in {namespace}/locks/nothing or {namespace}/semaphores/nothing;"
            " `zkdiscovery locks` lists what is in use\n"
        )
        done = run("locks", "nothing", *options, "-o", "json")
        assert (done.code, done.json) == (ExitCode.NOT_FOUND, [])
    assert run("locks", "--request-release").code == ExitCode.USAGE
    assert run("locks", "a/b").code == ExitCode.USAGE


def test_what_others_wrote_or_hide(run: Run, make_client: MakeClient, truth: Truth, namespace: str) -> None:
    with make_client().lock("invoice"):
        truth.call(Create(f"{namespace}/locks/secret", b"", [AccessEntry(4, "world", "anyone")]))
        truth.create(f"{namespace}/locks/strange/[red]__lock__0000000003", b"\x1b[2J")
        truth.create(f"{namespace}/locks/strange/_c_x-lock-0000000004", b"__REVOKE__")
        truth.create(f"{namespace}/semaphores/gpu/limit", b"many")
        done = run("locks")
        assert done.code == 0
        for name, line in zip(("secret", "gpu"), done.err.splitlines(), strict=True):
            assert line.startswith("warning: ")
            assert name in line
        assert [line.split()[0] for line in done.out.splitlines()[1:]] == ["invoice", "strange"]
        strange = run("locks", "strange")
        assert [(line.split()[2], line.split()[5]) for line in strange.out.splitlines()[1:]] == [("?", "3"), ("?", "4")]
        assert "\x1b" not in done.out + done.err + strange.out + strange.err
        assert run("locks", "secret").code == ExitCode.REFUSED
