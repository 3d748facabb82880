"""A fork beside a hold: the child holds nothing, and takes turns like any other process."""

from __future__ import annotations

import os
import warnings

from tests.conftest import MakeClient
from tests.integration.locks.conftest import Queue
from zkdiscovery import HoldLost
from zkdiscovery.testing import ZookeeperServer

NAME = "invoice"


def test_a_child_holds_nothing(make_client: MakeClient, queue: Queue, zkdiscovery_server: ZookeeperServer) -> None:
    lock = make_client().lock(NAME)
    hold = lock.acquire(10.0)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: a fork beside threads
        pid = os.fork()
    if pid == 0:
        said = b"failed"
        try:
            try:
                hold.check()
            except HoldLost as error:
                said = str(error).encode()
            hold.release()
            if lock.try_acquire() is not None:
                said = b"the child holds it, too"
        finally:
            os.write(writer, said)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as child:
        assert "it belongs to the parent process" in child.read()
    os.waitpid(pid, 0)
    hold.check()
    assert lock.holders()[0].fence == hold.fence
    hold.release()
