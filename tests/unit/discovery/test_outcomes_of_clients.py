"""What errors of real client libraries say about an instance: raised by real servers on the loopback interface."""

from __future__ import annotations

import asyncio
import functools
import http.client
import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import aiohttp
import botocore.config
import botocore.session
import httpx
import pytest
import requests
import urllib3

from tests.support import LIMIT
from zkdiscovery.balancing import Outcome
from zkdiscovery.discovery.outcomes import outcome_of
from zkdiscovery.testing import static_client

PATIENCE = 0.2  # seconds that a client waits for a server that says nothing

Fetch = Callable[[str, float], object]  # of a URL, within so many seconds


class Server(ThreadingHTTPServer):
    """Answers `/<status>` with that status, and misbehaves on `/silent`, `/cut`, `/garbage` and `/short`."""

    daemon_threads = False  # so that the end waits for them

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ended = Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        what = self.path.strip("/").split("/")[0].split("?")[0]
        self.close_connection = True
        if what == "silent":
            self.server.ended.wait(LIMIT)
        elif what == "garbage":
            self.wfile.write(b"\x00\x01\x02 nonsense\r\n\r\n")
        elif what == "short":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
        elif what != "cut":
            self.send_response(int(what))
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join(LIMIT)


def with_httpx(url: str, timeout: float) -> object:
    return httpx.get(url, timeout=timeout, trust_env=False, verify=False).raise_for_status()


def with_httpx_async(url: str, timeout: float) -> object:
    async def fetch() -> object:
        async with httpx.AsyncClient(timeout=timeout, trust_env=False, verify=False) as client:
            return (await client.get(url)).raise_for_status()

    return asyncio.run(fetch())


def with_requests(url: str, timeout: float) -> object:
    with requests.Session() as session:
        session.trust_env = False
        response = session.get(url, timeout=timeout, allow_redirects=False)
        response.raise_for_status()
        return response.content


def with_aiohttp(url: str, timeout: float) -> object:
    async def fetch() -> object:
        limit = aiohttp.ClientTimeout(timeout)
        async with (
            aiohttp.ClientSession(timeout=limit, raise_for_status=True) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            return await response.read()

    return asyncio.run(fetch())


def with_urllib(url: str, timeout: float) -> object:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout) as response:
            return response.read()
    except urllib.error.HTTPError as error:
        error.close()
        raise


@functools.cache
def botocore_session() -> botocore.session.Session:
    return botocore.session.get_session()  # remembers what it has read about S3


def with_botocore(url: str, timeout: float) -> object:
    config = botocore.config.Config(
        connect_timeout=timeout, read_timeout=timeout, retries={"total_max_attempts": 1}, proxies={},
        s3={"addressing_style": "path"},
    )  # fmt: skip
    address, _, path = url.rpartition("/")
    client = botocore_session().create_client(
        "s3", "eu-west-1", endpoint_url=address, aws_access_key_id="a", aws_secret_access_key="b", config=config
    )
    try:
        return client.get_object(Bucket=path, Key="k")["Body"].read()
    finally:
        client.close()


def with_urllib3(url: str, timeout: float) -> object:
    with urllib3.PoolManager(timeout=timeout, retries=False) as pool:
        return pool.request("GET", url).data


def with_http_client(url: str, timeout: float) -> object:
    address, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request("GET", f"/{path}")
        return connection.getresponse().read()
    finally:
        connection.close()


RAISE_FOR_STATUS = [with_httpx, with_httpx_async, with_requests, with_aiohttp, with_urllib, with_botocore]

every_client_that_raises_for_a_status = pytest.mark.parametrize("fetch", RAISE_FOR_STATUS)
every_client = pytest.mark.parametrize("fetch", [*RAISE_FOR_STATUS, with_urllib3, with_http_client])


def outcome(fetch: Fetch, url: str, timeout: float = LIMIT) -> Outcome:
    try:
        fetch(url, timeout)
    except Exception as error:
        return outcome_of(error)
    raise AssertionError(f"{fetch} raised nothing")


