"""What the server's error codes are in our tree, and what messages say of a request."""

from __future__ import annotations

import pytest
from kazoo import exceptions as kazoo_exceptions

from zkdiscovery.errors import (
    AccessDenied,
    AuthenticationFailed,
    NodeChanged,
    NodeError,
    NodeExists,
    NodeMissing,
    NodeNotEmpty,
    NotConnected,
    OperationTimeout,
    QuotaExceeded,
    SessionExpired,
    UnsupportedServer,
    ZkDiscoveryError,
)
from zkdiscovery.session.requests import (
    Check,
    Create,
    Delete,
    GetChildren,
    GetData,
    Multi,
    MultiRead,
    Request,
    SetData,
    Sync,
)
from zkdiscovery.session.translate import PASSING, error_for_code

SECRET = b"data that belongs in no message"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (-4, NotConnected), (-6, UnsupportedServer), (-7, OperationTimeout), (-101, NodeMissing), (-102, AccessDenied),
        (-103, NodeChanged), (-108, NodeMissing), (-110, NodeExists), (-111, NodeNotEmpty), (-112, SessionExpired),
        (-114, AccessDenied), (-115, AuthenticationFailed), (-118, NotConnected), (-119, NotConnected),
        (-124, AuthenticationFailed), (-125, QuotaExceeded), (-127, NotConnected), (-5, NodeError), (-8, NodeError),
        (-12, SessionExpired), (-120, AccessDenied), (-121, NodeError), (-122, OperationTimeout),
    ],
)  # fmt: skip
def test_codes(code: int, error: type[ZkDiscoveryError]) -> None:
    raised = error_for_code(code, GetData("/a"), "zk1:2181")
    assert type(raised) is error
    assert (raised.path, raised.server) == ("/a", "zk1:2181")
    assert str(raised).startswith("read /a: ")
    assert "zk1:2181" in str(raised)
    assert "unknown" not in str(raised)


def test_every_code_that_kazoo_knows_has_an_error() -> None:
    assert all(isinstance(error_for_code(code, Sync("/")), ZkDiscoveryError) for code in kazoo_exceptions.EXCEPTIONS)


def test_an_unknown_code_is_told() -> None:
    error = error_for_code(-4711, Sync("/a"))
    assert type(error) is NodeError
    assert "-4711" in str(error)


@pytest.mark.parametrize("code", [-118, -119, -127, -4, -112])
def test_what_may_pass_a_moment_later(code: int) -> None:
    assert isinstance(error_for_code(code, Sync("/")), PASSING)


@pytest.mark.parametrize("code", [-6, -7, -101, -102, -110, -115, -124])
def test_what_will_not_pass(code: int) -> None:
    assert not isinstance(error_for_code(code, Sync("/")), PASSING)


@pytest.mark.parametrize(("code", "unknown"), [(-4, True), (-7, True), (-122, True), (-118, False), (-127, False)])
def test_whether_it_may_have_been_executed(code: int, unknown: bool) -> None:
    assert error_for_code(code, SetData("/a", SECRET)).outcome_unknown is unknown


@pytest.mark.parametrize(
    ("request_", "words", "path"),
    [
        (Create("/a", SECRET, ()), "create /a", "/a"),
        (SetData("/a", SECRET), "write /a", "/a"),
        (Delete("/a"), "delete /a", "/a"),
        (Check("/a"), "check /a", "/a"),
        (GetChildren("/a"), "list the children of /a", "/a"),
        (Multi([SetData("/a", SECRET), Delete("/b")]), "transaction of 2 on /a", "/a"),
        (MultiRead(["/a", "/b", "/c"]), "bulk read of 3 from /a", "/a"),
        (MultiRead([]), "bulk read of 0 from None", None),
    ],
)
def test_messages_name_request_and_path_never_data(request_: Request, words: str, path: str | None) -> None:
    error = error_for_code(-102, request_)
    assert str(error).startswith(f"{words}: ")
    assert error.path == path
    assert SECRET.decode() not in str(error)


@pytest.mark.parametrize(
    "request_",
    [
        GetData("/s/\u202egnp.exe\x1b[31m"),
        MultiRead(["/s/\u202e\n"]),
        Multi([Delete("/s/\u2028")]),
        Delete("/" + "x" * 9999),
    ],
    ids=["escapes", "bulk", "transaction", "long"],
)
def test_names_chosen_by_others_can_be_shown(request_: Request) -> None:
    """In logs, in `rejected` and on terminals."""
    text = str(error_for_code(-102, request_, "zk1:2181"))
    assert text.isprintable()
    assert len(text) < 1000
