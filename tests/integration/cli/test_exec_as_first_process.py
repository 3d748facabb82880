"""exec as the first process of a PID namespace, and of a real container."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.integration.cli.conftest import First, expect_orphans_reaped
from tests.support import LIMIT, wait_until
from zkdiscovery import ConfigStore

LOOP = "trap 'echo told; exit 4' TERM; echo > {folder}/started-$LIMIT; while :; do sleep 0.05; done"


@pytest.fixture
def store(make_client: MakeClient) -> ConfigStore:
    """The document `shop`, with one revision."""
    store = make_client().config_store("shop")
    store.replace({"limit": 1}, "first")
    return store


@pytest.fixture
def first(start_first: Callable[..., First], store: ConfigStore) -> Callable[[str], First]:
    """Runs a shell script below `exec`, which is the first process."""
    options = ("--config", "shop", "--timeout", str(LIMIT))
    return lambda script: start_first("exec", *options, "--", "sh", "-c", script)


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -KILL $$", 137)])
def test_exit_codes(first: Callable[[str], First], script: str, code: int) -> None:
    with first(script) as process:
        assert process.wait() == code


def test_a_restart_and_the_end(first: Callable[[str], First], store: ConfigStore, tmp_path: Path) -> None:
    """No process is left behind, neither of the former command nor of whoever enters the container."""
    with first(f"(sleep 0.1 &); {LOOP.format(folder=tmp_path)}") as process:
        wait_until((tmp_path / "started-1").exists)
        store.replace({"limit": 2}, "second")
        wait_until((tmp_path / "started-2").exists)
        expect_orphans_reaped(process)
        process.signal(signal.SIGTERM)
        assert process.wait() == 4
        assert process.output.count("told") == 2
