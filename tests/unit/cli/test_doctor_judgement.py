"""What the doctor makes of what it sees; servers that are hard to come by are judged by what they would say."""

from __future__ import annotations

import socket
import ssl

import pytest

from zkdiscovery import Settings
from zkdiscovery.cli.doctor import hosts
from zkdiscovery.cli.doctor.hosts import _ensemble, _interpret, _no_answer, _unreachable, examine_hosts
from zkdiscovery.cli.doctor.local import examine_address, examine_environment, settings_in_force
from zkdiscovery.cli.doctor.report import Finding, Level
from zkdiscovery.session import ServerInfo

SRVR = """Zookeeper version: {version}-2f1b8e, built on 2024
Latency min/avg/max: 0/0.5/12
Received: 100
Connections: 7
Outstanding: 2
Zxid: 0x1f
Mode: {mode}
Node count: 5
"""


def _info(version: str = "3.8.0", mode: str = "follower", text: str = SRVR) -> ServerInfo:
    return ServerInfo(version, mode, 31, 0.002, text.format(version=version, mode=mode))


def test_a_good_server() -> None:
    finding = _interpret("host a:2181", 0.001, _info(), None)
    assert finding.level is Level.OK
    assert finding.found == "ZooKeeper 3.8.0, follower, answers in 2.0 ms (TCP 1.0 ms), 7 connections"
    assert finding.data == {
        "version": "3.8.0", "mode": "follower", "zxid": 31, "tls": False, "tcp": 0.001, "latency": 0.002,
        "connections": 7, "outstanding": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("info", "level", "said"),
    [
        (_info("3.5.9"), Level.PROBLEM, "too old"),
        (_info("3.10.0"), Level.OK, "3.10.0"),
        (
            ServerInfo("", "", None, 0.001, "This ZooKeeper instance is not currently serving requests\n"),
            Level.PROBLEM,
            "no quorum",
        ),
        (
            ServerInfo("", "", None, 0.001, "srvr is not executed because it is not in the whitelist.\n"),
            Level.OK,
            "does not tell its version",
        ),
        (ServerInfo("", "", None, 0.001, ""), Level.PROBLEM, "hangs up without an answer"),
        (ServerInfo("", "", None, 0.001, "HTTP/1.1 400 Bad Request"), Level.PROBLEM, "not one of ZooKeeper"),
    ],
)
def test_what_a_server_says(info: ServerInfo, level: Level, said: str) -> None:
    finding = _interpret("host a:2181", 0.001, info, None)
    assert finding.level is level
    assert said in finding.found
    assert bool(finding.advice) == (level is Level.PROBLEM)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(-2, "Name or service not known"), "can't be resolved"),
        (UnicodeError("label too long"), "can't be resolved"),
        (ConnectionRefusedError(), "refused"),
        (TimeoutError(), "no TCP connection within 1 s"),
        (OSError("No route to host"), "No route to host"),
    ],
)
def test_no_tcp(error: OSError | UnicodeError, said: str) -> None:
    found, advice = _unreachable(error, 1.0)
    assert said in found
    assert advice


