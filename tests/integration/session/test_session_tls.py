"""TLS against a real server, with certificates made for the occasion."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.session.conftest import MakeSession
from tests.integration.session.helpers import heard
from tests.support import LIMIT
from zkdiscovery.errors import NoServerForTests, NotConnected
from zkdiscovery.session import Create, Node, bulk_read, probe_server
from zkdiscovery.settings import Tls
from zkdiscovery.testing import FaultProxy, zookeeper_server
from zkdiscovery.testing.ports import free_port

SESSION = 9 * LIMIT  # seconds


class TlsServer(NamedTuple):
    """A server that speaks TLS on `port` and asks for certificates; one pair of files is for it and its clients."""

    port: int
    certificate: Path
    key: Path

    def tls(self, **options: object) -> Tls:
        return Tls.model_validate(
            {"ca_file": self.certificate, "cert_file": self.certificate, "key_file": self.key, **options}
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, to make certificates")
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = make_certificate(directory, "localhost")
    store = directory / "store.pem"
    store.write_text(key.read_text() + certificate.read_text())
    port = free_port()
    config = {
        "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
        "secureClientPort": str(port),
        "ssl.keyStore.location": str(store),
        "ssl.keyStore.type": "PEM",
        "ssl.trustStore.location": str(certificate),
        "ssl.trustStore.type": "PEM",
        "maxSessionTimeout": str(int(1000 * SESSION)),
    }
    try:
        with zookeeper_server(source="local", config=config):
            yield TlsServer(port, certificate, key)
    except NoServerForTests as error:
        pytest.skip(str(error))


def make_certificate(directory: Path, host: str) -> tuple[Path, Path]:
    """A certificate of its own authority, and its key, for a host name."""
    certificate, key = directory / f"{host}.pem", directory / f"{host}-key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-days", "2", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=LIMIT,
    )  # fmt: skip
    return certificate, key


def test_requests_over_tls(make_session: MakeSession, server: TlsServer) -> None:
    """Answers that TLS decrypts together with others are seen at once, not with the next packet."""
    session = make_session(f"localhost:{server.port}", tls=server.tls(), session_timeout=SESSION)
    assert session.timeout / 3 > 2 * LIMIT, "nothing waits until a ping brings the next packet"
    deadline = time.monotonic() + 2 * LIMIT
    paths = [f"/node-{number}" for number in range(1000)]
    for future in [session.submit(Create(path, b"x" * 200, session.leaf_acl), deadline=deadline) for path in paths]:
        future.result(2 * LIMIT)
    nodes = list(bulk_read(session, paths, generation=session.generation, deadline=deadline))
    assert [path for path, node in nodes if isinstance(node, Node)] == paths


def test_a_server_of_another_name(make_session: MakeSession, server: TlsServer) -> None:
    session = make_session(f"127.0.0.1:{server.port}", connect=False, tls=server.tls())
    session.start()
    with pytest.raises(NotConnected, match=r"certificate is not valid for '127\.0\.0\.1'"):
        session.wait_connected(1.0)
    lenient = make_session(f"127.0.0.1:{server.port}", tls=server.tls(verify_hostname=False))
    assert lenient.generation == 1


def test_an_authority_that_we_do_not_know(make_session: MakeSession, server: TlsServer, tmp_path: Path) -> None:
    other, _ = make_certificate(tmp_path, "elsewhere")
    for ca_file in (None, other):
        session = make_session(f"localhost:{server.port}", connect=False, tls=server.tls(ca_file=ca_file))
        session.start()
        with pytest.raises(NotConnected, match="certificate verify failed"):
            session.wait_connected(0.5)


def test_a_server_that_does_not_know_us(make_session: MakeSession, server: TlsServer) -> None:
    tls = server.tls(cert_file=None, key_file=None)
    session = make_session(f"localhost:{server.port}", connect=False, tls=tls)
    session.start()
    with pytest.raises(NotConnected, match=re.escape(f"last attempt: localhost:{server.port}")):
        session.wait_connected(0.5)


def test_plain_tcp_to_a_tls_port_and_the_other_way_round(make_session: MakeSession, server: TlsServer) -> None:
    session = make_session(f"localhost:{server.port}", connect=False)
    session.start()
    with pytest.raises(NotConnected):
        session.wait_connected(0.3)


def test_asking_a_server_how_it_is(make_session: MakeSession, server: TlsServer) -> None:
    session = make_session(f"localhost:{server.port}", tls=server.tls())
    info = probe_server("localhost", server.port, timeout=LIMIT, context=session.options.context)
    assert info.mode == "standalone"
    assert re.fullmatch(r"3\.\d+\.\d+", info.version)


def test_renewed_files_are_used_at_the_next_connection(
    make_session: MakeSession, server: TlsServer, tmp_path: Path
) -> None:
    """As a certificate manager renews them, on disk; kazoo reads them for each connection, too."""
    certificate, key = make_certificate(tmp_path, "expired")  # one that the server does not accept
    tls = Tls(ca_file=server.certificate, cert_file=certificate, key_file=key)
    session = make_session(f"localhost:{server.port}", connect=False, tls=tls)
    session.start()
    with pytest.raises(NotConnected):
        session.wait_connected(0.5)
    shutil.copy(server.certificate, certificate)
    shutil.copy(server.key, key)
    session.wait_connected(LIMIT)


def test_renewed_files_that_can_not_be_used_leave_the_ones_before_in_use(
    make_session: MakeSession, server: TlsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = (Path(shutil.copy(path, tmp_path)) for path in (server.certificate, server.key))
    _, other_key = make_certificate(tmp_path, "other")
    with FaultProxy(f"127.0.0.1:{server.port}") as proxy:
        tls = Tls(ca_file=server.certificate, cert_file=certificate, key_file=key)
        session = make_session(f"localhost:{proxy.address.rpartition(':')[2]}", tls=tls)
        changes = heard(session)
        for generation, broken in enumerate((lambda: shutil.copy(other_key, key), certificate.unlink, lambda: None), 2):
            broken()
            proxy.drop()
            changes.wait(lambda seen, wanted=generation: bool(seen) and seen[-1].generation == wanted)
    warnings = [r.getMessage() for r in caplog.records if "TLS files" in r.getMessage()]
    assert len(warnings) == 2, "one for each state of the files, not for each connection"
    assert all(w.startswith("renewed TLS files can't be used, and the ones before stay in use: ") for w in warnings)
