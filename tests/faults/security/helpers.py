"""Certificates of an authority made for the test, and ZooKeepers that ask for credentials."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support import LIMIT
from zkdiscovery import Auth, NoServerForTests, Settings, Tls
from zkdiscovery.settings import settings_without_environment
from zkdiscovery.testing import ZookeeperServer, zookeeper_server
from zkdiscovery.testing.ports import free_port

PASSWORDS = {"alice": "password-of-alice", "bob": "password-of-bob"}
SASL_PROVIDER = {"authProvider.1": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"}
_EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Pair(NamedTuple):
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates. Its own is `certificate`."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self.certificate = directory / f"{name}.pem"
        self._key = directory / f"{name}.key"
        self._openssl("req", "-x509", *_EC, "-days", "2", "-subj", f"/CN={name}", "-keyout", self._key,
                      "-out", self.certificate)  # fmt: skip

    def sign(self, name: str, *, days: int = 2, password: str | None = None) -> Pair:
        """A certificate for a host or a client; negative `days`: it has expired."""
        base = self._directory / f"{name}{days}{'-locked' if password else ''}"
        request, pair = base.with_suffix(".csr"), Pair(base.with_suffix(".pem"), base.with_suffix(".key"))
        self._openssl("req", *_EC, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", pair.key,
                      "-out", request)  # fmt: skip
        self._openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
                      "-days", str(days), "-copy_extensions", "copy", "-out", pair.certificate)  # fmt: skip
        if password:
            locked = base.with_suffix(".locked")
            self._openssl("pkcs8", "-topk8", "-in", pair.key, "-out", locked, "-passout", f"pass:{password}")
            return Pair(pair.certificate, locked)
        return pair

    def _openssl(self, *arguments: str | Path) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=LIMIT)


class SecureServer(NamedTuple):
    """A ZooKeeper with a plain port and one for TLS; it knows the users of PASSWORDS."""

    server: ZookeeperServer
    tls_hosts: str
    authority: Authority
    client: Pair

    def tls(self, **options: object) -> Tls:
        """TLS with a certificate of our own."""
        given = {
            "ca_file": self.authority.certificate,
            "cert_file": self.client.certificate,
            "key_file": self.client.key,
        }
        return Tls.model_validate({**given, **options})


def user(name: str, scheme: str = "sasl", password: str | None = None) -> Auth:
    """Somebody's credentials."""
    return Auth.model_validate({"scheme": scheme, "username": name, "password": password or PASSWORDS[name]})


def settings(**given: Any) -> Settings:
    """Settings with timeouts for tests."""
    return settings_without_environment(**{"session_timeout": 4.0, **given})


@contextmanager
def secure_server(
    directory: Path, authority: Authority, host: Pair, client: Pair, config: Mapping[str, str] | None = None,
    *, jaas: str | None = None,
) -> Iterator[SecureServer]:  # fmt: skip
    """A ZooKeeper that shows the certificate `host`, asks for one of the authority, and knows SASL."""
    users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
    login = directory / "jaas.conf"
    login.write_text(jaas or f"Server {{ org.apache.zookeeper.server.auth.DigestLoginModule required {users}; }};\n")
    store = directory / "store.pem"
    store.write_text(host.key.read_text() + host.certificate.read_text())
    port = free_port()
    given = {
        "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
        "secureClientPort": str(port),
        "ssl.keyStore.location": str(store),
        "ssl.keyStore.type": "PEM",
        "ssl.trustStore.location": str(authority.certificate),
        "ssl.trustStore.type": "PEM",
        "ssl.clientAuth": "need",
        **SASL_PROVIDER,
        **(config or {}),
    }
    with pytest.MonkeyPatch.context() as environment:
        # JAAS is switched on by an option of Java, so it needs a process that is started here.
        environment.setenv("JDK_JAVA_OPTIONS", f"-Djava.security.auth.login.config={login}")
        try:
            with zookeeper_server(source="local", config=given) as server:
                yield SecureServer(server, f"localhost:{port}", authority, client)
        except NoServerForTests as error:
            pytest.skip(str(error))
