"""Three programs enter a phase together and leave it together, however different their pace."""

import secrets
import threading
import time

from zkdiscovery import Client

NAMESPACE = f"/examples/barrier-{secrets.token_hex(4)}"
PARTIES = 3
seen: list[tuple[int, int]] = []


def work(number: int) -> None:
    """Come, work with the others, and go with them."""
    with Client(namespace=NAMESPACE) as client:
        came, done = client.counter("came"), client.counter("done")
        barrier = client.barrier("phase", parties=PARTIES)  # one object for each thread, task or process
        time.sleep(0.2 * number)  # each has something else to do before
        came.add()
        barrier.enter(timeout=30.0)
        come = came.value()
        time.sleep(0.2 * number)
        done.add()
        barrier.leave(timeout=30.0)
        seen.append((come, done.value()))


def main() -> None:
    """Run them side by side."""
    workers = [threading.Thread(target=work, args=(number,)) for number in range(PARTIES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for come, finished in seen:
        print(f"{come} had come when one began, {finished} were done when it went on")


if __name__ == "__main__":
    main()
