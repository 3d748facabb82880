"""Registration, discovery and election by way of TLS, SASL, digest and ACLs, on a ZooKeeper that asks for them."""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.faults.security.conftest import MakeSecure
from tests.faults.security.helpers import Authority, SecureServer, secure_server, user
from tests.support import LIMIT, Truth, core_of, wait_epoch
from zkdiscovery import AccessDenied, AuthenticationFailed, Client, NoServerForTests, NotConnected
from zkdiscovery.session import probe_server
from zkdiscovery.session.transport.tls import tls_context
from zkdiscovery.testing import expire_session, zookeeper_server

REFUSAL = 3.0  # seconds within which a connection that can't be had is given up, and the reason is known


def whole_life(client: Client, colleague: Client) -> None:
    """Everything once: what one registers the other finds, and leads after it."""
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    view = colleague.discover("payments").wait_ready(LIMIT)
    assert view.pick().id == "a"
    registration.update(weight=3.0)
    registration.wait_registered(LIMIT)
    assert colleague.override("payments", "a", weight=5.0).weight == 5.0
    with client.election("report", id="us").campaign(LIMIT) as term:
        leader = colleague.election("report").leader()
        assert leader is not None
        assert (leader.id, leader.fence) == ("us", term.fence)
    with colleague.election("report").campaign(LIMIT) as later:
        assert later.fence > term.fence
    registration.close()


@pytest.mark.parametrize("way", ["tls", "tls and sasl", "tls and digest", "sasl", "digest"])
def test_all_of_it_for_its_creator_alone(
    make_secure: MakeSecure, secure: SecureServer, plain_truth: Truth, place: str, way: str
) -> None:
    """ACL `creator` for leaves and parents; nobody in particular can't even list."""
    given: dict[str, Any] = {"acl": "creator", "parent_acl": "creator"}
    if "tls" in way:
        given["tls"] = secure.tls()
    if "sasl" in way or "digest" in way:
        given["auth"] = user("alice", way.rpartition(" ")[2])
    whole_life(make_secure(**given), make_secure(**given))
    for path in (place, f"{place}/services/payments", f"{place}/elections/report"):
        with pytest.raises(AccessDenied):
            plain_truth.get(path)


# -- TLS --


def refused(client: Client, match: str) -> None:
    """There is no connection, each wait for one ends in time, and once an attempt was made the error says why."""
    end = time.monotonic() + LIMIT
    message = ""
    while not re.search(match, message):
        start = time.monotonic()
        assert start < end, message
        with pytest.raises(NotConnected) as raised:
            client.wait_connected(0.1)
        assert time.monotonic() - start < REFUSAL
        message = str(raised.value)
    assert message.isprintable()


def test_a_host_of_another_name(make_secure: MakeSecure, secure: SecureServer) -> None:
    """The certificate is for localhost. Switched off, the authority is still asked for."""
    address = secure.tls_hosts.replace("localhost", "127.0.0.1")
    refused(make_secure(address, tls=secure.tls()), "not valid for '127.0.0.1'")
    make_secure(address, tls=secure.tls(verify_hostname=False)).wait_connected(LIMIT)


def test_an_authority_that_is_foreign(make_secure: MakeSecure, secure: SecureServer, tmp_path: Path) -> None:
    """The system's, and one of the same name with another key; the host name plays no part."""
    namesake = Authority(tmp_path, "authority")
    for ca_file in (None, namesake.certificate):
        for verify in (True, False):
            tls = secure.tls(ca_file=ca_file, verify_hostname=verify)
            refused(make_secure(tls=tls), "certificate verify failed")


def test_a_server_whose_certificate_has_expired(
    make_secure: MakeSecure, secure: SecureServer, authority: Authority, tmp_path: Path
) -> None:
    """Refused, with or without its name."""
    with secure_server(tmp_path, authority, authority.sign("localhost", days=-1), secure.client) as expired:
        for verify in (True, False):
            tls = secure.tls(verify_hostname=verify)
            refused(make_secure(expired.tls_hosts, tls=tls), "certificate has expired")


def test_a_client_without_a_certificate_that_the_server_takes(
    make_secure: MakeSecure, secure: SecureServer, authority: Authority, tmp_path: Path
) -> None:
    """None at all, one that has expired, one of a foreign authority: no connection, until a good one is given."""
    stranger = Authority(tmp_path, "stranger").sign("shop")
    expired = authority.sign("shop", days=-1)
    for pair in (None, expired, stranger):
        tls = secure.tls(cert_file=pair and pair.certificate, key_file=pair and pair.key)
        refused(make_secure(tls=tls), "last attempt: localhost:.*")
    make_secure(tls=secure.tls()).wait_connected(LIMIT)


def test_a_server_that_asks_for_no_certificate(
    make_secure: MakeSecure, secure: SecureServer, authority: Authority, tmp_path: Path
) -> None:
    """`ssl.clientAuth=none`: its own is verified all the same."""
    config = {"ssl.clientAuth": "none"}
    with secure_server(tmp_path, authority, authority.sign("localhost"), secure.client, config) as lenient:
        without: dict[str, Any] = {"cert_file": None, "key_file": None}
        client = make_secure(lenient.tls_hosts, tls=secure.tls(**without), auth=user("alice"), acl="creator")
        client.register("payments", 8080, id="a").wait_registered(LIMIT)
        client.close()
        refused(make_secure(lenient.tls_hosts, tls=secure.tls(**without, ca_file=None)), "certificate verify failed")


