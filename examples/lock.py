"""Four programs sell three tickets: a lock lets in one at a time, and ZooKeeper refuses a write after its hold."""

import secrets
import threading

from zkdiscovery import Client, HoldLost

NAMESPACE = f"/examples/lock-{secrets.token_hex(4)}"
fences: list[int] = []


def sell(name: str) -> None:
    """Sell one ticket, if there is one."""
    with Client(namespace=NAMESPACE) as client:
        tickets = client.counter("tickets")
        with client.lock("tickets").hold(timeout=30.0) as hold:
            fences.append(hold.fence)
            left = tickets.value()
            if left:
                tickets.set(left - 1, guard=hold)
            print(f"{name} sells one, {left - 1} left" if left else f"{name} finds none")


def main() -> None:
    """Sell side by side, then write with a hold that is over, as a program would that was paused."""
    with Client(namespace=NAMESPACE) as client:
        tickets = client.counter("tickets")
        tickets.set(3)
        sellers = [threading.Thread(target=sell, args=(f"seller-{number}",)) for number in range(1, 5)]
        for seller in sellers:
            seller.start()
        for seller in sellers:
            seller.join()
        print("fences grew:", fences == sorted(fences))
        with client.lock("tickets").hold(timeout=30.0) as hold:
            print("held by us:", client.lock("tickets").holder() is not None)
        try:
            tickets.set(100, guard=hold)
        except HoldLost:
            print("a late write is refused, left:", tickets.value())


if __name__ == "__main__":
    main()
