"""Rights withdrawn, quotas used up: a registration says why, keeps trying, and comes back by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import MakeClient
from tests.faults.registrations.helpers import Expire, assert_stands, wait_all
from tests.integration.registration.helpers import ADMIN, ALL, HOST, READ, SetAcl, path_of, seen_to, stored
from tests.support import LIMIT, Recorder, Truth, node_of, wait_epoch, wait_registration
from zkdiscovery import AccessDenied, Client, QuotaExceeded, RegistrationState, ZkDiscoveryError
from zkdiscovery.testing import FaultProxy, ZookeeperServer, expire_session, zookeeper_server


def wait_error(registration: object, kind: type[ZkDiscoveryError]) -> None:
    """Wait until it says such an error."""
    node = node_of(registration)  # type: ignore[attr-defined]
    assert node.wait(lambda node: isinstance(node.error, kind), LIMIT), f"waited in vain: {registration!r}"


def test_a_right_withdrawn_over_an_expiry_and_given_back(
    make_client: MakeClient, truth: Truth, namespace: str, zkdiscovery_expire: Expire
) -> None:
    """peers.md defect 3: one registration without the right stops the re-registration of all others.

    Curator: TestPersistentNode, no permission.
    """
    client = make_client()
    ours = client.register_many([{"service": f"s{n}", "port": 8080, "host": HOST, "id": "a"} for n in range(5)])
    wait_all(ours)
    locked = ours[2]
    told: Recorder[tuple[RegistrationState, bool]] = Recorder()
    locked.on_change(lambda changed: told((changed.state, isinstance(changed.error, AccessDenied))))
    truth.call(SetAcl(f"{namespace}/services/s2", READ | ADMIN))
    for epoch in (2, 3):
        zkdiscovery_expire(client)
        wait_epoch(client, epoch)
        wait_error(locked, AccessDenied)
        for other in (*ours[:2], *ours[3:]):
            wait_registration(other, RegistrationState.REGISTERED)
            seen_to(client, other)
            assert_stands(truth, client, other)
        assert locked.state is RegistrationState.PENDING
        with pytest.raises(AccessDenied, match=r"s2/a: the ACL forbids it; give this client the right"):
            locked.wait_registered(LIMIT)
    told.wait(lambda items: (RegistrationState.PENDING, True) in items)
    truth.call(SetAcl(f"{namespace}/services/s2", ALL))
    wait_registration(locked, RegistrationState.REGISTERED)
    told.wait(lambda items: items[-1] == (RegistrationState.REGISTERED, False))
    assert_stands(truth, client, locked)


def test_a_right_to_write_withdrawn_from_a_node_and_given_back(make_client: MakeClient, truth: Truth) -> None:
    """It stands as it was, says why the change is missing, and makes it once it may."""
    client = make_client()
    registration, other = (client.register("payments", 8080, id=name).wait_registered(LIMIT) for name in "ab")
    truth.call(SetAcl(path_of(registration), READ | ADMIN))
    for each in (registration, other):
        each.update(version="2")
    other.wait_registered(LIMIT)
    wait_error(registration, AccessDenied)
    assert registration.state is RegistrationState.REGISTERED
    assert stored(truth, registration).version is None
    truth.call(SetAcl(path_of(registration), ALL))
    assert node_of(registration).wait(lambda node: node.settled, LIMIT)
    assert_stands(truth, client, registration)
    assert stored(truth, registration).version == "2"


def test_a_right_to_read_withdrawn_over_a_reconnect_and_given_back(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth
) -> None:
    """What can't be looked at is not given up, nor written blindly."""
    client = make_client(zkdiscovery_proxy.address)
    registration, other = (client.register("payments", 8080, id=name).wait_registered(LIMIT) for name in "ab")
    before = truth.get(path_of(registration))
    truth.call(SetAcl(path_of(registration), ALL & ~READ))
    zkdiscovery_proxy.drop()
    wait_error(registration, AccessDenied)
    other.update(version="2")
    other.wait_registered(LIMIT)
    truth.call(SetAcl(path_of(registration), ALL))
    assert node_of(registration).wait(lambda node: node.error is None, LIMIT)
    after = assert_stands(truth, client, registration)
    assert before is not None
    assert (after.stat.czxid, after.stat.version) == (before.stat.czxid, before.stat.version)


