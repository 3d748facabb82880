"""A link before it is started."""

from __future__ import annotations

import threading
from typing import cast

from zkdiscovery.session.care import Care
from zkdiscovery.session.resolver import Resolver
from zkdiscovery.session.transport.link import Link
from zkdiscovery.session.transport.link_state import Credentials, LinkOwner
from zkdiscovery.session.transport.options import LinkOptions


class Owner:
    """What a link needs of its owner before it is started."""

    timeout = 10.0

    @property
    def session(self) -> Owner:
        return self


def link() -> Link:
    options = LinkOptions("a", 10.0, 1.0, None, [("digest", "alice:secret")], None)
    return Link(cast("LinkOwner", Owner()), options, Resolver([("a", 2181)]), Care())


def test_nothing_runs_before_the_start() -> None:
    before = threading.active_count()
    assert link().stop(0.0)
    assert threading.active_count() == before


def test_secrets_do_not_show() -> None:
    assert "secret" not in repr(link().options)
    assert repr(Credentials(17, b"secret")) == "Credentials(session_id=0x11)"
