"""Elections on threads: campaign for leadership, hold it for a term, follow who leads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Self, TypeVar

from zkdiscovery.election.base import LEAVE_TIMEOUT, RESTART_DELAY, BaseElection
from zkdiscovery.election.candidate import Candidate
from zkdiscovery.election.elections import Observers
from zkdiscovery.election.term import Term
from zkdiscovery.errors import ClientClosed, LeadershipLost, OperationTimeout
from zkdiscovery.lifecycle import await_signals, leaving
from zkdiscovery.threads import Subscription, run_steps, start_thread
from zkdiscovery.validation import check_function, check_timeout, deadline_after, refuse_coroutine

T = TypeVar("T")

log = logging.getLogger("zkdiscovery.election")


class Election(BaseElection[Term]):
    """One election, made by `Client.election`. Nothing is sent before the first campaign.

    Every method may be called from any thread; one campaign runs at a time.
    """

    make_term = Term

    @contextmanager
    def campaign(self, timeout: float | None = None) -> Iterator[Term]:
        """Wait for leadership; the block runs as the leader; leaving it resigns.

        Args:
            timeout: seconds to wait; None: until elected or closed.

        Raises:
            OperationTimeout: not elected in time; the queue is left.
            ClientClosed: the election or the client was closed.
            RuntimeError: a campaign of this object is under way.
            InvalidSettings: no time.
        """
        check_timeout(timeout)
        try:
            self._begin()
            try:
                yield run_steps(self._electing(timeout))
            finally:
                self._finish()
        except ClientClosed:
            await_signals()
            raise

    def terms(self, timeout: float | None = None) -> Iterator[Term]:
        """One turn for each leadership won, until the election or the client closes. Leaving in any way withdraws.

        Args:
            timeout: seconds to wait for one leadership, after which the loop ends; None: until closed.

        Raises:
            RuntimeError: a campaign of this object is under way.
            InvalidSettings: no time.
        """
        with suppress(OperationTimeout):
            yield from self._campaigns(timeout)

    def start(self, fn: Callable[[Term], object]) -> None:
        """Run `fn(term)` for each leadership won, on a background thread, until `close()`.

        If `fn` raises, it is logged, and the next campaign begins a second later. So it does after `sys.exit()`, which
        ends no process when it is called on a background thread.

        Raises:
            TypeError: `fn` is no function, or a coroutine or generator function.
            RuntimeError: a campaign of this object is under way, or was started already.
            ClientClosed: the election or the client was closed.
        """
        check_function(fn, "what a leader runs")
        self._begin()
        try:
            with self._changed:  # the thread may end at once, and then takes this lock to say so
                self._runner = start_thread(partial(self._run, fn), f"zkdiscovery-election-{self.name}")
        except BaseException:
            self._finish()
            raise

    def run(self, fn: Callable[[Term], T], timeout: float | None = None) -> T | None:
        """Campaign and call `fn(term)`, again if the term was lost meanwhile. None if closed before it returns.

        Args:
            fn: what only a leader may do.
            timeout: seconds to wait for leadership; None: until closed.

        Raises:
            OperationTimeout: not elected in time; the queue is left.
            TypeError: `fn` is no function, or a coroutine or generator function; or it returns a coroutine.
            RuntimeError: a campaign of this object is under way.
        """
        check_function(fn, "what a leader runs")
        for term in self._campaigns(timeout):
            try:
                result = fn(term)
                refuse_coroutine(result, "what a leader runs")
            except LeadershipLost:
                if not term.lost:
                    raise
            else:
                if not term.lost:
                    return result
        return None

    def candidates(self, timeout: float | None = 5.0) -> list[Candidate]:
        """All candidates, the leader first; one read.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        return self._slot.current().feature(Observers).candidates(self.name, check_timeout(timeout))

    def leader(self, timeout: float | None = 5.0) -> Candidate | None:
        """The leader, or who comes next while one leaves; None if nobody stands; one read. Raises as `candidates`."""
        return next(iter(self.candidates(timeout)), None)

    def on_change(self, fn: Callable[[Candidate | None], object]) -> Subscription[Candidate | None]:
        """Call `fn(leader)` on the client's dispatcher thread when another candidate leads, the present one first.

        None stands for nobody. While ZooKeeper can't be reached nothing is called.

        Raises:
            TypeError: `fn` is no plain callable.
            ClientClosed: the election or the client was closed.
        """
        core = self._slot.current()
        with self._changed:
            self._require_open()
            return self._following.subscribe(core, fn)

    def close(self, timeout: float | None = LEAVE_TIMEOUT) -> None:
        """End the term, wait for its block up to `timeout` seconds, leave the queue. Idempotent.

        A block that still runs then is logged at ERROR. From within the block, it is not waited for.
        """
        end = deadline_after(timeout)
        self.end_term()
        self._following.stop_observing()
        self.leave(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with leaving(LEAVE_TIMEOUT) as limit:
            self.close(limit)

    # -- campaigns --

    def _me(self) -> threading.Thread:
        return threading.current_thread()

    def _name_of(self, runner: object) -> str:
        return f"thread {runner.name}" if isinstance(runner, threading.Thread) else repr(runner)

    def _finish(self) -> None:
        try:
            self._leave()
        finally:
            self._busy = False

    def _campaigns(self, timeout: float | None) -> Iterator[Term]:
        check_timeout(timeout)
        try:
            self._begin()
        except ClientClosed:
            log.debug("the election %r is closed", self.name)
        else:
            yield from self._turns(timeout)
        await_signals()

    def _turns(self, timeout: float | None) -> Iterator[Term]:
        thread = threading.get_ident()
        try:
            while True:
                try:
                    term = run_steps(self._electing(timeout))
                except ClientClosed:
                    return
                yield term
                self._leave()
        finally:
            if threading.get_ident() == thread:
                self._finish()
            else:  # the garbage collector ends a loop that was abandoned, on a thread that must not wait
                self._busy = False
                self._withdraw()

    def _leave(self) -> None:
        """Leave the queue after the block. While connected, wait until the node is gone."""
        candidacy = self._withdraw()
        if candidacy is not None:
            with leaving(LEAVE_TIMEOUT) as limit:
                run_steps(candidacy.leaving(limit))

    def _run(self, fn: Callable[[Term], object]) -> None:
        try:
            self._run_campaigns(fn)
        finally:
            with self._changed:
                self._runner = None
                self._changed.notify_all()

    def _run_campaigns(self, fn: Callable[[Term], object]) -> None:
        while True:
            try:
                self._run_turns(fn)
            except Exception:
                log.exception("the campaign for the election %r failed; it begins again", self.name)
            else:
                return
            if self._wait_closed(RESTART_DELAY):
                return
            with suppress(ClientClosed):
                self._begin()

    def _run_turns(self, fn: Callable[[Term], object]) -> None:
        for term in self._turns(None):
            try:
                refuse_coroutine(fn(term), "what a leader runs")
            except BaseException as error:  # sys.exit() would end this thread, and so the campaign, without a word
                if isinstance(error, LeadershipLost) and term.lost:
                    log.info("the function of the election %r ended with its term", self.name)
                    continue
                log.exception("the function of the election %r raised; resigning, to campaign again", self.name)
                term.resign()
                self._wait_closed(RESTART_DELAY)

    def _wait_closed(self, timeout: float) -> bool:
        return self._changed.wait_for(lambda: self._closed, timeout)
