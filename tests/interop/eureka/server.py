"""A Eureka server in a process of its own; scripts/build_interop.sh builds it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

from tests.interop.programs import LIMIT, ROOT, java
from tests.support import wait_until
from zkdiscovery.testing.ports import free_port

BUILT = ROOT / ".cache" / "eureka"
DURATION = 3600  # seconds: a lease that does not end by itself


class Eureka:
    """A server that shows changes after 0.2 s.

    Attributes:
        url: its address.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/eureka"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    # -- the process --

    def start(self) -> None:
        """Start it, and wait for its list, which is empty."""
        options = {
            "server.port": self.port,
            "server.address": "127.0.0.1",
            "spring.main.banner-mode": "off",
            "logging.level.root": "ERROR",
            "eureka.client.register-with-eureka": "false",
            "eureka.client.fetch-registry": "false",
            "eureka.server.response-cache-update-interval-ms": 200,
            "eureka.server.enable-self-preservation": "false",
            "eureka.server.eviction-interval-timer-in-ms": 500,
        }
        self._process = subprocess.Popen(
            java(BUILT, "registry.EurekaServer", *(f"--{name}={value}" for name, value in options.items()))
        )
        end = time.monotonic() + 2 * LIMIT
        while True:
            try:
                self.apps()
                return
            except OSError:
                assert time.monotonic() < end, "Eureka does not start"
                assert self._process.poll() is None, "Eureka has ended"
                time.sleep(0.1)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(LIMIT)
            self._process = None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def close(self) -> None:
        """End it."""
        self.kill()

    # -- requests --

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer to a request."""
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            text = answer.read()
        return json.loads(text) if text.strip() else None

    def apps(self) -> dict[int, Any]:
        """What its users see, by port."""
        found = self.ask("GET", "/apps")["applications"]["application"]
        return {each["port"]["$"]: each for application in found for each in application["instance"]}

    def wait_ports(self, *ports: int, timeout: float = LIMIT) -> dict[int, Any]:
        """Wait until its users see exactly these."""
        try:
            wait_until(lambda: self.apps().keys() == set(ports), timeout)
        except AssertionError:
            raise AssertionError(f"Eureka shows {self.apps()}, and not {sorted(ports)}") from None
        return self.apps()

    # -- as an application --

    def register(self, number: int, app: str = "WEB", **more: Any) -> None:
        """Register an instance."""
        duration = more.pop("duration", DURATION)
        instance = {
            "instanceId": f"machine:{app.lower()}:{8000 + number}",
            "hostName": "machine.example",
            "app": app,
            "ipAddr": "10.0.0.1",
            "vipAddress": app.lower(),
            "status": "UP",
            "port": {"$": 8000 + number, "@enabled": "true"},
            "dataCenterInfo": {
                "@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
                "name": "MyOwn",
            },
            "leaseInfo": {"renewalIntervalInSecs": 1, "durationInSecs": duration},
            **more,
        }
        self.ask("POST", f"/apps/{app}", {"instance": instance})

    def override(self, number: int, status: str | None, app: str = "WEB") -> None:
        """Override the status of an instance, or end that."""
        path = f"/apps/{app}/{quote(f'machine:{app.lower()}:{8000 + number}')}/status?value={status or 'UP'}"
        self.ask("PUT" if status else "DELETE", path)

    def deregister(self, number: int, app: str = "WEB") -> None:
        """Deregister an instance."""
        self.ask("DELETE", f"/apps/{app}/{quote(f'machine:{app.lower()}:{8000 + number}')}")
