"""A Spring application that finds services in Eureka or Consul, by Spring's own clients."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tests.interop.programs import ROOT, Application

BUILT = ROOT / ".cache" / "registries"
LIMIT = 60.0  # seconds for the start of an application, on a busy machine
_COMMON = {
    "spring.application.name": "spring",
    "spring.cloud.loadbalancer.cache.enabled": "false",
}


def beside_eureka(url: str) -> Application:
    """An application that registers there and asks each second."""
    return _started(
        {
            "spring.cloud.consul.enabled": "false",
            "eureka.client.service-url.defaultZone": f"{url}/",
            "eureka.client.registry-fetch-interval-seconds": "1",
            "eureka.client.instance-info-replication-interval-seconds": "1",
            "eureka.instance.hostname": "127.0.0.1",
            "eureka.instance.ip-address": "127.0.0.1",
            "eureka.instance.prefer-ip-address": "true",
            "eureka.instance.lease-renewal-interval-in-seconds": "1",
            "eureka.instance.lease-expiration-duration-in-seconds": "3",
            "eureka.instance.metadata-map.version": "1.2",
        }
    )


def beside_consul(port: int) -> Application:
    """An application that registers at this agent, which checks it each second."""
    return _started(
        {
            "eureka.client.enabled": "false",
            "spring.cloud.consul.host": "127.0.0.1",
            "spring.cloud.consul.port": str(port),
            "spring.cloud.consul.discovery.hostname": "127.0.0.1",
            "spring.cloud.consul.discovery.health-check-path": "/",
            "spring.cloud.consul.discovery.health-check-interval": "1s",
            "spring.cloud.consul.discovery.query-passing": "true",
            "spring.cloud.consul.discovery.metadata.version": "1.2",
        }
    )


def _started(options: Mapping[str, str]) -> Application:
    return Application({**_COMMON, **options}, BUILT)


def wait_asked(application: Application, expected: Any, path: str, **query: object) -> None:
    """Wait for this answer; at first it does not listen."""
    end = time.monotonic() + LIMIT
    while True:
        try:
            found = application.ask(path, **query)
        except OSError as error:
            found = error
        if found == expected:
            return
        assert time.monotonic() < end, found
        time.sleep(0.1)


def wait_chosen(application: Application, *ports: int) -> None:
    """Wait until the load balancer chooses among exactly these ports of `payments`; 0 if there are none."""
    end = time.monotonic() + LIMIT
    while (chosen := set(map(int, application.ask("choose", service="payments", times=30)))) != set(ports):
        assert time.monotonic() < end, chosen
        time.sleep(0.1)
