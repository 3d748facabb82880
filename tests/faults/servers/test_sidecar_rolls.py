"""Programs that know nothing of us, below `zkdiscovery run`, are replaced under load."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.faults.servers.callers import Httpx
from tests.faults.servers.fleet import Fleet, Member
from tests.faults.servers.load import Load
from tests.faults.servers.paying import DRAIN_DELAY
from tests.faults.servers.stops import BETWEEN
from tests.integration.docs.samples import free_port
from tests.support import LIMIT, wait_view

FOLDER = Path(__file__).parent
PROGRAMS = {"node": "paying.js", sys.executable: "paying_plain.py"}
ROLLS = 3

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("interpreter", PROGRAMS, ids=["node", "python"])
def test_a_program_in_any_language_is_rolled(
    interpreter: str, tmp_path: Path, environment: dict[str, str], make_client: MakeClient
) -> None:
    """A new one is started, and the old one gets SIGTERM once the new one can be picked."""
    if shutil.which(interpreter) is None:
        pytest.skip(f"no {interpreter} here")

    def command(port: int) -> list[str]:
        options = ["--port", str(port), "--drain-delay", str(DRAIN_DELAY)]
        program = [interpreter, str(FOLDER / PROGRAMS[interpreter])]
        return ["-m", "zkdiscovery", "run", "payments", *options, "--", *program]

    client = make_client()
    with Fleet(command, tmp_path, environment, 1) as fleet, Httpx(client) as caller:
        view = client.discover("payments").wait_ready(3 * LIMIT)
        with Load(caller) as load:
            for _ in range(ROLLS):
                load.wait(BETWEEN)
                fleet.members.append(Member(command, free_port(), tmp_path, environment))
                view.wait_ready(3 * LIMIT, at_least=2)
                assert fleet.members[-2].terminate() == 143
                wait_view(view, lambda snapshot: len(snapshot) == 1)
            load.wait(BETWEEN)
    print(f"{load.ended} calls, {len(load.failed)} failed, {load.retried} retried")
    assert (load.failed, load.retried) == ([], 0), fleet.said()
    assert "Traceback" not in fleet.said()
