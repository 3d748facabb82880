"""Elections: campaign for leadership, hold it for a term, follow who leads.

Guarantees
- One candidacy of an election object stands at a time: a new one begins after the node of the former is gone.
- After `close()` no term begins, and whoever waits for one is woken.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Literal, Self, TypeVar

from zkdiscovery.core import Core, CoreSlot
from zkdiscovery.election.candidacy import Candidacy
from zkdiscovery.election.candidate import MAX_ID, Candidate
from zkdiscovery.election.elections import Campaigns, Observers
from zkdiscovery.election.following import Following
from zkdiscovery.election.identity import default_candidate_id
from zkdiscovery.election.term import Term
from zkdiscovery.errors import ClientClosed, InvalidName, LeadershipLost, OperationTimeout
from zkdiscovery.lifecycle import await_signals, leaving
from zkdiscovery.threads import Subscription, start_thread
from zkdiscovery.validation import check_function, check_timeout, deadline_after, refuse_coroutine
from zkdiscovery.znodes import Paths

T = TypeVar("T")

log = logging.getLogger("zkdiscovery.election")

OnSuspend = Literal["hold", "release"]

LEAVE_TIMEOUT = 5.0  # seconds that leaving a campaign waits for the node to be gone
RESTART_DELAY = 1.0  # seconds before `start` campaigns again after its function raised


class Election:
    """One election, made by `Client.election`. Nothing is sent before the first campaign.

    Every method may be called from any thread; one campaign runs at a time.
    """

    def __init__(self, name: str, id: str | None, on_suspend: OnSuspend, slot: CoreSlot) -> None:
        if on_suspend not in {"hold", "release"}:
            raise ValueError(f"on_suspend must be 'hold' or 'release': got {on_suspend!r}")
        if id is not None and not (1 <= len(id) <= MAX_ID and id.isprintable()):
            raise InvalidName(f"the candidate's id must be a string of 1 to {MAX_ID} printable characters")
        Paths("").election(name)
        self.name = name
        self._id = id
        self._hold = on_suspend == "hold"
        self._slot = slot
        self._following = Following(name, slot)
        self._closed = threading.Event()
        self._renew()
        slot.add(self)

    def _renew(self) -> None:
        self._lock = threading.RLock()  # the garbage collector may end a generator of ours anywhere
        self._changed = threading.Condition(self._lock)
        self._busy = False  # a campaign is under way
        self._candidacy: Candidacy | None = None  # the present or the last one
        self._block: tuple[Term, threading.Thread] | None = None  # what runs as the leader
        self._thread: threading.Thread | None = None

    def forked(self) -> None:
        """In a forked child: as new, but closed if it was; candidacy and term are the parent's."""
        closed, self._closed = self._closed, threading.Event()
        if closed.is_set():
            self._closed.set()
        candidacy = self._candidacy
        self._renew()
        if candidacy is not None:
            candidacy.forked()

    def revive(self, core: Core) -> None:
        """In a forked child: a campaign begins when it is asked for."""

    @property
    def id(self) -> str:
        """What this candidate calls itself."""
        return self._id or default_candidate_id()

    @property
    def term(self) -> Term | None:
        """Our term, while it lasts."""
        candidacy = self._candidacy
        term = candidacy.term if candidacy is not None else None
        return None if term is None or term.lost else term

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
                yield self._elect(timeout)
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
            self._thread = start_thread(partial(self._run, fn), f"zkdiscovery-election-{self.name}")
        except BaseException:
            self._finish()
            raise

    def run_while_leader(self, fn: Callable[[Term], T], timeout: float | None = None) -> T | None:
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
        """Who leads, or comes next while a leader leaves; None if nobody stands; one read. Raises as `candidates`."""
        return next(iter(self.candidates(timeout)), None)

    def on_change(self, fn: Callable[[Candidate | None], object]) -> Subscription[Candidate | None]:
        """Call `fn(leader)` on the client's dispatcher thread when another candidate leads, the present one first.

        None stands for nobody. While ZooKeeper can't be reached nothing is called.

        Raises:
            TypeError: `fn` is no plain callable.
            ClientClosed: the election or the client was closed.
        """
        core = self._slot.current()
        with self._lock:
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

    def __repr__(self) -> str:
        if self._closed.is_set():
            state = "closed"
        elif self.term is not None:
            state = "leading"
        else:
            state = "campaigning" if self._busy else "idle"
        return f"<Election {self.name!r} {state}>"

    def __reduce__(self) -> str:
        raise TypeError("an election holds a connection and can't be pickled; call election() in the other process")

    # -- campaigns --

    def _require_open(self) -> None:
        if self._closed.is_set():
            raise ClientClosed(f"the election {self.name!r} was closed")

    def _begin(self) -> None:
        with self._lock:
            self._require_open()
            if self._busy:
                raise RuntimeError(
                    f"a campaign of this object for the election {self.name!r} is under way; make another one with"
                    " client.election()"
                )
            self._busy = True

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
                    term = self._elect(timeout)
                except ClientClosed:
                    return
                yield term
                self._leave()
        finally:
            if threading.get_ident() == thread:
                self._finish()
            else:  # the garbage collector ends a loop that was abandoned, on a thread that must not wait
                self._busy = False
                if self._candidacy is not None:
                    self._candidacy.withdraw()

    def _run(self, fn: Callable[[Term], object]) -> None:
        while True:
            try:
                self._run_turns(fn)
            except Exception:
                log.exception("the campaign for the election %r failed; it begins again", self.name)
            else:
                return
            if self._closed.wait(RESTART_DELAY):
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
                self._closed.wait(RESTART_DELAY)

    def _elect(self, timeout: float | None) -> Term:
        """Campaign until elected. A candidacy that was lost is followed by another."""
        timeout = check_timeout(timeout)
        end = deadline_after(timeout)
        while True:
            candidacy = self._stand(end)
            candidacy.wait(lambda it: it.term or it.over or self._closed.is_set(), end)
            with self._lock:
                self._require_open()
                term = candidacy.term
                if term is not None and not term.lost:
                    self._block = term, threading.current_thread()
                    return term
            if time.monotonic() >= end:
                error = candidacy.error or self._slot.current().session.status_message or "another candidate leads"
                raise OperationTimeout(f"not elected in {self.name!r} within {timeout:g} s: {error}")
            candidacy.withdraw()

    def _stand(self, end: float) -> Candidacy:
        """A candidacy; a new one once the former is over. It may be over, or have no term, when `end` comes."""
        former = self._candidacy
        if former is not None:
            former.wait(lambda it: it.over or self._closed.is_set(), end)
            if not former.over:
                return former
        campaigns = self._slot.current().feature(Campaigns)
        with self._lock:
            self._require_open()
            self._candidacy = campaigns.new_candidacy(self, self.name, self.id, hold=self._hold)
            return self._candidacy

    def _leave(self) -> None:
        """Leave the queue after the block. While connected, wait until the node is gone."""
        with self._lock:
            self._block = None
            candidacy = self._candidacy
            self._changed.notify_all()
        if candidacy is not None:
            candidacy.withdraw()
            with leaving(LEAVE_TIMEOUT) as limit:
                candidacy.wait_gone(limit)

    # -- closing --

    def end_term(self) -> None:
        """End the term, and let none begin. Never blocks; `leave` follows."""
        with self._lock:
            self._closed.set()
            candidacy = self._candidacy
        if candidacy is not None:
            candidacy.end_hold("the election was closed")

    def leave(self, deadline: float) -> None:
        """Wait for the block of the term, at most until `deadline` (monotonic seconds), and leave the queue.

        The next leader begins when our node goes: not before our block has ended, if it ends in time.
        """
        me = threading.current_thread()

        def ended() -> bool:
            return self._block is None or self._block[1] is me

        with self._lock:
            self._changed.wait_for(ended, max(0.0, deadline - time.monotonic()))
            still = None if ended() else self._block
            candidacy, runner = self._candidacy, self._thread
        if candidacy is not None:
            candidacy.withdraw("the election was closed")
            candidacy.wait_gone(max(0.0, deadline - time.monotonic()))
        if runner is not None and runner is not me:
            runner.join(max(0.0, deadline - time.monotonic()))
        if still is not None:
            term, thread = still
            log.error(
                "the election %r is closed, but the block of its term %d still runs on thread %s and leads no more",
                self.name, term.fence, thread.name,
            )  # fmt: skip
