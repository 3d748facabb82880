"""TLS contexts from settings: always verified, and files that can't be used are named, never shown."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import LIMIT
from zkdiscovery.errors import InvalidSettings
from zkdiscovery.session import Session
from zkdiscovery.session.transport.kazoo_client import ready
from zkdiscovery.session.transport.tls import tls_context
from zkdiscovery.settings import Settings, Tls

PASSWORD = "password-of-the-key"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with cert.pem, key.pem and key-locked.pem."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, to make certificates")
    directory = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=LIMIT, cwd=directory)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=zk", "-keyout", "key.pem", "-out", "cert.pem")  # fmt: skip
    openssl("pkcs8", "-topk8", "-in", "key.pem", "-out", "key-locked.pem", "-passout", f"pass:{PASSWORD}")
    (directory / "nonsense.pem").write_text("this is no certificate")
    return directory


def test_everything_is_verified(files: Path) -> None:
    for tls in (Tls(), Tls(ca_file=files / "cert.pem")):
        context = tls_context(tls)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
    assert tls_context(Tls(ca_file=files / "cert.pem")).cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize("own", [False, True])
def test_host_names_may_go_unverified_the_certificate_never(files: Path, own: bool) -> None:
    context = tls_context(Tls(ca_file=files / "cert.pem" if own else None, verify_hostname=False))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert not context.check_hostname


def test_keys(files: Path) -> None:
    tls_context(Tls(cert_file=files / "cert.pem", key_file=files / "key.pem"))
    locked = Tls.model_validate(
        {"cert_file": files / "cert.pem", "key_file": files / "key-locked.pem", "key_password": PASSWORD}
    )
    tls_context(locked)


@pytest.mark.parametrize("password", [None, "wrong"])
def test_a_locked_key_asks_nobody(files: Path, password: str | None) -> None:
    """OpenSSL would ask at the terminal and block."""
    tls = Tls.model_validate(
        {"cert_file": files / "cert.pem", "key_file": files / "key-locked.pem", "key_password": password}
    )
    with pytest.raises(InvalidSettings, match=r"tls\.cert_file, key_file or key_password can't be used"):
        tls_context(tls)


@pytest.mark.parametrize("password", [f"{PASSWORD}-" * 200, f"{PASSWORD}\udcff"], ids=["too long", "no UTF-8"])
def test_a_password_that_openssl_can_not_take(files: Path, password: str) -> None:
    tls = Tls.model_validate(
        {"cert_file": files / "cert.pem", "key_file": files / "key-locked.pem", "key_password": password}
    )
    with pytest.raises(InvalidSettings, match="key_password is longer than OpenSSL takes, or is not UTF-8") as raised:
        tls_context(tls)
    assert PASSWORD not in f"{raised.value} {raised.value!r} {raised.value.__cause__!r}"


def test_no_variable_holds_the_password(files: Path) -> None:
    """Those that report errors often show the variables of each function, too."""
    tls = Tls.model_validate(
        {"cert_file": files / "cert.pem", "key_file": files / "cert.pem", "key_password": PASSWORD}
    )
    with pytest.raises(InvalidSettings) as raised:
        tls_context(tls)
    text = shown(raised.value)
    assert "secret = SecretStr('**********')" in text
    assert PASSWORD not in text


def shown(error: BaseException) -> str:
    """An error as a tool shows it that tells all it knows."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


def test_bytes_that_are_decrypted_already_are_not_waited_for(files: Path) -> None:
    """Two messages in one record of TLS: after the first one the socket has nothing more to read."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(files / "cert.pem", files / "key.pem")
    ours, theirs = socket.socketpair()
    with ours, theirs, ThreadPoolExecutor(1) as pool:
        accepting = pool.submit(server_context.wrap_socket, theirs, server_side=True)
        context = tls_context(Tls(ca_file=files / "cert.pem", verify_hostname=False))
        with context.wrap_socket(ours) as client, accepting.result(LIMIT) as server:
            server.sendall(b"onetwo")
            assert client.recv(3) == b"one"
            start = time.monotonic()
            assert ready([client], [], LIMIT) == ([client], [], [])
            assert time.monotonic() - start < LIMIT / 2
            assert client.recv(3) == b"two"
            assert ready([client], [], 0.0) == ([], [], [])


@pytest.mark.parametrize("field", ["ca_file", "cert_file", "key_file"])
def test_files_that_hold_something_else(files: Path, field: str) -> None:
    good = {"cert_file": files / "cert.pem", "key_file": files / "key.pem", field: files / "nonsense.pem"}
    with pytest.raises(InvalidSettings, match=field) as raised:
        Session(Settings(tls=Tls.model_validate(good)))
    assert "this is no certificate" not in str(raised.value)
