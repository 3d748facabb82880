"""`max_retries` of requests: each retry goes to the instance that is picked then, and never sends half a body."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
import requests
from urllib3.util import Retry

from tests.integration.docs.samples import free_port
from tests.integration.integrations.conftest import Watching, register
from tests.integration.integrations.web import Web
from tests.support import LIMIT
from zkdiscovery import Client
from zkdiscovery.integrations.requests import Adapter

UNAVAILABLE = Retry(total=2, status_forcelist=[503], allowed_methods=None)


@pytest.fixture
def session(client: Client, balancer: Watching) -> Iterator[Callable[[Retry | int], requests.Session]]:
    """Makes sessions with a `max_retries`."""
    with ExitStack() as stack:

        def make(retries: Retry | int) -> requests.Session:
            made = stack.enter_context(requests.Session())
            made.mount("http://", Adapter(client, max_retries=retries, balancer=balancer))
            return made

        yield make


MakeSession = Callable[[Retry | int], requests.Session]


@contextmanager
def two(client: Client, web: Web) -> Iterator[Web]:
    """Two instances, the first of which answers 503."""
    with Web() as other:
        web.status = 503
        register(client, "payments", web.port, other.port)
        yield other


def bodies() -> Iterator[bytes]:
    yield b"whole"


@pytest.mark.parametrize("body", [b"whole", io.BytesIO(b"whole")])
def test_a_retry_goes_elsewhere(
    body: bytes | io.BytesIO, client: Client, web: Web, session: MakeSession, balancer: Watching
) -> None:
    with two(client, web) as other:
        http = session(UNAVAILABLE)
        for _ in range(2):
            if isinstance(body, io.BytesIO):
                body.seek(0)
            response = http.post("http://payments.zk/echo", data=body, timeout=LIMIT)
            assert (response.json()["port"], response.json()["body"]) == (other.port, "whole")
    assert balancer.of("a")[2] >= 1


def test_a_generator_is_not_sent_again(client: Client, web: Web, session: MakeSession) -> None:
    with two(client, web):
        http = session(UNAVAILABLE)
        answers = [http.post("http://payments.zk/echo", data=bodies(), timeout=LIMIT) for _ in range(2)]
    assert sorted(answer.status_code for answer in answers) == [200, 503]
    assert {answer.json()["body"] for answer in answers} == {"whole"}


def test_the_last_answer_or_an_error_when_retries_are_used_up(client: Client, web: Web, session: MakeSession) -> None:
    register(client, "payments", web.port)
    web.status = 503
    with pytest.raises(requests.exceptions.RetryError):
        session(UNAVAILABLE).get("http://payments.zk/echo", timeout=LIMIT)
    patient = UNAVAILABLE.new(raise_on_status=False)
    assert session(patient).get("http://payments.zk/echo", timeout=LIMIT).status_code == 503


def test_errors_are_retried_as_told(client: Client, web: Web, session: MakeSession, balancer: Watching) -> None:
    register(client, "payments", free_port())
    with pytest.raises(requests.ConnectionError, match="refused"):
        session(2).get("http://payments.zk/echo", timeout=LIMIT)
    assert balancer.of("a") == (0, 0, 3)
    register(client, "stock", web.port)
    with pytest.raises(requests.ReadTimeout):
        session(0).get("http://stock.zk/hang", timeout=0.2)
    assert balancer.of("a") == (0, 0, 1)


def test_the_outside_is_retried_as_ever(web: Web, session: MakeSession) -> None:
    web.status = 503
    with pytest.raises(requests.exceptions.RetryError):
        session(UNAVAILABLE).get(f"http://127.0.0.1:{web.port}/echo", timeout=LIMIT)


def test_an_adapter_is_not_pickled(session: MakeSession) -> None:
    with pytest.raises(TypeError, match="make one in the other process"):
        pickle.dumps(session(0))
