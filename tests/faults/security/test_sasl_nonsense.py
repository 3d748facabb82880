"""SASL spoken badly: nonsense is no refusal, and ends no thread."""

from __future__ import annotations

import logging
import random
import struct

import pytest

from tests.faults.fuzzing.frames import Alter, Alteration, framed, with_error, with_length, with_xid
from tests.faults.security.conftest import MakeSecure
from tests.faults.security.helpers import SecureServer, user
from tests.support import LIMIT, core_of
from zkdiscovery.testing import FaultProxy

ANSWERS = [
    pytest.param(with_xid(4711), id="another xid"),
    pytest.param(with_error(-777), id="unknown error"),
    pytest.param(with_error(-101), id="error of a node"),
    pytest.param(lambda body: framed(body[:17]), id="half a length"),
    pytest.param(lambda body: framed(body[:7]), id="half a header"),
    pytest.param(with_length(2**31 - 1), id="length 2 GB"),
    pytest.param(lambda body: framed(random.Random(5).randbytes(80)), id="random bytes"),
]


def is_challenge(body: bytes) -> bool:
    return len(body) > 60 and struct.unpack_from(">i", body)[0] == 1


@pytest.mark.parametrize("alter", ANSWERS)
def test_a_challenge_that_was_altered(
    make_secure: MakeSecure, secure: SecureServer, caplog: pytest.LogCaptureFixture, alter: Alter
) -> None:
    """It is tried again, by one and the same link."""
    caplog.set_level(logging.DEBUG, "zkdiscovery")
    with FaultProxy(secure.server.hosts) as proxy:
        alteration = Alteration(alter, is_challenge)
        proxy.alter("server_to_client", alteration)
        client = make_secure(proxy.address, auth=user("alice"), session_timeout=1.0)
        client.start()
        link = core_of(client).session.link
        assert alteration.done.wait(LIMIT)
        client.wait_connected(LIMIT)
        assert core_of(client).session.link is link
        client.close()
    assert "connection thread died" not in caplog.text
