"""A command below a supervisor and a guardian: its end in every way, and the end of either of them."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support import LIMIT, wait_until
from tests.unit.supervise.processes import Supervised, children_of
from zkdiscovery.session.clock import lease_now as clock_of_leases
from zkdiscovery.supervise import Child, Ended, Exited, Signals, Stopped, lease_now, supervise

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

# A deaf command with a deaf child in its group, and another in a session of its own.
DEAF = """
trap '' TERM INT HUP
sleep 3600 &
setsid sleep 3600 &
echo started
sleep 3600
"""


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("kill -TERM $$", 143), ("kill -SEGV $$", 139)],
)
def test_exit_codes(script: str, code: int) -> None:
    with Supervised(script) as supervised:
        assert supervised.wait() == code
        supervised.wait_gone()


def test_the_clock_is_that_of_leases() -> None:
    assert clock_of_leases() <= lease_now() <= clock_of_leases()


def test_a_program_that_is_missing() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        Child(["no-such-program"], env=os.environ, grace=1.0)


def test_a_program_that_can_t_be_run(tmp_path: os.PathLike[str]) -> None:
    with pytest.raises(PermissionError):
        Child([str(tmp_path)], env=os.environ, grace=1.0)


def test_a_group_of_its_own_and_the_descriptors_of_the_supervisor() -> None:
    with Supervised("echo $$ $(ps -o pgid= -p $$) $(ps -o sid= -p $$); ls /proc/$$/fd") as supervised:
        pid, group, session = map(int, supervised.line().split())
        assert group == pid
        assert session == os.getsid(0)
        assert [supervised.line() for _ in range(3)] == ["0", "1", "2"]
        assert supervised.line() == "", "neither the guardian's channel nor its pipes"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT])
def test_signals_reach_the_whole_group(number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    inner = f"trap 'echo inner; exit 0' {name}; echo ready; while :; do sleep 0.01; done"
    with Supervised(f"trap 'echo outer; exit 4' {name}\nsh -c \"{inner}\"") as supervised:
        assert supervised.line() == "ready"
        supervised.signal(number)
        assert {supervised.line(), supervised.line()} == {"inner", "outer"}
        assert supervised.wait() == 4


def test_a_signal_is_read_although_the_main_thread_waits() -> None:
    """Python's handlers run on the main thread, which the signal may reach just before a system call."""
    found: list[int] = []
    main_thread_waits, over = threading.Lock(), threading.Lock()
    main_thread_waits.acquire()
    over.acquire()

    def receive(signals: Signals) -> None:
        with main_thread_waits:
            signal.raise_signal(signal.SIGUSR1)  # interrupts this thread alone
            select.select([signals], [], [], 1.0)
            found.extend(signals.read())
            over.release()

    interval = sys.getswitchinterval()
    with Signals() as signals:
        thread = threading.Thread(target=receive, args=(signals,))
        thread.start()
        sys.setswitchinterval(LIMIT)  # so that the main thread goes on until it waits
        try:
            main_thread_waits.release()
            assert over.acquire(timeout=LIMIT)
        finally:
            sys.setswitchinterval(interval)
        thread.join(LIMIT)
    assert found == [signal.SIGUSR1]


def test_the_loop_sleeps_until_something_happens() -> None:
    looks = 0

    def tick() -> None:
        nonlocal looks
        looks += 1
        if looks < 3:
            threading.Thread(target=signals.wake).start()
        else:
            child.signal(signal.SIGTERM)

    with Signals() as signals, Child(["sleep", "3600"], env=os.environ, grace=1.0) as child:
        assert supervise(child, signals, tick=tick).code == 143
    assert 3 <= looks <= 5, "twice woken, and by the end of the command"


def test_what_outlives_the_command_is_told_and_then_killed() -> None:
    started = time.monotonic()
    script = "(trap 'echo told' TERM; echo ready; while :; do sleep 0.01; done) & setsid sleep 3600 & sleep 0.2; exit 5"
    with Supervised(script, grace=0.5) as supervised:
        assert supervised.line() == "ready"
        assert supervised.line() == "told"
        assert supervised.wait() == 5
        assert time.monotonic() - started > 0.5
        assert supervised.alive() == [], "the supervisor ends after all of it"


def test_the_end_of_the_command_is_told_before_that_of_its_descendants() -> None:
    script = "(trap '' TERM; sleep 3600) & sleep 0.2; exit 5"
    with Child(["sh", "-c", script], env=os.environ, grace=0.5) as child:
        assert next(child.read()) == Exited(5)
        begun = time.monotonic()
        assert next(child.read()) == Ended(5)
        assert time.monotonic() - begun > 0.3


