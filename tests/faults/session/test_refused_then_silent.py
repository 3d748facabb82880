"""A server that comes back is silent for a moment, after it had refused: that costs a second, not a session."""

from __future__ import annotations

import logging

import pytest

from tests.conftest import MakeClient
from tests.support import LIMIT, Recorder
from zkdiscovery.testing import FaultProxy

pytestmark = pytest.mark.links


class Lines(logging.Handler):
    """What is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: Recorder[str] = Recorder()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines(record.getMessage())


def test_attempts_that_were_refused_at_once_do_not_lengthen_the_next_one(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that is killed and restarted: a handshake in its first moment is never answered.

    A leader with a session of 10 s then loses its term, although the server was away for half a second only.
    """
    client = make_client(zkdiscovery_proxy.address, session_timeout=10.0)
    client.wait_connected(LIMIT)
    caplog.set_level(logging.DEBUG, "zkdiscovery.session")
    handler = Lines()
    logging.getLogger("zkdiscovery.session").addHandler(handler)
    try:
        zkdiscovery_proxy.refuse()
        handler.lines.wait(lambda lines: sum("refused" in line for line in lines) >= 6)
    finally:
        logging.getLogger("zkdiscovery.session").removeHandler(handler)
    relay = zkdiscovery_proxy._relay
    zkdiscovery_proxy.pause()
    relay.call(relay.listen)  # connections are accepted, and nothing is answered
    zkdiscovery_proxy.wait_connections(1)
    accepted = zkdiscovery_proxy.accepted
    with relay.changed:
        assert relay.changed.wait_for(lambda: zkdiscovery_proxy.accepted > accepted, 3.0), "one attempt takes > 3 s"
