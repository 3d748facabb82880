"""Who a process is, and whether it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from zkdiscovery.registration import process
from zkdiscovery.registration.process import Process, can_tell, has_ended, this_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
        yield running
        running.kill()


def described(pid: int) -> Process:
    """What a process would say of itself."""
    return this_process()._replace(pid=pid, started=int(process._stat(pid)[process._STARTED]))


def test_this_process_runs() -> None:
    own = this_process()
    assert own.pid == os.getpid()
    assert own.started > 0
    assert can_tell(own)
    assert not has_ended(own)


def test_a_child_says_the_same_of_itself_as_others_say_of_it(child: subprocess.Popen[bytes]) -> None:
    script = "from zkdiscovery.registration.process import this_process as p; print(*p(), sep='|'); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        machine, namespace, pid, started = other.stdout.readline().strip().split("|")
        said = Process(machine, namespace, int(pid), int(started))
        assert said == described(other.pid)
        assert not has_ended(said)
        other.kill()
    assert has_ended(said)


def test_a_zombie_has_ended(child: subprocess.Popen[bytes]) -> None:
    found = described(child.pid)
    assert not has_ended(found)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    assert has_ended(found)


def test_a_number_that_was_given_out_again_is_another_process(child: subprocess.Popen[bytes]) -> None:
    found = described(child.pid)
    assert has_ended(found._replace(started=found.started - 1))


@pytest.mark.parametrize("change", [{"machine": "another"}, {"namespace": "pid:[1] time:[1]"}, {"namespace": ""}])
def test_nobody_can_tell_of_another_namespace(child: subprocess.Popen[bytes], change: dict[str, str]) -> None:
    found = described(child.pid)._replace(pid=2**22 + 1, **change)
    assert not can_tell(found)
    assert not has_ended(found)


@pytest.mark.parametrize("pid", [2**31, 2**70])
def test_a_number_that_is_none_ends_nothing(pid: int) -> None:
    assert not has_ended(this_process()._replace(pid=pid))


def test_a_proc_of_another_namespace_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "self").symlink_to("1")
    monkeypatch.setattr(process, "_PROC", tmp_path)
    process._describe.cache_clear()
    assert this_process().namespace == ""
    monkeypatch.setattr(process, "_PROC", tmp_path / "missing")
    process._describe.cache_clear()
    assert this_process().namespace == ""
    process._describe.cache_clear()


def test_a_process_whose_files_are_hidden_runs(child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    found = described(child.pid)
    this_process()  # kept
    monkeypatch.setattr(process, "_stat", lambda pid: (_ for _ in ()).throw(FileNotFoundError))
    assert not has_ended(found)
