"""The public names: one list, kept in two places, and what using them costs."""

from __future__ import annotations

import ast
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import zkdiscovery
from tests.support import LIMIT
from zkdiscovery import balancing, errors

SOURCE = Path(zkdiscovery.__file__)

every_package = pytest.mark.parametrize("package", [zkdiscovery, balancing], ids=lambda package: package.__name__)


def run(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, timeout=LIMIT, cwd=SOURCE.parent.parent,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def names_for_type_checkers(package: ModuleType) -> set[tuple[str, str]]:
    """Home module and name, from the block that type checkers read."""
    tree = ast.parse(Path(str(package.__file__)).read_text())
    (block,) = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    return {
        (str(node.module).removeprefix(f"{package.__name__}."), alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_the_two_lists_agree() -> None:
    homes = [(module, name) for module, names in zkdiscovery._HOMES.items() for name in names]
    assert names_for_type_checkers(zkdiscovery) == set(homes)
    assert len(set(zkdiscovery.__all__)) == len(zkdiscovery.__all__)
    assert set(zkdiscovery.__all__) <= set(dir(zkdiscovery))


@every_package
def test_every_name_is_there(package: ModuleType) -> None:
    for name in package.__all__:
        assert getattr(package, name).__name__ == name


@every_package
def test_an_unknown_name_is_an_error(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'Nothing'"):
        package.Nothing  # noqa: B018


def test_every_error_is_public() -> None:
    tree = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert tree <= set(zkdiscovery.__all__)


def test_importing_loads_next_to_nothing() -> None:
    heavy = {"kazoo", "pydantic", "pydantic_settings", "tenacity", "typer", "rich", "asyncio", "ssl"}
    loaded = run("import sys, zkdiscovery; print(*sys.modules)").split()
    assert not heavy & set(loaded)
    assert {name for name in loaded if name.startswith("zkdiscovery.")} == {"zkdiscovery.lazy"}


def test_the_model_needs_no_connection() -> None:
    loaded = run("import sys; from zkdiscovery import Instance, Snapshot; print(*sys.modules)").split()
    assert not {"kazoo", "pydantic", "zkdiscovery.session"} & set(loaded)


def test_a_client_is_inert_until_it_is_used() -> None:
    """No environment is read, no thread started, nothing opened: safe at import time and before a fork."""
    code = """
import os, threading, sys
from zkdiscovery import Client, Election  # a module that is loaded on use is opened
opened = []
sys.addaudithook(lambda event, args: opened.append((event, args)) if event.startswith(("socket.", "open")) else None)
class Refuse(dict):
    def __getitem__(self, key): raise AssertionError(f"read {key}")
    get = __getitem__
real, os.environ = os.environ, Refuse()
client = Client(session_timeout=-1)
election = client.election("x")
client.on_change(print)
repr(client), client.state
os.environ = real
assert threading.active_count() == 1, threading.enumerate()
assert not opened, opened
assert "pydantic_settings" not in sys.modules and "zkdiscovery.settings" not in sys.modules
print("inert")
client.close()
"""
    assert run(code, ZKDISCOVERY_HOSTS="no such host") == "inert\n"


def test_a_client_can_not_be_pickled_and_says_why() -> None:
    with pytest.raises(TypeError, match="make one in the other process"):
        pickle.dumps(zkdiscovery.Client())


def test_errors_can_be_pickled() -> None:
    for cls in vars(errors).values():
        if isinstance(cls, type) and issubclass(cls, errors.ZkDiscoveryError):
            error = cls("what, where, what to do", path="/a", server="zk1:2181", outcome_unknown=True)
            again = pickle.loads(pickle.dumps(error))
            assert type(again) is cls
            assert str(again) == "what, where, what to do"
            assert (again.path, again.server, again.outcome_unknown) == ("/a", "zk1:2181", True)
