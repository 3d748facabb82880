"""An operator sets an instance aside and gives it back, from another process than its owner."""

from zkdiscovery import Client, Status


def main() -> None:
    """Own an instance with one client, operate with another, consume with a third."""
    with (
        Client(namespace="/examples") as owner,
        Client(namespace="/examples") as operator,
        Client(namespace="/examples") as consumer,
    ):
        owner.register("billing", 8080, host="127.0.0.1", id="one").wait_registered(10)
        owner.register("billing", 8081, host="127.0.0.1", id="two").wait_registered(10)
        billing = consumer.discover("billing").wait_ready(timeout=10, at_least=2)
        print("before:", sorted(instance.id for instance in billing.available))

        operator.override("billing", "one", status=Status.OUT_OF_SERVICE)
        for _ in billing.changes(timeout=10):
            if len(billing.available) == 1:
                break
        print("set aside:", sorted(instance.id for instance in billing.available))

        operator.clear_override("billing", "one")
        for _ in billing.changes(timeout=10):
            if len(billing.available) == 2:
                break
        print("given back:", sorted(instance.id for instance in billing.available))


if __name__ == "__main__":
    main()
