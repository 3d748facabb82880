"""Follow a service: every change as it comes, merged while we are busy."""

from zkdiscovery import Client, Status


def main() -> None:
    """Make some changes and follow them through a second client."""
    with Client(namespace="/examples") as owner, Client(namespace="/examples") as consumer:
        stock = consumer.discover("stock")
        registration = owner.register("stock", 8080, host="127.0.0.1", id="one").wait_registered(10)
        steps = [
            lambda: owner.register("stock", 8081, host="127.0.0.1", id="two"),
            lambda: registration.set_status(Status.DOWN),
            registration.close,
        ]
        seen = 0
        for change in stock.changes(timeout=10):
            for instance in change.added:
                print(f"added    {instance.id} {instance.status}")
            for instance in change.updated:
                print(f"updated  {instance.id} {instance.status}")
            for instance in change.removed:
                print(f"removed  {instance.id}")
            if not change.delta:
                continue
            if seen == len(steps):
                break
            steps[seen]()
            seen += 1


if __name__ == "__main__":
    main()
