"""A Consul in a process of its own; scripts/get_consul.sh gets the program."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from zkdiscovery.testing.ports import free_port

ROOT = Path(__file__).parents[3]
LIMIT = 30.0  # seconds, on a busy machine
ROOT_TOKEN = "5a0c1f6e-3a3f-4c5e-9d1b-6f2f6f0f0f0f"  # the token of the management in tests, nobody's secret


class Consul:
    """A server of one datacenter, which is its own agent.

    Args:
        folder: for its data.
        acls: whoever has no token has no rights.

    Attributes:
        url: its address.
        dns: its port of DNS.
        token: that of its management.
    """

    def __init__(self, folder: Path, *, acls: bool = False) -> None:
        program = subprocess.run(
            ["sh", "scripts/get_consul.sh"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.strip()
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        ports = {name: free_port() for name in ("http", "dns", "serf_lan", "server")}
        config: dict[str, Any] = {
            "server": True,
            "bootstrap": True,
            "node_name": "machine",
            "data_dir": str(self.data),
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "ports": {**ports, "serf_wan": -1, "grpc": -1},
            "performance": {"raft_multiplier": 1},
            "disable_update_check": True,
            "connect": {"enabled": False},
            "dns_config": {"allow_stale": False},
            "limits": {"http_max_conns_per_client": 500},
        }
        if acls:
            config["acl"] = {"enabled": True, "default_policy": "deny", "tokens": {"master": ROOT_TOKEN}}
        self.token = ROOT_TOKEN if acls else None
        (folder / "consul.json").write_text(json.dumps(config))
        self.url = f"http://127.0.0.1:{ports['http']}"
        self.dns = ports["dns"]
        self._command = [program, "agent", "-config-file", str(folder / "consul.json")]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    # -- the process --

    def start(self) -> None:
        """Start it, and wait for its catalogue."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start it."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def wait_ready(self) -> None:
        """Wait until it lists its own server."""
        end = time.monotonic() + LIMIT
        while True:
            try:
                if self.get("/v1/health/service/consul"):
                    return
            except (OSError, urllib.error.HTTPError):
                pass
            assert time.monotonic() < end, f"Consul does not start: {(self.folder / 'log').read_text()[-2000:]}"
            time.sleep(0.05)

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

    def forget(self) -> None:
        """Remove all of its data; it must not run."""
        shutil.rmtree(self.data)
        self.data.mkdir()

    def save(self) -> Path:
        """Keep its data as they are; it must not run."""
        kept = self.folder / "kept"
        shutil.copytree(self.data, kept)
        return kept

    def restore(self, kept: Path) -> None:
        """Take back older data; it must not run."""
        shutil.rmtree(self.data)
        shutil.move(kept, self.data)

    def close(self) -> None:
        """End it."""
        self.kill()

    # -- requests --

    def get(self, path: str) -> Any:
        """The answer to a question."""
        return self._ask("GET", path, None)

    def put(self, path: str, body: object = None) -> Any:
        """The answer to a command."""
        return self._ask("PUT", path, body)

    def _ask(self, method: str, path: str, body: object) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Consul-Token": self.token} if self.token else {}
        request = urllib.request.Request(f"{self.url}{path}", data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            text = answer.read()
        return json.loads(text) if text.strip() else None

    # -- as an application with its agent --

    def register(self, number: int, service: str = "web", **more: Any) -> None:
        """Register an instance at the agent, with a check by time to live that passes."""
        check = more.pop("check", {"CheckID": f"check-{service}-{number}", "TTL": "10m", "Status": "passing"})
        known = {"ID": f"{service}-{number}", "Name": service, "Address": "10.0.0.1", "Port": 8000 + number, **more}
        self.put("/v1/agent/service/register", {**known, **({"Check": check} if check else {})})

    def set_check(self, number: int, status: str, service: str = "web") -> None:
        """Say `pass`, `warn` or `fail` to the check of an instance."""
        self.put(f"/v1/agent/check/{status}/check-{service}-{number}")

    def deregister(self, number: int, service: str = "web") -> None:
        """Deregister an instance at the agent."""
        self.put(f"/v1/agent/service/deregister/{service}-{number}")

    def passing(self, service: str) -> dict[int, Any]:
        """The instances of a service that Consul's users call, by port."""
        found = self.get(f"/v1/health/service/{service}?passing")
        return {entry["Service"]["Port"]: entry for entry in found}
