"""Settings: where values come from, what is refused, and that no message repeats a value."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from zkdiscovery.errors import InvalidSettings
from zkdiscovery.settings import AclEntry, Auth, Guard, Settings, Tls, load_settings, split_host

SECRET = "s3cr3t-v4lue"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets variables by their names without the prefix; none are set before."""
    for name in [name for name in os.environ if name.startswith("ZKDISCOVERY_")]:
        monkeypatch.delenv(name)

    def put(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"ZKDISCOVERY_{name}", value)

    return put


def test_defaults() -> None:
    settings = load_settings()
    assert (settings.hosts, settings.namespace, settings.zone) == ("127.0.0.1:2181", "/", None)
    assert (settings.session_timeout, settings.connect_timeout, settings.operation_timeout) == (10.0, 1.0, 5.0)
    assert (settings.tls, settings.auth, settings.acl, settings.parent_acl) == (None, None, "open", "open")
    assert settings.guard == Guard(enabled=True, minimum=3, fraction=0.5, window=None, hold=None)


def test_arguments_then_settings_then_environment(environment: Callable[..., None]) -> None:
    environment(HOSTS="env:1", ZONE="env", NAMESPACE="/env", SESSION_TIMEOUT="7.5")
    assert load_settings().hosts == "env:1"
    base = Settings(zone="base", namespace="/base")
    both = load_settings(base, zone="argument", namespace=None)
    assert (both.zone, both.namespace, both.hosts, both.session_timeout) == ("argument", "/base", "env:1", 7.5)


def test_variables_are_found_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("zkdiscovery_Hosts", "one:1")
    assert load_settings().hosts == "one:1"


def test_nested_variables(environment: Callable[..., None], tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.touch()
    environment(
        TLS__CA_FILE=str(file), TLS__VERIFY_HOSTNAME="false", AUTH__SCHEME="sasl", AUTH__USERNAME="alice",
        AUTH__PASSWORD=SECRET, GUARD__ENABLED="no", GUARD__HOLD="3",
        ACL='[{"permissions": "r", "scheme": "world", "id": "anyone"}]', PARENT_ACL="creator",
    )  # fmt: skip
    settings = load_settings()
    assert settings.tls == Tls(ca_file=file, verify_hostname=False)
    assert settings.auth == Auth(scheme="sasl", username="alice", password=SecretStr(SECRET))
    assert settings.guard == Guard(enabled=False, hold=3.0)
    assert settings.acl == (AclEntry(permissions="r", scheme="world", id="anyone"),)
    assert settings.parent_acl == "creator"


def test_parts_of_a_field_from_arguments_and_from_the_environment(environment: Callable[..., None]) -> None:
    environment(GUARD__HOLD="3", GUARD__MINIMUM="4")
    assert load_settings(guard={"minimum": 5}).guard == Guard(minimum=5, hold=3.0)
    assert load_settings(guard=Guard(minimum=5)).guard == Guard(minimum=5)


def test_empty_and_foreign_variables_count_for_nothing(environment: Callable[..., None]) -> None:
    environment(ZONE="", HOSTS="", ADVERTISE_HOST="10.0.0.1", TEST_HOSTS="test:1", SOMETHING_ELSE="1")
    assert load_settings() == Settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().hosts = "other:1"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("a", "/a"), ("/a/b", "/a/b"), ("//a///b/", "/a/b"), ("/", "/"), ("", "/"), ("/größe", "/größe")],
)
def test_namespaces(written: str, meant: str) -> None:
    assert load_settings(namespace=written).namespace == meant


def test_base_paths(environment: Callable[..., None]) -> None:
    assert load_settings().base_path is None
    environment(BASE_PATH="/discovery")
    assert load_settings(namespace="/shop").base_path == "/discovery"
    for written, meant in (("/a", "/a"), ("//a///b/", "/a/b"), ("/shop/elections2", "/shop/elections2")):
        assert load_settings(namespace="/shop", base_path=written).base_path == meant


@pytest.mark.parametrize("text", ["discovery", "", "a/b", "/a/../b", "/zookeeper", "/a\0", "/shop/services/.."])
def test_base_paths_that_are_none(text: str) -> None:
    with pytest.raises(InvalidSettings, match=r"base_path: (must begin with '/'|its parts must be)"):
        load_settings(base_path=text)


@pytest.mark.parametrize("text", ["/", "/shop", "/shop/elections", "/shop/elections/a", "//shop/"])
def test_a_base_path_that_holds_elections_is_refused(text: str) -> None:
    """An election would be listed as a service, and a service of that name would meet candidates."""
    with pytest.raises(InvalidSettings, match="base_path must be apart from the namespace's 'elections'"):
        load_settings(namespace="/shop", base_path=text)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("zk1", ("zk1", 2181)),
        ("zk1.example.org:1234", ("zk1.example.org", 1234)),
        ("127.0.0.1:65535", ("127.0.0.1", 65535)),
        ("[::1]", ("::1", 2181)),
        ("[fe80::1]:99", ("fe80::1", 99)),
    ],
)
def test_hosts(text: str, host: tuple[str, int]) -> None:
    assert split_host(text) == host
    assert load_settings(hosts=f" {text} , {text}").hosts == f"{text},{text}"


