"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.server, pytest.mark.container]

USERS_TESTS = """
import threading
from zkdiscovery import Client, State

def test_register_and_discover(zkdiscovery_client):
    registration = zkdiscovery_client.register("payments", host="10.0.0.1", port=8080)
    registration.wait_registered(timeout=10)
    payments = zkdiscovery_client.discover("payments").wait_ready(timeout=10)
    assert payments.pick().port == 8080

def test_each_test_has_a_clean_namespace(zkdiscovery_client):
    assert zkdiscovery_client.service_names(timeout=10) == []

def test_a_cut(zkdiscovery_server, zkdiscovery_proxy):
    with Client(zkdiscovery_proxy.address, namespace=zkdiscovery_server.namespace) as client:
        client.wait_connected(timeout=10)
        assert zkdiscovery_proxy.connections == 1

def test_expiry(zkdiscovery_client, zkdiscovery_expire):
    registration = zkdiscovery_client.register("payments", host="10.0.0.1", port=8080)
    registration.wait_registered(timeout=10)
    expired = threading.Event()
    zkdiscovery_client.on_change(lambda state: expired.set() if state is State.EXPIRED else None)
    zkdiscovery_expire(zkdiscovery_client)
    assert expired.wait(10)
    registration.wait_registered(timeout=10)
"""


USERS_ENSEMBLE_TEST = """
from zkdiscovery import Client

def test_a_leader_that_is_killed(zkdiscovery_ensemble):
    leader = zkdiscovery_ensemble.leader()
    with Client(zkdiscovery_ensemble.hosts, namespace=zkdiscovery_ensemble.namespace) as client:
        client.register("payments", host="10.0.0.1", port=8080).wait_registered(timeout=10)
        leader.kill()
        assert zkdiscovery_ensemble.leader() is not leader
        client.register("orders", host="10.0.0.1", port=8081).wait_registered(timeout=20)
        zkdiscovery_ensemble.repair()
    assert len(zkdiscovery_ensemble.followers()) == 2
"""


def run_pytest(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "zkdiscovery.pytest_plugin", "-p", "no:cacheprovider", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            **environment,
        },
    )


def test_the_fixtures(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    (tmp_path / "test_users.py").write_text(USERS_TESTS)
    run = run_pytest(tmp_path, "-q", f"--zkdiscovery-source={pytestconfig.getoption('--zkdiscovery-source')}")
    assert "4 passed" in run.stdout, run.stdout + run.stderr
    assert run.returncode == 0


@pytest.mark.timeout(120)  # three servers start, and one again; on a busy machine each takes its time
def test_the_ensemble(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    (tmp_path / "test_users.py").write_text(USERS_ENSEMBLE_TEST)
    run = run_pytest(tmp_path, "-q", f"--zkdiscovery-source={pytestconfig.getoption('--zkdiscovery-source')}")
    assert "1 passed" in run.stdout, run.stdout + run.stderr
    assert run.returncode == 0


def test_the_client_ignores_the_settings_of_the_environment(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    (tmp_path / "test_users.py").write_text(
        "def test_it(zkdiscovery_client):\n"
        "    zkdiscovery_client.register('payments', 80, host='10.0.0.1').wait_registered(timeout=10)\n"
        "    (instance,) = zkdiscovery_client.instances('payments')\n"
        "    assert instance.zone is None\n"
        "    assert zkdiscovery_client.settings.auth is None\n"
    )
    run = run_pytest(
        tmp_path,
        "-q",
        f"--zkdiscovery-source={pytestconfig.getoption('--zkdiscovery-source')}",
        ZKDISCOVERY_HOSTS="production:2181",
        ZKDISCOVERY_ZONE="prod",
        ZKDISCOVERY_TLS__CA_FILE="/nowhere/ca.pem",
        ZKDISCOVERY_AUTH__USERNAME="me",
        ZKDISCOVERY_ACL="creator",
        ZKDISCOVERY_SESSION_TIMEOUT="soon",
    )
    assert "1 passed" in run.stdout, run.stdout + run.stderr


def test_without_a_server_a_test_fails_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "test_users.py").write_text("def test_it(zkdiscovery_server): pass")
    run = run_pytest(tmp_path, "--zkdiscovery-source=hosts", ZKDISCOVERY_TEST_HOSTS="nowhere:port")
    assert run.returncode == 1
    assert "ZKDISCOVERY_TEST_HOSTS must be host:port" in run.stdout
    assert "1 error" in run.stdout


def test_a_version_that_is_not_here_fails_a_test_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "test_users.py").write_text("def test_it(zkdiscovery_server): pass")
    run = run_pytest(tmp_path, "--zkdiscovery-source=local", "--zkdiscovery-version=3.1.0")
    assert run.returncode == 1
    assert "ZooKeeper 3.1.0 is" in run.stdout
    assert "1 error" in run.stdout


def test_the_options_are_explained(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, "--help")
    assert "--zkdiscovery-source={auto,hosts,container,local}" in run.stdout
    assert "--zkdiscovery-version=" in run.stdout