def test_a_right_to_delete_withdrawn_at_the_end_and_given_back(
    make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    """close() keeps its time limit; the node goes when it may."""
    client = make_client()
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    truth.call(SetAcl(f"{namespace}/services/payments", READ | ADMIN))
    registration.close(timeout=0.1)
    assert registration.state is RegistrationState.CLOSED
    assert stored(truth, registration) is not None
    truth.call(SetAcl(f"{namespace}/services/payments", ALL))
    truth.wait(path_of(registration), lambda node: node is None)


# -- quotas --


@pytest.fixture(scope="module")
def strict_server(request: pytest.FixtureRequest) -> Iterator[ZookeeperServer]:
    """A server that enforces hard quotas, as ZooKeeper does not by default."""
    source = request.config.getoption("--zkdiscovery-source")
    with zookeeper_server(source="auto" if source == "hosts" else source, config={"enforceQuota": "true"}) as server:
        yield server


@pytest.fixture
def strict_truth(strict_server: ZookeeperServer) -> Iterator[Truth]:
    with Truth(strict_server.hosts) as view:
        yield view


def set_quota(truth: Truth, path: str, *, count: int = -1, size: int = -1) -> None:
    """Limit the number of nodes at and below a path, and their bytes; -1: no limit. As `setquota -N` and `-B` do."""
    limits = f"count=-1,bytes=-1=;byteHardLimit={size};countHardLimit={count}".encode()
    quota = f"/zookeeper/quota{path}"
    if truth.get(f"{quota}/zookeeper_limits") is None:
        truth.create(f"{quota}/zookeeper_limits", limits)
        truth.create(f"{quota}/zookeeper_stats", b"count=0,bytes=0")  # ZooKeeper counts when this comes
    else:
        truth.set(f"{quota}/zookeeper_limits", limits)


def test_a_quota_of_nodes_used_up_and_lifted(
    make_client: MakeClient, strict_server: ZookeeperServer, strict_truth: Truth, namespace: str
) -> None:
    """Those for which there is room are registered; the others say why, and come when there is room."""
    truth = strict_truth
    path = f"{namespace}/services/payments"
    truth.create(path)
    set_quota(truth, path, count=3)  # the parent counts
    client: Client = make_client(strict_server.hosts)
    many = [client.register("payments", 8080 + n, id=f"n{n}") for n in range(2)]
    wait_all(many)
    late, elsewhere = client.register_many([{"service": s, "port": 1, "id": "late"} for s in ("payments", "refunds")])
    elsewhere.wait_registered(LIMIT)
    with pytest.raises(QuotaExceeded, match="late: the quota of the path is used up"):
        late.wait_registered(LIMIT)
    assert late.state is RegistrationState.PENDING
    many[0].close()  # room for one
    assert node_of(late).wait(lambda node: node.settled, LIMIT)
    expire_session(client)
    wait_epoch(client, 2)
    for registration in (many[1], late, elsewhere):
        assert node_of(registration).wait(lambda node: node.settled, LIMIT)
        seen_to(client, registration)
        assert_stands(truth, client, registration)
    last = client.register("payments", 9090, id="last")
    wait_error(last, QuotaExceeded)
    set_quota(truth, path)
    wait_registration(last, RegistrationState.REGISTERED)
    assert_stands(truth, client, last)


def test_a_quota_of_bytes_used_up_and_lifted(
    make_client: MakeClient, strict_server: ZookeeperServer, strict_truth: Truth, namespace: str
) -> None:
    """What stands, stands; a change that is too large says so, a smaller one passes, and the large one once it may."""
    truth = strict_truth
    path = f"{namespace}/services/payments"
    truth.create(path)
    client: Client = make_client(strict_server.hosts)
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    set_quota(truth, path, size=2000)
    registration.update(metadata={"k": "v" * 4000})
    with pytest.raises(QuotaExceeded):
        registration.wait_registered(LIMIT)
    assert registration.state is RegistrationState.REGISTERED
    registration.update(metadata={"k": "short"})
    assert node_of(registration).wait(lambda node: node.settled, LIMIT)
    assert stored(truth, registration).metadata == {"k": "short"}
    registration.update(metadata={"k": "v" * 4000})
    wait_error(registration, QuotaExceeded)
    set_quota(truth, path)
    assert node_of(registration).wait(lambda node: node.settled, LIMIT)
    assert len(stored(truth, registration).metadata["k"]) == 4000
    assert registration.error is None


def test_a_soft_quota_refuses_nothing(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    """ZooKeeper only logs it, unless it is told to enforce."""
    path = f"{namespace}/services/payments"
    truth.create(path)
    set_quota(truth, path, count=1, size=1)
    client = make_client()
    many = client.register_many([{"service": "payments", "port": port, "host": HOST} for port in range(1, 4)])
    wait_all(many)
    assert len(truth.children(path)) == 3


def test_a_leftover_is_replaced_where_the_quota_is_used_up(
    make_client: MakeClient, strict_server: ZookeeperServer, strict_truth: Truth, namespace: str
) -> None:
    """A restarted process, and no room for one more: ZooKeeper counts the new node before the old one goes."""
    truth = strict_truth
    path = f"{namespace}/services/payments"
    truth.create(f"{path}/a", b"left", ephemeral=True)
    set_quota(truth, path, count=2)
    client: Client = make_client(strict_server.hosts)
    registration = client.register("payments", 8080, id="a")
    wait_error(registration, QuotaExceeded)
    truth.delete(f"{path}/a")  # as the end of the session that it is left from
    assert node_of(registration).wait(lambda node: node.settled, LIMIT)
    assert_stands(truth, client, registration)
