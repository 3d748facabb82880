"""Three workers stand for one election; each leads once and hands over."""

import threading

from zkdiscovery import Client, Term

fences: list[int] = []


def work(name: str) -> None:
    """Lead once, then leave."""
    with Client(namespace="/examples") as client:

        @client.while_leader("nightly-report", id=name)
        def report(term: Term) -> None:
            term.check()
            fences.append(term.fence)
            print(f"{name} leads with fence {term.fence}, {term.remaining:.1f} s ahead")

        report()


def main() -> None:
    """Run the workers side by side."""
    workers = [threading.Thread(target=work, args=(f"worker-{number}",)) for number in (1, 2, 3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print("fences grew:", fences == sorted(fences))


if __name__ == "__main__":
    main()
