"""The error tree: what each error is, what it carries, and that it travels."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from zkdiscovery import errors
from zkdiscovery.errors import NodeError, ZkDiscoveryError

ERRORS = [error for _, error in inspect.getmembers(errors, inspect.isclass) if issubclass(error, ZkDiscoveryError)]
BUILT_IN = {
    "NotConnected": ConnectionError,
    "OperationTimeout": TimeoutError,
    "AccessDenied": PermissionError,
    "InvalidName": ValueError,
    "InvalidInstance": ValueError,
    "InvalidSettings": ValueError,
    "UndecodableNode": ValueError,
    "InvalidDocument": ValueError,
    "CounterOverflow": OverflowError,
    "ClientClosed": RuntimeError,
    "NoThreadAvailable": RuntimeError,
    "NoServerForTests": RuntimeError,
}


def test_the_tree_at_the_top_of_the_file_is_the_tree() -> None:
    lines = (errors.__doc__ or "").splitlines()
    drawn = {line.split("──")[1].split()[0]: line for line in lines if "──" in line}
    assert set(drawn) == {error.__name__ for error in ERRORS} - {"ZkDiscoveryError"}
    branch, branches = "", dict[str, str]()  # the error above each one
    for name, line in drawn.items():
        inner = line.lstrip().startswith("│")
        branches[name] = branch if inner else "ZkDiscoveryError"
        branch = branch if inner else name
    for error in ERRORS:
        if error is ZkDiscoveryError:
            continue
        assert error.__bases__[0].__name__ == branches[error.__name__], error
        built_in = BUILT_IN.get(error.__name__)
        assert error.__bases__[1:] == (() if built_in is None else (built_in,)), error
        assert (f"({built_in.__name__})" in drawn[error.__name__]) if built_in else "(" not in drawn[error.__name__]


@pytest.mark.parametrize("error", ERRORS)
def test_message_and_attributes(error: type[ZkDiscoveryError]) -> None:
    plain = error("what happened")
    assert str(plain) == "what happened"
    assert (plain.path, plain.server, plain.outcome_unknown) == (None, None, False)
    full = error("what happened", path="/services/orders", server="zk1:2181", outcome_unknown=True)
    assert str(full) == "what happened"
    assert full.args == ("what happened",)
    assert (full.path, full.server, full.outcome_unknown) == ("/services/orders", "zk1:2181", True)
    assert error.__doc__


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("error", ERRORS)
def test_an_error_can_be_pickled_with_all_it_carries(error: type[ZkDiscoveryError], protocol: int) -> None:
    original = error("what happened", path="/services/orders", server="zk1:2181", outcome_unknown=True)
    original.add_note("while testing")
    for twin in (pickle.loads(pickle.dumps(original, protocol)), copy.copy(original), copy.deepcopy(original)):
        assert type(twin) is error
        assert str(twin) == str(original)
        assert repr(twin) == repr(original)
        assert twin.args == original.args
        assert (twin.path, twin.server, twin.outcome_unknown) == ("/services/orders", "zk1:2181", True)
        assert twin.__notes__ == ["while testing"]


def test_a_copy_has_attributes_of_its_own() -> None:
    original = NodeError("what happened", path="/a")
    twin = copy.copy(original)
    twin.path = "/b"
    assert original.path == "/a"
