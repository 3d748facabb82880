"""What another user, and nobody in particular, can do to what `creator` protects: nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.security.conftest import MakeSecure
from tests.faults.security.helpers import PASSWORDS, Authority, SecureServer, user
from tests.integration.discovery.helpers import ids
from tests.support import LIMIT, Truth, core_of, node_of, wait_epoch, wait_registration, wait_view
from zkdiscovery import (
    AccessDenied,
    Candidate,
    Client,
    OperationTimeout,
    RegistrationState,
)
from zkdiscovery.session import Create, Delete, GetData, SetData
from zkdiscovery.settings import AclEntry
from zkdiscovery.testing import FaultProxy, expire_session

SHARED = (  # others may create below and list, and neither delete nor change
    AclEntry(permissions="cdrwa", scheme="auth", id=""),
    AclEntry(permissions="cr", scheme="world", id="anyone"),
)


def call(client: Client, request: Any) -> Any:
    client.wait_connected(LIMIT)
    return core_of(client).session.read(request, timeout=LIMIT)


@pytest.mark.parametrize("scheme", ["sasl", "digest"])
def test_a_leaf_of_its_creator(make_secure: MakeSecure, place: str, scheme: str) -> None:
    """Others can neither read nor write nor delete it, nor put anything below it, nor take its id."""
    alice = make_secure(auth=user("alice", scheme), acl="creator", parent_acl=SHARED)
    others = [make_secure(auth=user("bob", scheme), acl="creator"), make_secure()]
    if scheme == "digest":  # a wrong password is not refused: it is just somebody else's
        others.append(make_secure(auth=user("alice", scheme, "wrong")))
    alice.register("payments", 8080, id="a").wait_registered(LIMIT)
    path = f"{place}/services/payments/a"
    for other in others:
        session = core_of(other).session
        for request in (
            GetData(path), SetData(path, b"{}"), Delete(path), Create(f"{path}/below", b"", session.leaf_acl),
            Delete(f"{place}/services/payments"),
        ):  # fmt: skip
            with pytest.raises(AccessDenied):
                call(other, request)
        with pytest.raises(AccessDenied):
            other.override("payments", "a", weight=9.0)
        with pytest.raises(AccessDenied):
            other.remove("payments", "a")
        with pytest.raises(AccessDenied):
            other.register("payments", 8081, id="a").wait_registered(LIMIT)
        assert other.instances("payments") == []
        assert other.service_names() == ["payments"], "who may list the parent sees names"
        other.close(0.1)  # its wish to stand there ends unfulfilled
    assert [instance.port for instance in alice.instances("payments")] == [8080]


def test_the_cache_of_another_user(make_secure: MakeSecure, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says why it shows nothing of hers, and lives: it shows what others register beside it."""
    monkeypatch.setattr("zkdiscovery.znodes.watched.LOOK_AGAIN", 0.5)
    alice, bob = make_secure(auth=user("alice"), acl="creator"), make_secure(auth=user("bob"), acl="creator")
    registration = alice.register("payments", 8080, id="a").wait_registered(LIMIT)
    view = bob.discover("payments")
    snapshot = wait_view(view, lambda s: bool(s.rejected))
    assert set(snapshot.rejected) == {"a"}
    assert "the ACL forbids it" in snapshot.rejected["a"]
    bob.register("payments", 8081, id="b").wait_registered(LIMIT)
    wait_view(view, lambda s: ids(s) == {"b"})
    registration.update(weight=2.0)
    registration.wait_registered(LIMIT)
    assert set(view.snapshot.rejected) == {"a"}
    hers = wait_view(alice.discover("payments"), lambda s: bool(s.rejected))
    assert (ids(hers), set(hers.rejected)) == ({"a"}, {"b"})
    registration.close()
    # Where ZooKeeper hides the events of nodes from those who may not read them (3.8.4, 3.9.2), looking again tells.
    wait_view(view, lambda s: not s.rejected and ids(s) == {"b"})


def test_parents_of_their_creator(make_secure: MakeSecure, place: str) -> None:
    """`parent_acl="creator"`: nobody else may list, create or delete below them."""
    alice = make_secure(auth=user("alice"), acl="creator", parent_acl="creator")
    alice.register("payments", 8080, id="a").wait_registered(LIMIT)
    for other in (make_secure(auth=user("bob")), make_secure()):
        with pytest.raises(AccessDenied):
            other.service_names()
        with pytest.raises(AccessDenied):
            other.instances("payments")
        with pytest.raises(AccessDenied):
            other.register("payments", 8081, id="b").wait_registered(LIMIT)
        for path in ("/services/payments/a", "/services/payments", "/services", ""):
            with pytest.raises(AccessDenied):
                call(other, Delete(place + path) if path else GetData(place))


def test_open_parents_do_not_protect(make_secure: MakeSecure, place: str, plain_truth: Truth) -> None:
    """In ZooKeeper deleting is a right on the parent: others may delete, and the owner puts it back."""
    alice = make_secure(auth=user("alice"), acl="creator")
    registration = alice.register("payments", 8080, id="a").wait_registered(LIMIT)
    path = f"{place}/services/payments/a"
    node = node_of(registration)
    assert node is not None
    assert node.wait(lambda it: it.czxid > 0, LIMIT)
    before = node.czxid
    with pytest.raises(AccessDenied):
        plain_truth.get(path)
    plain_truth.delete(path)
    assert node.wait(lambda it: it.settled and it.czxid > before, LIMIT)
    assert ids(alice.instances("payments")) == {"a"}