@every_client_that_raises_for_a_status
def test_a_status_says_whether_the_instance_answered(fetch: Fetch, server: Server) -> None:
    statuses = {status: outcome(fetch, f"{server.url}/{status}") for status in (404, 408, 409, 422, 429, 500, 502, 503)}
    assert statuses == {
        404: Outcome.SUCCESS,
        408: Outcome.FAILURE,
        409: Outcome.SUCCESS,
        422: Outcome.SUCCESS,
        429: Outcome.OVERLOADED,
        500: Outcome.FAILURE,
        502: Outcome.FAILURE,
        503: Outcome.OVERLOADED,
    }


@pytest.mark.parametrize("fetch", [with_httpx, with_httpx_async, with_urllib, with_botocore])
def test_not_modified_is_an_answer(fetch: Fetch, server: Server) -> None:
    assert outcome(fetch, f"{server.url}/304") is Outcome.SUCCESS


@every_client
@pytest.mark.parametrize("what", ["silent", "cut", "garbage", "short"])
def test_no_answer_and_half_an_answer_are_failures(fetch: Fetch, what: str, server: Server) -> None:
    assert outcome(fetch, f"{server.url}/{what}", PATIENCE if what == "silent" else LIMIT) is Outcome.FAILURE


@every_client
def test_a_refused_connection_is_a_failure(fetch: Fetch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert outcome(fetch, f"http://127.0.0.1:{port}/200") is Outcome.FAILURE


def test_retries_within_urllib3_that_were_used_up(server: Server) -> None:
    retries = urllib3.Retry(1, status_forcelist=[503], backoff_factor=0.0)
    with urllib3.PoolManager() as pool, pytest.raises(urllib3.exceptions.MaxRetryError) as raised:
        pool.request("GET", f"{server.url}/503", timeout=LIMIT, retries=retries)
    assert outcome_of(raised.value) is Outcome.FAILURE


def test_cancelled_tasks(server: Server) -> None:
    async def cancelled() -> Outcome:
        async with httpx.AsyncClient(trust_env=False) as client:
            task = asyncio.create_task(client.get(f"{server.url}/silent"))
            await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError as error:
                return outcome_of(error)
        raise AssertionError

    assert asyncio.run(cancelled()) is Outcome.CANCELLED


@every_client_that_raises_for_a_status
def test_answers_eject_nobody_and_are_explained_by_nothing(fetch: Fetch, server: Server) -> None:
    with static_client(payments=[f"127.0.0.1:{server.server_port}", "127.0.0.1:1"]) as client:
        payments = client.discover("payments", balancer="round_robin", where=lambda instance: instance.port != 1)
        for _ in range(6):
            with pytest.raises(Exception, match=r"404|Not Found"):
                payments.call(lambda instance: fetch(f"{instance.url}/404", LIMIT))
        (standing,) = [each for each in payments.explain() if each.instance.port != 1]
        assert (standing.successes, standing.failures, standing.why) == (6, 0, "")


def test_grpc() -> None:
    """In a process of its own, because gRPC's threads and handlers of forks would stay in this one."""
    script = Path(__file__).with_name("grpc_outcomes.py")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)], capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    answers = dict.fromkeys(
        [
            "ABORTED", "ALREADY_EXISTS", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE",
            "PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED",
        ],
        "SUCCESS",
    )  # fmt: skip
    failures = dict.fromkeys(["DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "UNKNOWN"], "FAILURE")
    expected = {**answers, **failures, "RESOURCE_EXHAUSTED": "OVERLOADED", "CANCELLED": "CANCELLED"}
    assert found.pop("unary") == expected
    assert found.pop("stream") == expected
    assert found.pop("asyncio") == expected
    assert found == {
        "handler raised": "FAILURE",
        "refused": "FAILURE",
        "deadline": "FAILURE",
        "cancelled future": "CANCELLED",
        "cancelled stream": "CANCELLED",
        "cancelled task": "CANCELLED",
    }


def test_no_client_library_is_imported() -> None:
    code = """
import sys
from zkdiscovery import outcome_of
outcome_of(ValueError()), outcome_of(OSError())
libraries = {"asyncio", "http", "urllib.error", "httpx", "requests", "aiohttp", "grpc", "botocore", "urllib3"}
print(*libraries & {*sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=LIMIT)
    assert done.stdout == "\n"
