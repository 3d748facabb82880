"""The security guide: a ZooKeeper configured as it says serves its sample, and nobody else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.security.helpers import Authority, SecureServer, secure_server, settings
from tests.integration.docs.samples import ROOT, free_port, run
from tests.support import LIMIT
from zkdiscovery import AuthenticationFailed, Client
from zkdiscovery.settings import Acl, settings_without_environment

PAGE = (ROOT / "docs/how-to/security.md").read_text()


def block(title: str) -> str:
    """The sample of that name."""
    found = re.search(rf'^```\w+ title="{re.escape(title)}"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def configured(tmp_path: Path, authority: Authority) -> Iterator[SecureServer]:
    """A server with the page's own settings; its files are elsewhere."""
    config = dict(line.split("=", 1) for line in block("zoo.cfg").splitlines())
    ours = {"secureClientPort", "ssl.keyStore.location", "ssl.trustStore.location"}
    assert set(config) >= ours
    config = {name: value for name, value in config.items() if name not in ours}
    with secure_server(tmp_path, authority, authority.sign("localhost"), authority.sign("me"), config,
                       jaas=block("jaas.conf")) as server:  # fmt: skip
        yield server


def test_the_guide_works(configured: SecureServer, tmp_path: Path) -> None:
    """The sample runs; without its certificate, or its credentials, there is no connection."""
    authority, me = configured.authority, configured.client
    code = block("secure.py")
    for written, meant in {
        "zk1:2281,zk2:2281,zk3:2281": configured.tls_hosts,
        "/etc/zookeeper/ca.pem": str(authority.certificate),
        "/etc/zookeeper/me.pem": str(me.certificate),
        "/etc/zookeeper/me.key": str(me.key),
        "8080": str(free_port()),
    }.items():
        assert written in code
        code = code.replace(written, meant)
    (tmp_path / "secure.py").write_text(code)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZKDISCOVERY_")}
    lines = run(tmp_path, "secure.py", env=environment).splitlines()
    assert [line.split()[0] for line in lines] == ["found", "leading"]
    assert lines[1] == "leading True"
    nobody = settings(tls=configured.tls())
    with Client(configured.tls_hosts, settings=nobody) as client, pytest.raises(AuthenticationFailed):
        client.wait_connected(LIMIT)


def test_the_acl_is_one(tmp_path: Path) -> None:
    """What the guide gives to look only."""
    names: dict[str, Acl] = {}
    exec(block("look_only.py"), names)
    assert len(settings_without_environment(acl=names["look_only"]).acl) == 2


def test_every_setting_named_is_one() -> None:
    """The variables in the guide are known, so a misspelt one would be found."""
    variables = set(re.findall(r"ZKDISCOVERY_([A-Z_]+)", PAGE))
    known = settings_without_environment()
    fields = {name.upper() for name in type(known).model_fields}
    assert variables
    assert {variable.partition("__")[0] for variable in variables} <= fields
