"""One call to one instance, measured: what balancers learn from."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Collection
from typing import Any, Self

from zkdiscovery.balancing import Endpoint, Outcome
from zkdiscovery.discovery.outcomes import outcome_of
from zkdiscovery.errors import NoInstanceAvailable
from zkdiscovery.model import Instance

log = logging.getLogger("zkdiscovery.discovery")

_SUCCESS = Outcome.SUCCESS  # looked up once: a member of an enum costs as much as a pick
_FAILURES = frozenset({Outcome.FAILURE, Outcome.OVERLOADED})
_NOT_ENTERED: list[Endpoint] = []  # stays empty


def _nothing(exclude: Collection[str]) -> NoInstanceAvailable:
    return NoInstanceAvailable(f"nothing to pick from, {len(exclude)} excluded")


class Attempt:
    """A context manager, sync and async, around one call: picks on entering, reports on leaving.

    Attributes:
        instance: whom to call; set on entering.
        outcome: how the call ended; set by the report.
    """

    __slots__ = ("_choose", "_classify", "_exclude", "_key", "_nothing", "_open", "_started", "instance", "outcome")

    instance: Instance
    outcome: Outcome

    def __init__(
        self,
        choose: Callable[[str | None, Collection[str]], Endpoint | None],
        key: str | None = None,
        exclude: Collection[str] = (),
        classify: Callable[[BaseException | None], Outcome] = outcome_of,
        nothing: Callable[[Collection[str]], NoInstanceAvailable] = _nothing,
    ) -> None:
        self._choose = choose
        self._classify = classify
        self._nothing = nothing
        self._key = key
        self._exclude = exclude
        self._open: list[Endpoint] = _NOT_ENTERED  # the endpoint, until its call was reported; popping is atomic

    def fail(self, reason: str = "") -> None:
        """The call failed although nothing was raised. Counts once; later reports are ignored.

        Args:
            reason: in a few words, for `Service.explain`.
        """
        self.report(Outcome.FAILURE, reason)

    def done(self, error: BaseException | None = None) -> None:
        """The call ended, with `error` or well. Counts once; later reports are ignored.

        If `classify` raises, or gives no outcome, that is logged, and an error counts as a failure.
        """
        outcome = _SUCCESS if error is None else Outcome.FAILURE
        try:
            given: object = self._classify(error)
            if isinstance(given, Outcome):
                outcome = given
            else:
                if inspect.iscoroutine(given):
                    given.close()
                log.error("can't classify %s: %.80r is no Outcome", type(error).__name__, given)
        except Exception:  # must not take the place of `error`
            log.exception("can't classify %s", type(error).__name__)
        finally:  # Ctrl-C in `classify` must not leave the call in flight for good
            self.report(outcome, "" if error is None else type(error).__name__)

    def report(self, outcome: Outcome, reason: str = "") -> None:
        """The call ended so, as the caller knows best: a response of 429 is `Outcome.OVERLOADED`. Counts once; later
        reports are ignored.

        Args:
            outcome: what the end says about the instance.
            reason: in a few words, for `Service.explain`.

        Raises:
            TypeError: `outcome` is none.
        """
        given: object = outcome
        if not isinstance(given, Outcome):
            raise TypeError(f"an attempt is reported with an Outcome, such as Outcome.FAILURE: got {outcome!r:.80}")
        try:
            endpoint = self._open.pop()
        except IndexError:  # reported already, or not entered
            return
        self.outcome = outcome
        if reason and outcome in _FAILURES:
            endpoint.last_failure = reason
        endpoint.finished(self._started, outcome)

    def __enter__(self) -> Self:
        if self._open is not _NOT_ENTERED:
            raise RuntimeError("an attempt can be entered once; ask for another one")
        endpoint = self._choose(self._key, self._exclude)
        if endpoint is None:
            raise self._nothing(self._exclude)
        self._open = [endpoint]
        self.instance = endpoint.instance
        self._started = endpoint.started()
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None:
            self.done(error)
        else:
            try:
                endpoint = self._open.pop()  # as in report(), without the call
            except IndexError:
                return
            self.outcome = _SUCCESS
            endpoint.finished(self._started, _SUCCESS)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *exc: Any) -> None:
        self.__exit__(*exc)
