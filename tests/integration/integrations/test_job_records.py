"""The record of the runs that leaders have begun, and who may write to it."""

from __future__ import annotations

import json
import time

import pytest

from tests.conftest import MakeClient
from tests.support import LIMIT, Truth, counting
from zkdiscovery import InvalidName, LeadershipLost, Term
from zkdiscovery.integrations.jobs import MAX_NAMES, Record, current_term, running_under
from zkdiscovery.testing import static_client


def test_a_leader_takes_over_what_the_one_before_has_begun(make_client: MakeClient) -> None:
    first, second = make_client(), make_client()
    record = Record(first, "jobs")
    with first.election("jobs").campaign(LIMIT) as term:
        assert record.take_over(term) == {}
        record.begin(term, "a", 10.5)
        record.begin(term, "b", 11.0)
    with second.election("jobs").campaign(LIMIT) as term:
        assert Record(second, "jobs").take_over(term) == {"a": 10.5, "b": 11.0}


def test_a_run_is_one_write_and_runs_that_are_due_together_are_one(make_client: MakeClient) -> None:
    client = make_client()
    record = Record(client, "jobs")
    with client.election("jobs").campaign(LIMIT) as term:
        record.take_over(term)
        with counting(client) as counts:
            for _ in range(3):
                record.begin(term, "a", 10.0)
            record.begin(term, "a", 9.0)
        assert {name: count for name, count in counts.items() if name not in {"Sync", "Multi", "Exists"}} == {
            "SetData": 1
        }


def test_nothing_is_recorded_under_a_term_that_is_over(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    client = make_client()
    record = Record(client, "jobs")
    with client.election("jobs").campaign(LIMIT) as term:
        record.take_over(term)
    with pytest.raises(LeadershipLost):
        record.begin(term, "a", 10.0)
    node = truth.get(f"{namespace}/jobs/jobs")
    assert node is not None
    assert json.loads(node.data)["runs"] == {}


class Ending:
    """A term that is resigned right after its first check, as by a client that closes."""

    def __init__(self, term: Term) -> None:
        self._term = term
        self.fence = term.fence

    @property
    def remaining(self) -> float:
        return self._term.remaining

    def check(self) -> None:
        self._term.check()
        self._term.resign()


def test_a_term_that_ends_while_the_record_is_taken_over_is_no_timeout(make_client: MakeClient) -> None:
    """The election logs a timeout as a failure of what the leader runs, and the end of its term not."""
    client = make_client()
    with client.election("jobs").campaign(LIMIT) as term, pytest.raises(LeadershipLost):
        Record(client, "jobs").take_over(Ending(term))  # type: ignore[arg-type]


def test_a_later_term_shuts_the_earlier_one_out(make_client: MakeClient) -> None:
    """Even if the earlier one takes itself for valid, as a paused process does between its check and its write.

    Two elections stand for that: their terms are valid at one time, and the later one has the larger fence.
    """
    client = make_client()
    early, late = Record(client, "jobs"), Record(client, "jobs")
    with client.election("one").campaign(LIMIT) as earlier, client.election("two").campaign(LIMIT) as later:
        early.take_over(earlier)
        early.begin(earlier, "a", 10.0)
        assert late.take_over(later) == {"a": 10.0}
        with pytest.raises(LeadershipLost, match=f"the jobs are run by the term {later.fence}"):
            early.begin(earlier, "a", 11.0)
        with pytest.raises(LeadershipLost):
            early.take_over(earlier)
        late.begin(later, "a", 11.0)


@pytest.mark.parametrize("data", [b"", b"[]", b"nonsense", b'{"fence": 1}', b'{"fence": 1, "runs": {"a": "x"}}'])
def test_a_record_that_can_not_be_read_is_replaced(
    data: bytes, make_client: MakeClient, truth: Truth, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    truth.create(f"{namespace}/jobs/jobs", data)
    client = make_client()
    record = Record(client, "jobs")
    with client.election("jobs").campaign(LIMIT) as term:
        assert record.take_over(term) == {}
        record.begin(term, "a", 10.0)
        assert record.take_over(term) == {"a": 10.0}
    assert "can't be read and is replaced" in caplog.text


def test_a_record_that_an_operator_deletes_is_made_anew(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    client = make_client()
    record = Record(client, "jobs")
    with client.election("jobs").campaign(LIMIT) as term:
        record.take_over(term)
        truth.delete(f"{namespace}/jobs/jobs")
        record.begin(term, "a", 10.0)
        assert record.take_over(term) == {"a": 10.0}


def test_a_record_is_bounded(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    runs = {str(number): float(number) for number in range(MAX_NAMES)}
    truth.create(f"{namespace}/jobs/jobs", json.dumps({"fence": 0, "runs": runs}).encode())
    client = make_client()
    record = Record(client, "jobs")
    with client.election("jobs").campaign(LIMIT) as term:
        record.take_over(term)
        record.begin(term, "new", 5000.0)
        kept = record.take_over(term)
    assert len(kept) == MAX_NAMES
    assert "new" in kept
    assert "0" not in kept


def test_no_name_for_an_election(make_client: MakeClient) -> None:
    with pytest.raises(InvalidName):
        Record(make_client(), "a/b")


def test_the_term_of_a_job(make_client: MakeClient) -> None:
    with pytest.raises(LookupError, match="no job of a leader's scheduler runs here"):
        current_term()
    with make_client().election("jobs").campaign(LIMIT) as term:
        with running_under(term):
            assert current_term() is term
        with pytest.raises(LookupError):
            current_term()


def test_a_record_ahead_of_the_clock_is_told(make_client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    client = make_client()
    record = Record(client, "jobs")
    with client.election("jobs").campaign(LIMIT) as term:
        record.take_over(term)
        record.begin(term, "a", time.time() + 3600)
        assert "in the future" not in caplog.text
        record.take_over(term)
    assert "in the future" in caplog.text


def test_without_zookeeper() -> None:
    """In users' own unit tests."""
    with static_client() as client:
        record = Record(client, "jobs")
        with client.election("jobs").campaign(LIMIT) as term:
            record.take_over(term)
            record.begin(term, "a", 10.0)
        with client.election("jobs").campaign(LIMIT) as term:
            assert record.take_over(term) == {"a": 10.0}
            with pytest.raises(LeadershipLost):
                client.lose_leadership("jobs")
                record.begin(term, "a", 11.0)