def test_a_locked_key(make_secure: MakeSecure, secure: SecureServer, authority: Authority) -> None:
    """Its password opens it."""
    pair = authority.sign("shop", password="password-of-the-key")
    tls = secure.tls(cert_file=pair.certificate, key_file=pair.key, key_password="password-of-the-key")
    make_secure(tls=tls).wait_connected(LIMIT)


def test_tls_to_a_plain_port_and_the_other_way_round(make_secure: MakeSecure, secure: SecureServer) -> None:
    """Neither hangs: the error comes in time and names the server. doctor's probe does not hang either."""
    plain = secure.server.hosts.replace("127.0.0.1", "localhost")
    refused(make_secure(plain, tls=secure.tls()), "last attempt: localhost:")
    refused(make_secure(secure.tls_hosts), "last attempt: localhost:")
    for address, context in ((plain, tls_context(secure.tls())), (secure.tls_hosts, None)):
        host, port = address.split(":")
        start = time.monotonic()
        with suppress(OSError):
            assert probe_server(host, int(port), timeout=0.5, context=context).mode == ""
        assert time.monotonic() - start < REFUSAL


def test_a_server_that_never_shakes_hands(make_secure: MakeSecure, secure: SecureServer) -> None:
    """Something that accepts and says nothing: TLS gives up within its limit, too."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        refused(make_secure(f"localhost:{port}", tls=secure.tls()), f"localhost:{port}")


def test_a_session_behind_tls_is_not_ended_by_the_test_tool(make_secure: MakeSecure, secure: SecureServer) -> None:
    """`expire_session` speaks no TLS. It says so in time; by the plain port it works."""
    client = make_secure(tls=secure.tls())
    client.wait_connected(LIMIT)
    start = time.monotonic()
    with pytest.raises(NotConnected, match=f"could not be ended on {secure.tls_hosts}.*without TLS"):
        expire_session(client, timeout=1.0)
    assert time.monotonic() - start < REFUSAL
    credentials = core_of(client).session.credentials
    assert credentials is not None
    expire_session(credentials.session_id, credentials.password, secure.server.hosts)
    wait_epoch(client, 2)


# -- SASL, digest, and servers that ask for either --


@pytest.mark.parametrize(("name", "password"), [("alice", "wrong"), ("alice", "alice"), ("nobody", "whatever")])
@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
def test_wrong_sasl_credentials(
    make_secure: MakeSecure, secure: SecureServer, name: str, password: str, over_tls: bool
) -> None:
    """A wrong password and an unknown user are the same to everybody: refused at once and for good."""
    tls = {"tls": secure.tls()} if over_tls else {}
    client = make_secure(auth=user(name, password=password), **tls)
    with pytest.raises(AuthenticationFailed, match="refuses the credentials") as raised:
        client.wait_connected(LIMIT)
    assert password not in str(raised.value).replace(name, "")
    with pytest.raises(AuthenticationFailed, match="refuses the credentials"):
        client.register("payments", 8080, id="a").wait_registered(LIMIT)


def test_an_empty_password(make_secure: MakeSecure) -> None:
    """A password all the same, and a wrong one."""
    auth = user("alice").model_copy(update={"password": type(user("alice").password)("")})
    with pytest.raises(AuthenticationFailed):
        make_secure(auth=auth).wait_connected(LIMIT)


def test_a_server_that_takes_nobody_without_credentials(
    make_secure: MakeSecure, secure: SecureServer, authority: Authority, tmp_path: Path, place: str
) -> None:
    """`sessionRequireClientSASLAuth`, `enforce.auth`: right, wrong, other and no credentials, over TLS."""
    config = {"sessionRequireClientSASLAuth": "true", "enforce.auth.enabled": "true", "enforce.auth.schemes": "sasl"}
    with secure_server(tmp_path, authority, authority.sign("localhost"), secure.client, config) as strict:
        hosts = strict.tls_hosts
        given: dict[str, Any] = {"tls": strict.tls(), "acl": "creator", "parent_acl": "creator"}
        alice = make_secure(hosts, auth=user("alice"), **given)
        whole_life(alice, make_secure(hosts, auth=user("alice"), **given))
        for auth in (user("alice", password="wrong"), user("alice", "digest"), None):
            client = make_secure(hosts, auth=auth, tls=strict.tls())
            with pytest.raises(AuthenticationFailed, match=r"refuses the credentials|asks for credentials"):
                client.wait_connected(LIMIT)
        alice.register("payments", 8080, id="b").wait_registered(LIMIT).close()
        alice.close()


def test_a_server_that_asks_for_digest(make_secure: MakeSecure) -> None:
    """`enforce.auth.schemes=digest`: any user will do, for ZooKeeper keeps no list of them; nobody will not."""
    config = {"enforce.auth.enabled": "true", "enforce.auth.schemes": "digest"}
    try:
        with zookeeper_server(source="local", config=config) as server:
            given: dict[str, Any] = {"auth": user("alice", "digest"), "acl": "creator", "parent_acl": "creator"}
            whole_life(make_secure(server.hosts, **given), make_secure(server.hosts, **given))
            with pytest.raises(AuthenticationFailed, match="asks for credentials"):
                make_secure(server.hosts).wait_connected(LIMIT)
    except NoServerForTests as error:
        pytest.skip(str(error))
