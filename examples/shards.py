"""Three members share out six shards; one of them leaves, and only its shards move."""

import secrets
import threading
import time

from zkdiscovery import Client, Shard, Shards

NAMESPACE = f"/examples/shards-{secrets.token_hex(4)}"


def consume(shard: Shard) -> None:
    """Work on one shard until it moves. A real one would write with `shard.hold.fence`."""
    while not shard.wait_lost(0.1):
        shard.hold.check()


def wait_for(members: list[Shards], sizes: list[int]) -> list[set[int]]:
    """Wait until each member holds so many shards; return which."""
    while True:
        held = [set(member.held()) for member in members]
        if [len(each) for each in held] == sizes:
            return held
        time.sleep(0.05)


def main() -> None:
    """Let three come, and let one go."""
    clients = [Client(namespace=NAMESPACE) for _ in range(3)]
    members = [client.shards("orders", count=6) for client in clients]
    for member in members:
        threading.Thread(target=member.run, args=(consume,)).start()
    first, second, _ = wait_for(members, [2, 2, 2])
    print("three members with two shards each")
    clients.pop().close()
    after = wait_for(members[:2], [3, 3])
    print("one has left, and the others have kept what they had:", first < after[0] and second < after[1])
    for client in clients:
        client.close()


if __name__ == "__main__":
    main()