def test_one_certificate_is_one_user(
    make_secure: MakeSecure, secure: SecureServer, authority: Authority, plain_truth: Truth, place: str
) -> None:
    """`creator` takes every identity of the connection: who shares the certificate may do what its holder may."""
    alice = make_secure(tls=secure.tls(), auth=user("alice"), acl="creator", parent_acl="creator")
    alice.register("payments", 8080, id="a").wait_registered(LIMIT)
    assert ids(make_secure(tls=secure.tls()).instances("payments")) == {"a"}, "the same certificate"
    assert ids(make_secure(auth=user("alice"), tls=another(secure, authority)).instances("payments")) == {"a"}, "alice"
    assert ids(make_secure(auth=user("alice")).instances("payments")) == {"a"}, "alice without TLS"
    with pytest.raises(AccessDenied):
        make_secure(auth=user("bob"), tls=another(secure, authority)).instances("payments")


def another(secure: SecureServer, authority: Authority) -> Any:
    pair = authority.sign("warehouse")
    return secure.tls(cert_file=pair.certificate, key_file=pair.key)


@pytest.mark.parametrize("others_acl", ["creator", "open"])
def test_an_election_between_users(make_secure: MakeSecure, others_acl: str) -> None:
    """Whose candidates we may not read stand before us all the same: never two leaders."""
    alice = make_secure(auth=user("alice"), acl="creator")
    bob = make_secure(auth=user("bob"), acl=others_acl)
    with (
        alice.election("report").campaign(LIMIT) as term,
        pytest.raises((OperationTimeout, AccessDenied)),
        bob.election("report").campaign(1.0),
    ):
        pytest.fail(f"two leaders: {term.remaining:.1f} s of the first term are left")
    with bob.election("report").campaign(LIMIT) as later:
        assert later.fence > term.fence


# -- credentials on later connections and in later sessions --


@pytest.fixture
def through(secure: SecureServer) -> Iterator[Callable[[bool], FaultProxy]]:
    """Makes a proxy before the secure server's plain port or its port for TLS."""
    made: list[FaultProxy] = []

    def make(over_tls: bool) -> FaultProxy:
        hosts = secure.tls_hosts if over_tls else secure.server.hosts
        made.append(FaultProxy(hosts.replace("localhost", "127.0.0.1")))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


@pytest.mark.parametrize("way", ["sasl", "digest", "tls", "tls and sasl"])
def test_credentials_are_given_again(
    through: Callable[[bool], FaultProxy], make_secure: MakeSecure, secure: SecureServer, plain_truth: Truth,
    place: str, way: str,
) -> None:  # fmt: skip
    """kazoo #491 and its like: after a reconnect and after each expiry what is ours comes back, and is ours."""
    given: dict[str, Any] = {"acl": "creator", "parent_acl": "creator", "session_timeout": 2.0}
    if "tls" in way:
        given["tls"] = secure.tls()
    if way != "tls":
        given["auth"] = user("alice", way.rpartition(" ")[2])
    proxy = through("tls" in way)
    client = make_secure(proxy.address.replace("127.0.0.1", "localhost"), **given)
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    view = client.discover("payments").wait_ready(LIMIT)
    session = core_of(client).session
    for epoch in (1, 2, 3):
        proxy.drop()
        registration.update(version=f"{epoch} dropped")
        wait_view(view, lambda s, epoch=epoch: [i.version for i in s] == [f"{epoch} dropped"] and not s.stale)
        expire_session(session.session_id, session.credentials.password, secure.server.hosts)
        wait_epoch(client, epoch + 1)
        wait_registration(registration, RegistrationState.REGISTERED)
        wait_view(view, lambda s: ids(s) == {"a"} and not s.stale)
        with pytest.raises(AccessDenied):
            plain_truth.get(f"{place}/services/payments/a")
    seen: list[Candidate | None] = []
    with client.election("report", id="us").campaign(LIMIT):
        seen.append(client.election("report").leader())
    assert [leader and leader.id for leader in seen] == ["us"]
    assert PASSWORDS["alice"] not in repr(client)


def test_others_may_look_and_change_nothing(make_secure: MakeSecure, place: str) -> None:
    """The guide's list for that, on leaves and parents."""
    look_only = (
        AclEntry(permissions="cdrwa", scheme="auth", id=""),
        AclEntry(permissions="r", scheme="world", id="anyone"),
    )
    alice = make_secure(auth=user("alice"), acl=look_only, parent_acl=look_only)
    alice.register("payments", 8080, id="a").wait_registered(LIMIT)
    for other in (make_secure(auth=user("bob")), make_secure()):
        assert ids(other.discover("payments").wait_ready(LIMIT).instances) == {"a"}
        with pytest.raises(AccessDenied):
            other.register("payments", 8081, id="b").wait_registered(LIMIT)
        with pytest.raises(AccessDenied):
            other.remove("payments", "a")
        with pytest.raises(AccessDenied):
            other.override("payments", "a", weight=1.0)
        other.close(0.1)  # its wish to stand there ends unfulfilled
    assert ids(alice.instances("payments")) == {"a"}