@pytest.mark.parametrize(
    "text",
    [
        "", ",", "a,", ":2181", "a:", "a:b", "a:0", "a:65536", "a:-1", "a:1:2", "a:１２", "::1", "[::1", "[::1]2181",
        "[]:1", "[zk1]:1", "[x::y]:1", "a b", "a/chroot", "http://a", "user@a", "a..b", "x" * 64, "a\0b",
    ],
)  # fmt: skip
def test_hosts_that_are_none(text: str) -> None:
    with pytest.raises(InvalidSettings, match="hosts: "):
        load_settings(hosts=text)


@given(st.text())
def test_any_text_is_hosts_or_refused(text: str) -> None:
    try:
        hosts = load_settings(hosts=text).hosts
    except InvalidSettings:
        return
    assert load_settings(hosts=hosts).hosts == hosts
    assert all(1 <= split_host(part)[1] <= 65535 for part in hosts.split(","))


AUTH = {"scheme": "digest", "username": "alice", "password": SECRET}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"namespace": f"/{SECRET}/../x"}, "namespace"),
    ({"namespace": f"/{SECRET}\0"}, "namespace"),
    ({"namespace": f"/{SECRET}" + "x" * 256}, "namespace"),
    ({"namespace": "/zookeeper"}, "namespace"),
    ({"zone": ""}, "zone"),
    ({"zone": f"{SECRET}\n"}, "zone"),
    ({"session_timeout": 0.4}, "session_timeout"),
    ({"session_timeout": SECRET}, "session_timeout"),
    ({"session_timeout": float("nan")}, "session_timeout"),
    ({"session_timeout": float("inf")}, "session_timeout"),
    ({"connect_timeout": 0}, "connect_timeout"),
    ({"operation_timeout": -1}, "operation_timeout"),
    ({"auth": {**AUTH, "username": f"{SECRET}:x"}}, "auth: username"),
    ({"auth": {**AUTH, "username": ""}}, "auth: username"),
    ({"auth": {**AUTH, "scheme": SECRET}}, "auth: scheme"),
    ({"auth": {**AUTH, "password": 7}}, "auth: password"),
    ({"auth": {**AUTH, SECRET[:1]: SECRET}}, "auth: s: Extra inputs"),
    ({"auth": SECRET}, "auth"),
    ({"tls": {"ca_file": f"/nowhere/{SECRET}"}}, "tls: ca_file is no file"),
    ({"tls": {"key_file": __file__}}, "tls: key_file is given without cert_file"),
    ({"acl": SECRET}, "acl: Input should be 'open' or 'creator'"),
    ({"acl": ()}, "an ACL must have at least one entry"),
    ({"acl": [{"permissions": SECRET, "scheme": "world", "id": "anyone"}]}, r"acl\.0: permissions"),
    ({"acl": "creator"}, "needs credentials: set auth, or tls with cert_file"),
    ({"parent_acl": "creator"}, "needs credentials"),
    ({"guard": {"fraction": 1.0}}, "guard: fraction"),
    ({"guard": {"minimum": 0}}, "guard: minimum"),
    ({"guard": {"hold": 0}}, "guard: hold"),
    ({"unheard_of": SECRET}, "unheard_of"),
    ({"hosts": f"{SECRET}:port"}, "hosts"),
]


@pytest.mark.parametrize(("values", "message"), BAD)
def test_what_can_not_be_used(values: dict[str, Any], message: str) -> None:
    for make in (load_settings, Settings):
        with pytest.raises(InvalidSettings, match=message) as raised:
            make(**values)
        error = raised.value
        assert str(error).startswith("settings can't be used: ")
        assert SECRET not in str(error) + repr(error)
        assert SECRET not in repr(pickle.loads(pickle.dumps(error)))
        assert error.__suppress_context__, "what pydantic says beside is not shown"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tls(ca_file=Path(f"/nowhere/{SECRET}")), "ca_file"),
        (lambda: Auth(username="a:b", password=SecretStr(SECRET)), "username"),
        (lambda: AclEntry(permissions=SECRET, scheme="world", id=""), "permissions"),
        (lambda: Guard(minimum=0), "minimum"),
    ],
)
def test_the_parts_of_settings_are_checked_alone(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message) as raised:
        make()
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("name", ["GUARD", "TLS", "AUTH", "ACL", "PARENT_ACL"])
def test_a_variable_that_is_no_json(environment: Callable[..., None], name: str) -> None:
    environment(**{name: f'{{"{SECRET}'})
    with pytest.raises(InvalidSettings, match=name.lower()) as raised:
        load_settings()
    assert SECRET not in str(raised.value)
    assert f"ZKDISCOVERY_{name}" in str(raised.value), "says where the value comes from"


def test_secrets_do_not_show(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.touch()
    settings = Settings(
        auth=Auth(username="alice", password=SecretStr(SECRET)),
        tls=Tls(cert_file=key, key_file=key, key_password=SecretStr(SECRET)),
    )
    assert "alice" in repr(settings)
    assert SECRET not in repr(settings) + str(settings) + repr(settings.model_dump()) + settings.model_dump_json()
