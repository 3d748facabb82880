"""Who we are for ZooKeeper: digest, SASL, and what is said when the credentials are wrong."""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.session.conftest import MakeSession
from tests.integration.session.helpers import heard
from tests.support import LIMIT, Truth
from zkdiscovery.errors import AccessDenied, AuthenticationFailed, NoServerForTests
from zkdiscovery.session import Create, GetChildren, GetData, Session, State
from zkdiscovery.settings import AclEntry, Auth
from zkdiscovery.testing import FaultProxy, ZookeeperServer, zookeeper_server
from zkdiscovery.znodes.parents import make_container

SECRET = "secret-of-alice"


def soon() -> float:
    return time.monotonic() + LIMIT


def alice(scheme: str, password: str = SECRET) -> Auth:
    return Auth.model_validate({"scheme": scheme, "username": "alice", "password": password})


# -- digest --


def test_what_its_creator_alone_may_use(make_session: MakeSession, truth: Truth, namespace: str) -> None:
    truth.create(f"{namespace}/other")
    path = f"{namespace}/mine"
    owner = make_session(auth=alice("digest"), acl="creator")
    owner.call(Create(path, b"data", owner.leaf_acl), deadline=soon())
    again = make_session(auth=alice("digest"))
    assert again.call(GetData(path), deadline=soon()).data == b"data"
    for stranger in (make_session(), make_session(auth=alice("digest", "wrong"))):
        with pytest.raises(AccessDenied, match=f"read {path}: the ACL forbids it.*Settings.auth") as raised:
            stranger.call(GetData(path), deadline=soon())
        assert raised.value.path == path
        assert isinstance(raised.value, PermissionError)


def test_given_entries(make_session: MakeSession, truth: Truth, namespace: str) -> None:
    truth.create(f"{namespace}/other")
    readable = (
        AclEntry(permissions="cdrwa", scheme="auth", id=""),
        AclEntry(permissions="r", scheme="world", id="anyone"),
    )
    owner = make_session(auth=alice("digest"), acl=readable)
    owner.call(Create(f"{namespace}/mine", b"data", owner.leaf_acl), deadline=soon())
    stranger = make_session()
    assert stranger.call(GetData(f"{namespace}/mine"), deadline=soon()).data == b"data"
    with pytest.raises(AccessDenied, match="create"):
        stranger.call(Create(f"{namespace}/mine/child", b"", stranger.leaf_acl), deadline=soon())


def test_parents_have_an_acl_of_their_own(make_session: MakeSession, truth: Truth, namespace: str) -> None:
    truth.create(f"{namespace}/other")
    owner = make_session(auth=alice("digest"), acl="open", parent_acl="creator")
    parent = f"{namespace}/parent/child"
    make_container(owner, parent, generation=owner.generation, deadline=soon())
    owner.call(Create(f"{parent}/leaf", b"data", owner.leaf_acl), deadline=soon())
    stranger = make_session()
    assert stranger.call(GetData(f"{parent}/leaf"), deadline=soon()).data == b"data"
    for path in (f"{namespace}/parent", parent):
        with pytest.raises(AccessDenied):
            stranger.call(GetChildren(path), deadline=soon())


def test_an_acl_that_the_server_refuses(make_session: MakeSession, truth: Truth, namespace: str) -> None:
    truth.create(f"{namespace}/other")
    session = make_session(acl=(AclEntry(permissions="r", scheme="no-such-scheme", id="x"),))
    with pytest.raises(AccessDenied, match=r"does not accept the ACL; check Settings.acl"):
        session.call(Create(f"{namespace}/mine", b"", session.leaf_acl), deadline=soon())


# -- SASL --


class SaslServer(NamedTuple):
    """A server that knows alice, and its file of passwords."""

    server: ZookeeperServer
    file: Path

    def set_password(self, password: str) -> None:
        write_passwords(self.file, password)
        self.server.restart()


def write_passwords(file: Path, password: str) -> None:
    file.write_text(
        f'Server {{ org.apache.zookeeper.server.auth.DigestLoginModule required user_alice="{password}"; }};\n'
    )


