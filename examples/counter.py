"""Invoice numbers for four programs at once: a counter gives each of them numbers that nobody else gets."""

import secrets
import threading

from zkdiscovery import Client

NAMESPACE = f"/examples/counter-{secrets.token_hex(4)}"
numbers: list[int] = []


def write_invoices() -> None:
    """Take five numbers."""
    with Client(namespace=NAMESPACE) as client:
        invoices = client.counter("invoices")
        numbers.extend(invoices.add() for _ in range(5))


def main() -> None:
    """Let four write invoices side by side."""
    writers = [threading.Thread(target=write_invoices) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    print("from 1 to 20, each once:", sorted(numbers) == list(range(1, 21)))
    with Client(namespace=NAMESPACE) as client:
        invoices = client.counter("invoices")
        print("replaced where it is 20:", invoices.compare_and_set(20, 1000), "now", invoices.value())


if __name__ == "__main__":
    main()
