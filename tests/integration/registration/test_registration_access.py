"""Nodes that belong to those who have the credentials."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import MakeClient
from tests.integration.registration.helpers import seen_to
from tests.integration.registration.sharing import share, wait_role
from tests.support import LIMIT, node_of, wait_epoch
from zkdiscovery import AccessDenied, AclEntry, Auth, Client, RegistrationState, Settings


def test_only_those_with_the_credentials_can_write_our_node(
    make_client: MakeClient, zkdiscovery_expire: Callable[[Client], None]
) -> None:
    ours = Settings(auth=Auth(username="app", password="secret"), acl="creator")
    client, colleague, stranger = make_client(settings=ours), make_client(settings=ours), make_client()
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    for epoch in (2, 3):
        registration.update(version=str(epoch))
        registration.wait_registered(LIMIT)
        assert [instance.version for instance in colleague.instances("payments")] == [str(epoch)]
        colleague.override("payments", "a", weight=float(epoch))
        with pytest.raises(AccessDenied, match="give this client the right, or other credentials"):
            stranger.override("payments", "a", weight=9.0)
        zkdiscovery_expire(client)
        wait_epoch(client, epoch)
        seen_to(client, registration)
    assert registration.state is RegistrationState.REGISTERED
    with pytest.raises(AccessDenied):
        stranger.override("payments", "a", weight=9.0)


def test_a_stranger_s_registration_does_not_take_the_place_of_one_it_may_not_read(make_client: MakeClient) -> None:
    ours = Settings(auth=Auth(username="app", password="secret"), acl="creator")
    first = make_client(settings=ours).register("payments", 8080, id="a").wait_registered(LIMIT)
    second = make_client().register("payments", 8081, id="a")
    with pytest.raises(AccessDenied):
        second.wait_registered(LIMIT)
    assert second.state is RegistrationState.PENDING
    assert first.state is RegistrationState.REGISTERED
    first.close()
    assert node_of(second).wait(lambda node: node.settled, LIMIT)


def test_only_those_with_the_credentials_share(make_client: MakeClient) -> None:
    ours = Settings(auth=Auth(username="app", password="secret"), acl="creator")
    clients = [make_client(settings=ours), make_client(settings=ours)]
    first, second = (share(client).wait_registered(LIMIT) for client in clients)
    stranger = share(make_client())
    with pytest.raises(AccessDenied):
        stranger.wait_registered(LIMIT)
    first.close()
    wait_role(second, "HELD")
    second.close()


def test_sharers_need_no_more_rights_than_to_write_their_instance(make_client: MakeClient) -> None:
    entries = (
        AclEntry(permissions="rwd", scheme="auth", id=""),
        AclEntry(permissions="r", scheme="world", id="anyone"),
    )
    look_only = (
        AclEntry(permissions="cd", scheme="auth", id=""),
        AclEntry(permissions="r", scheme="world", id="anyone"),
    )
    make_client().register("another", 8080, id="a").wait_registered(LIMIT)  # the namespace is there
    ours = Settings(auth=Auth(username="app", password="secret"), acl=entries, parent_acl=look_only)
    clients = [make_client(settings=ours), make_client(settings=ours)]
    first, second = (share(client).wait_registered(LIMIT) for client in clients)
    first.close()
    wait_role(second, "HELD")
