"""Every example runs against a real server and prints what it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from zkdiscovery.testing import ZookeeperServer

EXAMPLES = Path(__file__).parents[3] / "examples"

EXPECTED = {
    "register.py": (["--seconds", "1"], r"serving http://\S+, id \S+\ndrained and gone\n"),
    "fastapi_service.py": (["--seconds", "3"], r"serving on port \d+\ndrained and gone\n"),
    "discover.py": ([], r"pick: 127.0.0.1:\d+\nattempt: hello from \d+\ncall: 10 answers from [12] instances\n"),
    "follow.py": ([], r"added    one UP\nadded    two UP\nupdated  one DOWN\nremoved  one\n"),
    "elect.py": ([], r"(worker-\d leads with fence \d+, \d+\.\d s ahead\n){3}fences grew: True\n"),
    "fenced_store.py": (
        [],
        r"first leader writes: True\nnext leader writes: True\nlate write of the first: False\nthe store holds: .*\n",
    ),
    "lock.py": (
        [],
        (
            r"(seller-\d sells one, [012] left\n){3}seller-\d finds none\nfences grew: True\nheld by us: True\n"
            r"a late write is refused, left: 0\n"
        ),
    ),
    "counter.py": ([], r"from 1 to 20, each once: True\nreplaced where it is 20: True now 1000\n"),
    "barrier.py": ([], r"(3 had come when one began, 3 were done when it went on\n){3}"),
    "shards.py": ([], r"three members with two shards each\none has left, and the others have kept .* had: True\n"),
    "operate.py": ([], r"before: \['one', 'two'\]\nset aside: \['two'\]\ngiven back: \['one', 'two'\]\n"),
    "many.py": ([], r"1000 instances, snapshot version \d+\n"),
}
WARNED = {"operate.py": "an operator has set 'one' of 'billing' to OUT_OF_SERVICE instead of UP\n"}  # the owner is


def test_every_example_is_run_and_listed() -> None:
    programs = {path.name for path in EXAMPLES.glob("*.py")}
    assert programs == set(EXPECTED)
    listed = set(re.findall(r"\]\((\w+\.py)\)", (EXAMPLES / "README.md").read_text()))
    assert listed == programs


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_example(name: str, zkdiscovery_server: ZookeeperServer) -> None:
    arguments, expected = EXPECTED[name]
    result = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name, *arguments],
        env={**os.environ, "ZKDISCOVERY_HOSTS": zkdiscovery_server.hosts},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(expected, result.stdout), result.stdout
    assert result.stderr == WARNED.get(name, "")
