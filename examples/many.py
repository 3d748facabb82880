"""A thousand instances in a few transactions."""

from zkdiscovery import Client


def main() -> None:
    """Register, wait, discover."""
    with Client(namespace="/examples") as client:
        registrations = client.register_many(
            [{"service": "sensors", "host": "127.0.0.1", "port": 10_000 + number} for number in range(1_000)]
        )
        for registration in registrations:
            registration.wait_registered(30)
        sensors = client.discover("sensors").wait_ready(timeout=30, at_least=1_000)
        print(f"{len(sensors.instances)} instances, snapshot version {sensors.snapshot.version}")


if __name__ == "__main__":
    main()
