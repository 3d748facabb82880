"""The planted bugs are bugs: those that lie where the code moves are shown to bite, without a run of chaos."""

from __future__ import annotations

import pytest

from tests.conftest import MakeClient
from tests.faults.chaos.bugs import plant
from tests.integration.discovery.helpers import Written
from tests.support import LIMIT, Truth, wait_view
from zkdiscovery import RegistrationConflict
from zkdiscovery.testing import FaultProxy
from zkdiscovery.znodes import WatchedChildren
from zkdiscovery.znodes.reconciler import Reconciler


@pytest.mark.parametrize("planted", [False, True])
def test_a_cache_that_compares_the_version_only(
    make_client: MakeClient,
    zkdiscovery_proxy: FaultProxy,
    truth: Truth,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    planted: bool,
) -> None:
    """A node that is deleted and created again while the consumer is cut off stays as it was for it."""
    monkeypatch.setattr(WatchedChildren, "_decoded", WatchedChildren._decoded)  # put back afterwards
    if planted:
        plant("version-only")
    payments = Written(truth, namespace)
    payments.add("a", weight=1.0)
    view = make_client(zkdiscovery_proxy.address).discover("payments").wait_ready(LIMIT)
    zkdiscovery_proxy.refuse()
    wait_view(view, lambda snapshot: snapshot.stale)
    payments.remove("a")
    payments.add("a", weight=2.0)
    zkdiscovery_proxy.heal()
    wait_view(view, lambda snapshot: not snapshot.stale)
    assert view.instances[0].weight == (1.0 if planted else 2.0)


@pytest.mark.parametrize("planted", [False, True])
def test_a_registration_that_takes_whatever_is_on_its_path(
    make_client: MakeClient, truth: Truth, namespace: str, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    """The node of another session is refused; with the bug it is written as if it were ours."""
    monkeypatch.setattr(Reconciler, "_learn", Reconciler._learn)  # put back afterwards
    if planted:
        plant("no-owner-guard")
    path = f"{namespace}/services/payments/a"
    truth.create(path, b"foreign", ephemeral=True)
    registration = make_client().register("payments", 8080, id="a", host="10.0.0.1", on_conflict="refuse")
    if not planted:
        with pytest.raises(RegistrationConflict):
            registration.wait_registered(LIMIT)
        assert truth.get(path).data == b"foreign"
    else:
        registration.wait_registered(LIMIT)
        assert truth.get(path).data != b"foreign"