@pytest.mark.parametrize(
    "error",
    [ConnectionResetError(104, "reset by peer"), BrokenPipeError(32, "Broken pipe"), ConnectionAbortedError("aborted")],
)
@pytest.mark.parametrize("asked", [False, True])
def test_a_server_that_closes_hangs_up_whenever_it_does(
    error: OSError, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before we know that the connection is there, or while we write or read."""

    def hang_up(*_args: object, **_options: object) -> socket.socket:
        raise error

    if asked:
        monkeypatch.setattr(hosts, "probe_server", hang_up)
    else:
        monkeypatch.setattr(socket, "create_connection", hang_up)
    with socket.create_server(("127.0.0.1", 0)) as server:
        (finding,) = examine_hosts([server.getsockname()], timeout=1.0, context=None)
    assert finding.level is Level.PROBLEM
    assert "it hangs up" in finding.found
    assert "maxClientCnxns" in finding.advice


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ssl.SSLCertVerificationError("certificate verify failed"), "certificate is refused"),
        (ssl.SSLError(1, "wrong version number"), "no TLS"),
        (TimeoutError(), "no answer within 1 s"),
        (ConnectionResetError("reset by peer"), "hangs up"),
    ],
)
def test_no_answer(error: OSError, said: str) -> None:
    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_message = "self-signed certificate"
    found, advice = _no_answer(error, 1.0, None)
    assert said in found
    assert advice


@pytest.mark.parametrize(
    ("modes", "wrong"),
    [
        (["standalone"], False),
        (["leader", "follower", "follower"], False),
        (["leader", "leader"], True),
        (["standalone", "standalone"], True),
        (["standalone", "leader"], True),
    ],
)
def test_servers_that_do_not_belong_together(modes: list[str], wrong: bool) -> None:
    findings = [Finding("host", "", data={"mode": mode}) for mode in modes]
    assert [finding.level for finding in _ensemble(findings)] == [Level.PROBLEM] * wrong


def test_a_host_that_is_not_there_and_one_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as gone:
        ports = silent.getsockname()[1], gone.getsockname()[1]
        gone.close()
        findings = examine_hosts([("127.0.0.1", port) for port in ports], timeout=0.3, context=None)
    assert [finding.check for finding in findings] == [f"host 127.0.0.1:{port}" for port in ports]
    assert "no answer within 0.3 s" in findings[0].found
    assert "refused" in findings[1].found


def test_settings_say_where_they_come_from_and_hide_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {
        "ZKDISCOVERY_NAMESPACE": "/from-environment",
        "ZKDISCOVERY_AUTH__USERNAME": "alice",
        "zkdiscovery_auth__password": "hunter2",
        "ZKDISCOVERY_ACL": '[{"permissions": "r", "scheme": "digest", "id": "alice:c2VjcmV0aGFzaA=="}]',
        "ZKDISCOVERY_ZONES": "none of ours",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    options = {"hosts": "zk1:2181", "namespace": None, "base_path": "/discovery"}
    settings = settings_in_force(Settings(hosts="zk1:2181", base_path="/discovery"), options, environment)
    by_name = {setting.name: setting for setting in settings}
    assert by_name["hosts"].source == "--hosts"
    assert by_name["namespace"] == ("namespace", "/from-environment", "ZKDISCOVERY_NAMESPACE")
    assert by_name["base_path"].source == "--base-path"
    assert by_name["zone"].source == "default"
    assert by_name["auth.username"].value == "alice"
    assert by_name["auth.password"].source == "ZKDISCOVERY_AUTH__USERNAME, zkdiscovery_auth__password"
    assert by_name["acl"].value == [{"permissions": "r", "scheme": "digest", "id": "alice:**********"}]
    assert "hunter2" not in str(settings)
    assert "c2VjcmV0" not in str(settings)


def test_the_advertised_address_and_why() -> None:
    servers = {"127.0.0.1": ("127.0.0.1",)}
    found = examine_address(servers, {})
    assert found.data["host"] == "127.0.0.1"
    assert found.data["reason"].startswith("of the interface that leads to ZooKeeper")
    assert found.level is Level.OK
    given = examine_address(servers, {"POD_IP": "10.1.2.3"})
    assert given.data == {"host": "10.1.2.3", "reason": "POD_IP", "competing": []}
    wrong = examine_address(servers, {"ZKDISCOVERY_ADVERTISE_HOST": "0.0.0.0"})
    assert wrong.level is Level.WARNING
    assert "--host" in wrong.advice


def test_a_misspelt_setting_is_told() -> None:
    known = (
        "HOSTS", "TLS__CA_FILE", "ACL", "ADVERTISE_HOST", "LISTEN_PORT", "TEST_HOSTS", "ZOOKEEPER_IMAGE",
        "ZOOKEEPER_VERSION", "GUARD",
    )  # fmt: skip
    environ = {f"ZKDISCOVERY_{name}": "x" for name in (*known, "NAMESPCE", "TLS__CAFILE")}
    findings = list(examine_environment({**environ, "zkdiscovery_zone": "a", "HOME": "/"}))
    assert [finding.data["meant"] for finding in findings] == ["ZKDISCOVERY_NAMESPACE", "ZKDISCOVERY_TLS__CA_FILE"]
    assert {finding.level for finding in findings} == {Level.WARNING}