@pytest.fixture(scope="module")
def sasl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SaslServer]:
    """A server with SASL. JAAS is switched on by an option of Java, so it needs a process that is started here."""
    file = tmp_path_factory.mktemp("jaas") / "jaas.conf"
    write_passwords(file, SECRET)
    config = {"authProvider.1": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("JDK_JAVA_OPTIONS", f"-Djava.security.auth.login.config={file}")
        try:
            with zookeeper_server(source="local", config=config) as server:
                yield SaslServer(server, file)
        except NoServerForTests as error:
            pytest.skip(str(error))


def test_sasl(make_session: MakeSession, sasl: SaslServer) -> None:
    session = make_session(sasl.server.hosts, auth=alice("sasl"), acl="creator")
    session.call(Create("/mine", b"data", session.leaf_acl), deadline=soon())
    assert session.call(GetData("/mine"), deadline=soon()).data == b"data"
    stranger = make_session(sasl.server.hosts)
    with pytest.raises(AccessDenied):
        stranger.call(GetData("/mine"), deadline=soon())


@pytest.mark.parametrize("name", ["alice", "nobody"])
def test_wrong_sasl_credentials_at_start(make_session: MakeSession, sasl: SaslServer, name: str) -> None:
    """Final: nothing tries again, and all who wait are told at once."""
    auth = Auth.model_validate({"scheme": "sasl", "username": name, "password": "wrong"})
    session = make_session(sasl.server.hosts, connect=False, auth=auth)
    session.start()
    start = time.monotonic()
    with pytest.raises(AuthenticationFailed, match=f"{sasl.server.hosts} refuses the credentials; check Settings.auth"):
        session.wait_connected(LIMIT)
    assert time.monotonic() - start < LIMIT / 2
    assert session.link is not None
    thread = session.link.thread
    assert thread is not None
    thread.join(LIMIT)
    assert not thread.is_alive()
    assert session.links._rebuild not in session.maintenance._due, "nobody tries again"
    with pytest.raises(AuthenticationFailed):
        session.read(GetChildren("/"), timeout=LIMIT)


def test_a_server_without_sasl(make_session: MakeSession) -> None:
    """It answers with empty challenges, for as long as somebody answers them."""
    session = make_session(connect=False, auth=alice("sasl"))
    session.start()
    with pytest.raises(AuthenticationFailed):
        session.wait_connected(LIMIT)


@pytest.mark.parametrize("auth", [None, alice("sasl", "wrong")], ids=["nobody", "wrong password"])
def test_a_server_that_asks_for_sasl(
    make_session: MakeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, auth: Auth | None
) -> None:
    write_passwords(tmp_path / "jaas.conf", SECRET)
    monkeypatch.setenv("JDK_JAVA_OPTIONS", f"-Djava.security.auth.login.config={tmp_path / 'jaas.conf'}")
    config = {
        "authProvider.1": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        "sessionRequireClientSASLAuth": "true",
    }
    try:
        with zookeeper_server(source="local", config=config) as server:
            session = make_session(server.hosts, connect=False, auth=auth)
            session.start()
            expected = "refuses the credentials" if auth else "asks for credentials"
            with pytest.raises(AuthenticationFailed, match=expected):
                session.wait_connected(LIMIT)
    except NoServerForTests as error:
        pytest.skip(str(error))


def test_a_link_that_breaks_in_the_handshake_is_no_refusal(make_session: MakeSession, sasl: SaslServer) -> None:
    """To kazoo it is, and it would never connect again."""
    broken = []

    def break_off(chunk: bytes) -> bytes:
        _, number = struct.unpack_from(">ii", chunk)
        if number == 1 and len(broken) < 4:
            broken.append(chunk)
            raise ConnectionError("the handshake is cut off")
        return chunk

    with FaultProxy(sasl.server.hosts) as proxy:
        proxy.alter("server_to_client", break_off)
        session = make_session(proxy.address, auth=alice("sasl"))
        assert len(broken) == 4
        assert session.epoch == 1
        assert session.failure is None


def test_a_password_changed_while_we_were_connected(make_session: MakeSession, sasl: SaslServer) -> None:
    """Not final: it worked once, so the server may be the one that is wrong. It comes back by itself."""
    session = make_session(sasl.server.hosts, auth=alice("sasl"))
    changes = heard(session)
    sasl.set_password("another")
    try:
        wait_failure(session)
        with pytest.raises(AuthenticationFailed):
            session.wait_connected(0.1)
        assert session.state is State.SUSPENDED
    finally:
        sasl.set_password(SECRET)
    changes.wait(lambda seen: bool(seen) and seen[-1].state is State.CONNECTED)
    assert session.failure is None


def wait_failure(session: Session) -> None:
    with session.changed:
        assert session.changed.wait_for(lambda: session.failure is not None, LIMIT)


# -- secrets --


@pytest.mark.parametrize("scheme", ["digest", "sasl"])
def test_secrets_are_in_no_log_and_no_text(
    make_session: MakeSession,
    sasl: SaslServer,
    caplog: pytest.LogCaptureFixture,
    scheme: str,
) -> None:
    for level in (logging.DEBUG, 1):
        caplog.set_level(level)
        for name in ("kazoo", "kazoo.client", "puresasl", "zkdiscovery", "zkdiscovery.session"):
            caplog.set_level(level, logger=name)
    right = make_session(sasl.server.hosts, auth=alice(scheme), acl="creator")
    right.call(Create(f"/secret-{scheme}", b"", right.leaf_acl), deadline=soon())
    wrong = make_session(sasl.server.hosts, connect=False, auth=alice(scheme, "wrong-secret"))
    wrong.start()
    with pytest.raises((AuthenticationFailed, AccessDenied)) as raised:
        wrong.wait_connected(LIMIT)
        wrong.call(GetData(f"/secret-{scheme}"), deadline=soon())
    credentials = right.credentials
    assert credentials is not None
    texts = [
        caplog.text, repr(right), repr(right.options), repr(right.settings), str(right.settings), repr(credentials),
        str(raised.value), repr(raised.value), repr(right.link),
    ]  # fmt: skip
    assert "connected to" in caplog.text
    for secret in (SECRET, "wrong-secret", repr(credentials.password), credentials.password.hex()):
        assert [text for text in texts if secret in text] == []
