"""A fork beside shards: the child holds none, and may become a member of its own."""

from __future__ import annotations

import os
import signal
import warnings

from tests.conftest import MakeClient
from tests.integration.shards.conftest import Consume
from tests.support import wait_until
from zkdiscovery import Shard


def test_a_child_holds_nothing_and_takes_its_part(make_client: MakeClient, consume: Consume) -> None:
    client = make_client()
    member = consume(client)
    member.wait_held(8)
    shards = member.begun.wait(lambda begun: len(begun) == 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: a fork beside threads
        pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        code = 1
        try:
            ours: list[int] = []

            def take(shard: Shard) -> None:
                ours.append(shard.number)
                if len(ours) == 4:
                    client.close()

            if all(shard.lost and shard.hold.lost for shard in shards) and member.shards.held() == []:
                member.shards.run(take)
                code = 0 if len(ours) == 4 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    member.wait_held(8)
    wait_until(lambda: sum(not shard.lost for shard in member.begun.items) == 8)
