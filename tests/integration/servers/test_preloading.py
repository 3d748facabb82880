"""`gunicorn --preload` with an application that uses a client while it is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.integration.lifecycle import preloading
from tests.support import LIMIT
from zkdiscovery.testing import ZookeeperServer


@pytest.mark.parametrize("number", range(3))
def test_each_worker_of_a_preloaded_application_answers_from_live_data(
    number: int, tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str, make_client: MakeClient
) -> None:
    make_client().register("stock", 8081, id="a", host="10.0.0.1").wait_registered(LIMIT)
    took, wrong = preloading.start(tmp_path, zkdiscovery_server.hosts, namespace)
    assert wrong == "", f"start {number}, after {took:.1f} s"