def test_who_was_told_is_not_told_twice() -> None:
    """Many programs give up their orderly end when a second signal comes."""
    script = "(trap 'echo told; told=$((told+1))' TERM; echo ready; while :; do sleep 0.01; done) & sleep 3600"
    with Supervised(script, grace=0.3) as supervised:
        assert supervised.line() == "ready"
        supervised.signal(signal.SIGTERM)
        assert supervised.wait() == 143
        assert supervised.out.read() == "told\n"


def test_orphans_are_reaped_while_the_command_runs() -> None:
    with Supervised("(sleep 0.05 &); (sleep 0.05 &); sleep 0.3; echo done; sleep 3600") as supervised:
        assert supervised.line() == "done"
        wait_until(lambda: len(children_of(supervised.guardian)) == 1)


def test_the_deadline_kills_everything() -> None:
    begun = time.monotonic()
    with Supervised(DEAF, deadline=1.0) as supervised:
        assert supervised.wait() == 137
        assert supervised.alive() == []
        assert time.monotonic() - begun > 0.5


def test_what_happens_at_the_very_start_is_told() -> None:
    with Child(["sh", "-c", "kill -STOP $$; exit 3"], env=os.environ, grace=0.2) as child:
        assert select.select([child], [], [], LIMIT)[0]
        assert next(child.read()) == Stopped(signal.SIGSTOP)
        child.signal(signal.SIGCONT)
        assert next(child.read()) == Ended(3)


@pytest.fixture
def deaf() -> Iterator[Supervised]:
    """A deaf command with a deadline 2 s away, and 0.2 s of grace."""
    with Supervised(DEAF, deadline=2.0, grace=0.2) as supervised:
        assert supervised.line() == "started"
        yield supervised


def test_the_supervisor_is_killed(deaf: Supervised) -> None:
    begun = time.monotonic()
    deaf.signal(signal.SIGKILL)
    deaf.wait_gone()
    assert time.monotonic() - begun < 1.5, "before the deadline, because nobody is left to hear of the command"


def test_the_supervisor_is_stopped(deaf: Supervised) -> None:
    deaf.signal(signal.SIGSTOP)
    wait_until(lambda: deaf.alive() == [])
    deaf.signal(signal.SIGCONT)
    assert deaf.wait() == 137


def test_a_supervisor_is_killed_that_has_passed_on_a_reload() -> None:
    """SIGHUP tells many programs to reload, so the command is still to be told of the end."""
    script = "trap 'echo reload' HUP; trap 'echo told; exit' TERM; echo started; while :; do sleep 0.01; done"
    with Supervised(script, grace=5.0) as supervised:
        assert supervised.line() == "started"
        supervised.signal(signal.SIGHUP)
        assert supervised.line() == "reload"
        supervised.signal(signal.SIGKILL)
        assert supervised.line() == "told"


def test_nobody_is_woken_after_the_block() -> None:
    """A descriptor that was closed may be another's."""
    with Signals() as signals:
        number = signals.fileno()
        signals.wake()
        assert select.select([signals], [], [], LIMIT)[0]
    reading, writing = os.pipe()
    try:
        assert number in (reading, writing), "the numbers are used again"
        signals.wake()
        assert select.select([reading], [], [], 0.0)[0] == []
    finally:
        os.close(reading)
        os.close(writing)


def test_the_guardian_is_killed(deaf: Supervised) -> None:
    os.kill(deaf.guardian, signal.SIGKILL)
    assert deaf.wait() == 137
    assert deaf.alive() == []


def test_a_stopped_guardian_is_replaced_by_the_supervisor() -> None:
    with Child(["sh", "-c", DEAF.replace("echo started", "")], env=os.environ, grace=0.2) as child:
        guardian = child.processes[1]
        os.kill(guardian, signal.SIGSTOP)
        child.kill()
        events: list[Stopped | Exited | Ended] = []
        while not events or not isinstance(events[-1], Ended):
            events += child.read()
        assert events[-1] == Ended(-signal.SIGKILL)


def test_the_guardian_survives_signals(deaf: Supervised) -> None:
    numbers = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE,
                                        signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS}  # fmt: skip
    for number in numbers:
        os.kill(deaf.guardian, number)
    assert deaf.wait() == 137
    assert deaf.alive() == []


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Supervised("echo ready; sleep 0.5; exit 6") as supervised:
            assert supervised.line() == "ready"
            supervised.signal(signal.SIGHUP)
            assert supervised.wait() == 6
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signals_have_their_default_actions_in_the_command() -> None:
    with Supervised("sh -c 'kill -PIPE $$'; echo $?") as supervised:
        assert supervised.line() == "141"
