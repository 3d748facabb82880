"""Campaigning: with a time limit, in a loop, on a background thread, by the decorator."""

from __future__ import annotations

import logging
import pickle
import sys
import threading

import pytest

from tests.conftest import MakeClient
from tests.integration.election.helpers import NAME, Line, candidacy_of, path_of
from tests.support import LIMIT, Recorder, Truth
from zkdiscovery import ClientClosed, LeadershipLost, OperationTimeout, Term
from zkdiscovery.election import election as election_module
from zkdiscovery.session.requests import AccessEntry, Create


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What campaigns again after an exception does so at once."""
    monkeypatch.setattr(election_module, "RESTART_DELAY", 0.0)


# -- campaign --


def test_who_is_not_elected_in_time_leaves_the_queue(make_client: MakeClient, line: Line, truth: Truth) -> None:
    leader = line.join(make_client())
    election = make_client().election(NAME)
    with pytest.raises(OperationTimeout, match=r"not elected in 'nightly-report' within 0\.1 s.*another candidate"):
        election.campaign(0.1).__enter__()
    assert truth.children(line.path) == [path_of(leader).rpartition("/")[2]]
    leader.leave()
    with election.campaign(LIMIT) as term:
        assert not term.lost


def test_loops_and_functions_that_wait_in_vain_leave_the_queue(
    make_client: MakeClient, line: Line, truth: Truth
) -> None:
    leader = line.join(make_client())
    client = make_client()
    assert list(client.election(NAME).terms(0.1)) == []
    ran: list[Term] = []
    for waits in (
        lambda: client.election(NAME).run(ran.append, 0.1),
        client.while_leader(NAME, timeout=0.1)(ran.append),
    ):
        with pytest.raises(OperationTimeout, match=r"not elected in 'nightly-report' within 0\.1 s.*another candidate"):
            waits()
    assert ran == []
    assert truth.children(line.path) == [path_of(leader).rpartition("/")[2]]
    leader.leave()
    assert client.election(NAME).run(lambda term: term.lost, LIMIT) is False
    for term in client.election(NAME).terms(LIMIT):
        assert not term.lost
        break


def test_a_campaign_that_fails_says_why(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    truth.create(f"{namespace}/elections", ephemeral=True)  # an ephemeral has no children
    client = make_client()
    client.wait_connected(LIMIT)
    with pytest.raises(OperationTimeout, match="not elected") as caught:
        client.election(NAME).campaign(0.5).__enter__()
    assert f"{namespace}/elections" in str(caught.value)
    assert "another candidate leads" not in str(caught.value)


def test_a_queue_that_can_t_be_read_is_told(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    truth.create(f"{namespace}/elections")
    not_read = [AccessEntry(31 - 1, "world", "anyone")]
    truth.call(Create(f"{namespace}/elections/{NAME}", b"", not_read))
    with pytest.raises(OperationTimeout, match=r"not elected.*(permission|ACL|right)"):
        make_client().election(NAME).campaign(0.5).__enter__()


def test_one_object_campaigns_once_at_a_time(make_client: MakeClient) -> None:
    election = make_client().election(NAME)
    with election.campaign(LIMIT) as term:
        with pytest.raises(RuntimeError, match="under way"):
            election.campaign(LIMIT).__enter__()
        with pytest.raises(RuntimeError, match="under way"):
            next(election.terms())
        with pytest.raises(RuntimeError, match="under way"):
            election.start(print)
        assert not term.lost
    terms = election.terms()
    first = next(terms)
    with pytest.raises(RuntimeError, match="under way"):
        election.campaign(LIMIT).__enter__()
    assert not first.lost
    terms.close()  # type: ignore[attr-defined]
    with election.campaign(LIMIT) as term:
        assert not term.lost


def test_another_object_is_free_while_one_waits(make_client: MakeClient, line: Line) -> None:
    line.join(make_client())
    second = line.join(make_client())
    with pytest.raises(RuntimeError, match="under way"):
        second.election.campaign(LIMIT).__enter__()
    assert candidacy_of(second).hold is None


# -- the term --


def test_a_term_tells_what_it_is(make_client: MakeClient) -> None:
    election = make_client().election(NAME)
    assert repr(election) == "<Election 'nightly-report' idle>"
    with election.campaign(LIMIT) as term:
        assert repr(election) == "<Election 'nightly-report' leading>"
        assert repr(term).startswith(f"<Term 'nightly-report' fence={term.fence} ")
        assert repr(term).endswith("s left>")
        assert term.reason is None
        assert 0.3 * 4.0 < term.remaining <= 0.9 * 4.0
        assert not term.wait_lost(0)
        term.check()
        term.resign()
        assert term.wait_lost(0)
        assert term.wait_lost(None)
        assert term.remaining == 0.0
        assert repr(term) == f"<Term 'nightly-report' fence={term.fence} lost: resigned>"
        with pytest.raises(LeadershipLost, match=rf"the term {term.fence} of the election .* is over: resigned"):
            term.check()
        term.resign()
        assert repr(election) == "<Election 'nightly-report' campaigning>"
    election.close()
    assert repr(election) == "<Election 'nightly-report' closed>"


def test_terms_and_elections_stay_in_their_process(make_client: MakeClient) -> None:
    election = make_client().election(NAME)
    with election.campaign(LIMIT) as term:
        with pytest.raises(TypeError, match="fence can"):
            pickle.dumps(term)
        with pytest.raises(TypeError, match="can't be pickled"):
            pickle.dumps(election)


# -- start --


def test_start_runs_the_function_for_each_term_on_a_background_thread(make_client: MakeClient) -> None:
    terms: Recorder[Term] = Recorder()
    threads = set()

    def lead(term: Term) -> None:
        threads.add(threading.current_thread())
        terms(term)
        if len(terms.items) == 1:
            term.resign()
        term.wait_lost(LIMIT)

    election = make_client().election(NAME)
    election.start(lead)
    first, second = terms.wait(lambda items: len(items) == 2)
    assert second.fence > first.fence
    assert threading.current_thread() not in threads
    election.close(LIMIT)
    assert second.lost
    assert not any(thread.is_alive() for thread in threads)


def test_a_function_that_raises_resigns_and_is_run_again(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    terms: Recorder[Term] = Recorder()

    def lead(term: Term) -> None:
        terms(term)
        if len(terms.items) == 1:
            raise ZeroDivisionError("by design")
        term.wait_lost(LIMIT)

    election = make_client().election(NAME)
    election.start(lead)
    first, second = terms.wait(lambda items: len(items) == 2)
    assert second.fence > first.fence
    assert not second.lost
    assert "raised; resigning" in caplog.text
    assert "by design" in caplog.text
    election.close(LIMIT)


def test_start_goes_on_after_a_function_that_calls_sys_exit(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """On a background thread it ends no process, and Python says nothing of it."""
    terms: Recorder[Term] = Recorder()

    def work(term: Term) -> None:
        terms(term)
        if len(terms.items) == 1:
            sys.exit("enough")
        term.wait_lost(LIMIT)

    with make_client().election(NAME) as election:
        election.start(work)
        first, second = terms.wait(lambda items: len(items) == 2)
    assert first.fence < second.fence
    assert "SystemExit: enough" in caplog.text


def test_a_function_that_ends_with_its_term_has_not_failed(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    terms: Recorder[Term] = Recorder()

    def lead(term: Term) -> None:
        terms(term)
        if len(terms.items) == 1:
            term.resign()
        term.wait_lost(LIMIT)
        term.check()

    election = make_client().election(NAME)
    election.start(lead)
    terms.wait(lambda items: len(items) == 2)
    election.close(LIMIT)
    assert "raised" not in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


# -- while_leader --


def test_the_result_of_the_decorated_function_is_returned(make_client: MakeClient, line: Line, truth: Truth) -> None:
    client = make_client()

    @client.while_leader(NAME)
    def with_term(term: Term) -> int:
        """Docs."""
        assert not term.lost
        assert truth.children(line.path)
        return term.fence

    @client.while_leader(NAME)
    def without() -> str:
        assert truth.children(line.path)
        return "done"

    first, second = with_term(), with_term()
    assert first is not None
    assert second is not None
    assert second > first
    assert without() == "done"
    assert truth.children(line.path) == []
    assert (with_term.__name__, with_term.__doc__) == ("with_term", "Docs.")


@pytest.mark.parametrize("checks", [True, False])
def test_the_decorated_function_runs_again_after_a_loss(
    make_client: MakeClient, truth: Truth, line: Line, checks: bool
) -> None:
    client = make_client()
    terms = []

    @client.while_leader(NAME)
    def work(term: Term) -> str:
        terms.append(term)
        if len(terms) == 1:
            (name,) = truth.children(line.path)
            truth.delete(f"{line.path}/{name}")
            assert term.wait_lost(LIMIT)
            if checks:
                term.check()
        return f"run {len(terms)}"

    assert work() == "run 2"
    assert terms[1].fence > terms[0].fence


def test_what_the_decorated_function_raises_ends_the_call(make_client: MakeClient, truth: Truth, line: Line) -> None:
    client = make_client()

    @client.while_leader(NAME)
    def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert truth.children(line.path) == []


def test_the_loss_of_another_term_is_an_error_like_any_other(make_client: MakeClient) -> None:
    client = make_client()

    @client.while_leader(NAME)
    def work() -> None:
        raise LeadershipLost("of something else")

    with pytest.raises(LeadershipLost, match="of something else"):
        work()


def test_closing_the_client_ends_the_call(make_client: MakeClient) -> None:
    client = make_client()
    leading = threading.Event()
    results = []

    @client.while_leader(NAME)
    def work(term: Term) -> str:
        leading.set()
        term.wait_lost(LIMIT)
        return "too late"

    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    assert leading.wait(LIMIT)
    client.close(LIMIT)
    thread.join(LIMIT)
    assert results == [None]
    with pytest.raises(ClientClosed):
        work()
