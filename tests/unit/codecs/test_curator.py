"""CuratorCodec: what is written for others, and that it comes back as it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkdiscovery.codecs import MAX_DATA_BYTES
from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.errors import InvalidInstance, InvalidName, UndecodableNode
from zkdiscovery.model import Instance, Status

CODEC = CuratorCodec()
HYPOTHESIS = settings(max_examples=200, deadline=None, derandomize=True)

PLAIN = Instance("orders", "10.0.0.7", 8080, id="6f1c", registered_at=1_700_000_000.0)
FULL = Instance(
    "orders",
    "10.0.0.7",
    8080,
    id="6f1c",
    ports={"metrics": 9100, "admin": 9101},
    tls_port=8443,
    status=Status.DRAINING,
    weight=2.5,
    zone="eu-1a",
    version="1.4.2",
    tags=("blue", "canary"),
    metadata={"owner": "päyments 😀", "note": "line\nbreak"},
    registered_at=1_700_000_000.123,
)

# Keys of metadata that belong to fields of an instance.
RESERVED = {"instance_status", "weight", "zone", "zkdiscovery.status", "zkdiscovery.tags", "zkdiscovery.of-tomorrow"}

_keys = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8) | st.sampled_from(
    ["status", "version", "tags", "ports", "zkdiscovery"]
)
_printable = st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=12).filter(str.strip)
_names = st.text(st.characters(exclude_categories=("C",), exclude_characters="/", max_codepoint=0xD7FF), min_size=1)
_names = _names.map(lambda text: text[:40]).filter(lambda text: text not in {".", "..", "zookeeper"})
_ports = st.integers(1, 65535)
_labels = _printable.filter(lambda text: "," not in text and "=" not in text)
_hosts = st.one_of(
    st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z]{2,5})?", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)
instances = st.builds(
    Instance,
    service=_names,
    host=_hosts,
    port=_ports,
    id=_names,
    ports=st.dictionaries(_labels, _ports, max_size=3),
    tls_port=st.none() | _ports,
    status=st.sampled_from(Status),
    weight=st.floats(0, allow_infinity=False, allow_nan=False) | st.integers(0, 10),
    zone=st.none() | _printable,
    version=st.none() | _printable,
    tags=st.lists(_labels, max_size=3).map(tuple),
    metadata=st.dictionaries(
        _keys.filter(lambda key: key not in RESERVED),
        st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
        max_size=4,
    ),
    registered_at=st.none() | st.floats(0.001, 1e11),
)


def decode(instance: Instance, data: bytes) -> Instance:
    return CODEC.decode(instance.service, instance.id, data)


def metadata_of(data: bytes) -> dict[str, str]:
    return json.loads(data)["payload"]["metadata"]


@HYPOTHESIS
@given(instances)
def test_any_instance_comes_back_as_it_was(instance: Instance) -> None:
    decoded = decode(instance, CODEC.encode(instance))
    assert decoded == instance
    assert type(decoded.metadata) is type(instance.metadata)
    assert type(decoded.ports) is type(instance.ports)
    assert hash(decoded) == hash(instance)
    # What the codec builds without checks passes all checks, and is in the same form.
    assert decoded.with_() == decoded


@HYPOTHESIS
@given(instances, instances)
def test_what_stood_there_before_never_shows_through(before: Instance, after: Instance) -> None:
    data = CODEC.encode(after, previous=CODEC.encode(before))
    assert decode(after, data) == after


@HYPOTHESIS
@given(instances)
def test_writing_the_same_again_changes_no_byte(instance: Instance) -> None:
    data = CODEC.encode(instance)
    assert CODEC.encode(instance, previous=data) == data


def test_the_bytes_of_a_plain_instance() -> None:
    curator = (
        b'{"name":"orders","id":"6f1c","address":"10.0.0.7","port":8080,"sslPort":null,'
        b'"payload":{"@class":"org.springframework.cloud.zookeeper.discovery.ZookeeperInstance","id":"6f1c",'
        b'"name":"orders","metadata":{"instance_status":"UP"}},'
        b'"registrationTimeUTC":1700000000000,"serviceType":"DYNAMIC",'
        b'"uriSpec":{"parts":[{"value":"scheme","variable":true},{"value":"://","variable":false},'
        b'{"value":"address","variable":true},{"value":":","variable":false},{"value":"port","variable":true}]}'
    )
    others = (
        b',"host":"10.0.0.7","serviceEndpoint":{"host":"10.0.0.7","port":8080},"additionalEndpoints":{},'
        b'"status":"ALIVE"}'
    )
    assert CODEC.encode(PLAIN) == curator + others


def test_the_fields_of_a_full_instance() -> None:
    data = CODEC.encode(FULL)
    node = json.loads(data)
    assert list(node)[:10] == [
        *("name", "id", "address", "port", "sslPort", "payload", "registrationTimeUTC", "serviceType", "uriSpec"),
        "enabled",
    ]
    assert node["enabled"] is False
    assert node["sslPort"] == 8443
    assert node["registrationTimeUTC"] == 1_700_000_000_123
    assert list(metadata_of(data).items()) == [
        ("instance_status", "OUT_OF_SERVICE"),
        ("zkdiscovery.status", "DRAINING"),
        ("weight", "2.5"),
        ("zone", "eu-1a"),
        ("zkdiscovery.version", "1.4.2"),
        ("zkdiscovery.tags", "blue,canary"),
        ("zkdiscovery.ports", "metrics=9100,admin=9101"),
        ("owner", "päyments 😀"),
        ("note", "line\nbreak"),
    ]
    assert node["additionalEndpoints"] == {
        "metrics": {"host": "10.0.0.7", "port": 9100},
        "admin": {"host": "10.0.0.7", "port": 9101},
    }
    assert "päyments 😀".encode() in data  # UTF-8, not escapes


@pytest.mark.parametrize("status", list(Status))
def test_java_calls_an_instance_only_while_it_is_up(status: Status) -> None:
    data = CODEC.encode(PLAIN.with_(status=status))
    up = status is Status.UP
    assert json.loads(data).get("enabled", True) is up
    assert metadata_of(data)["instance_status"] == ("UP" if up else "OUT_OF_SERVICE")
    assert (json.loads(data)["status"] == "ALIVE") is up


@pytest.mark.parametrize("status", list(Status))
def test_a_change_of_status_is_written_over_the_one_before(status: Status) -> None:
    for before in Status:
        data = CODEC.encode(PLAIN.with_(status=status), previous=CODEC.encode(PLAIN.with_(status=before)))
        up = status is Status.UP
        assert json.loads(data).get("enabled", True) is up
        assert metadata_of(data)["instance_status"] == ("UP" if up else "OUT_OF_SERVICE")
        assert metadata_of(data).get("zkdiscovery.status") == (None if up or status == "OUT_OF_SERVICE" else status)
        assert (json.loads(data)["status"] == "ALIVE") is up


@pytest.mark.parametrize(
    ("weight", "text"), [(5.0, "5"), (0.0, "0"), (0.5, "0.5"), (1e300, "1e+300"), (2.0**31 - 1, "2147483647")]
)
def test_a_whole_weight_is_written_as_java_parses_it(weight: float, text: str) -> None:
    assert metadata_of(CODEC.encode(PLAIN.with_(weight=weight)))["weight"] == text


def test_the_uri_of_an_instance_with_tls_has_the_tls_port() -> None:
    parts = json.loads(CODEC.encode(PLAIN.with_(tls_port=8443)))["uriSpec"]["parts"]
    assert parts[-1] == {"value": "ssl-port", "variable": True}
    back = CODEC.encode(PLAIN, previous=CODEC.encode(PLAIN.with_(tls_port=8443)))
    assert json.loads(back)["uriSpec"]["parts"][-1] == {"value": "port", "variable": True}


def test_java_never_calls_an_instance_of_weight_0() -> None:
    """Java knows no weight of 0 and would call it like any other; for us it is UP."""
    reserve = PLAIN.with_(weight=0)
    data = CODEC.encode(reserve)
    assert json.loads(data)["enabled"] is False
    assert json.loads(data)["status"] == "STOPPED"
    assert metadata_of(data) == {"instance_status": "OUT_OF_SERVICE", "zkdiscovery.status": "UP", "weight": "0"}
    assert decode(reserve, data) == reserve
    for before, after in ((PLAIN, reserve), (reserve, PLAIN)):
        written = CODEC.encode(after, previous=CODEC.encode(before))
        assert decode(after, written) == after
        assert metadata_of(written) == metadata_of(CODEC.encode(after))
        assert json.loads(written).get("enabled", True) is (after is PLAIN)
    # Where a tool of Java sets it aside, that counts, and so it does once the weight is another one.
    aside = data.replace(b'"weight":"0"', b'"weight":"2"')
    assert decode(PLAIN, aside).status is Status.OUT_OF_SERVICE


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_each_status_of_each_weight_comes_back(status: Status, weight: float) -> None:
    instance = PLAIN.with_(status=status, weight=weight)
    assert decode(instance, CODEC.encode(instance)) == instance


@pytest.mark.parametrize(
    ("host", "uri"),
    [
        ("10.0.0.7", "http://10.0.0.7:8080"),
        ("a.example", "http://a.example:8080"),
        ("::1", "http://[::1]:8080"),
        ("fe80::1%eth0", "http://[fe80::1%eth0]:8080"),
    ],
)
def test_the_uri_that_java_builds(host: str, uri: str) -> None:
    """Curator puts the values of its variables in a row, so an IPv6 address must have its brackets."""
    plain = PLAIN.with_(host=host)
    assert built_uri(CODEC.encode(plain)) == uri == plain.url
    secure = plain.with_(tls_port=8443)
    assert built_uri(CODEC.encode(secure)) == secure.url
    for before in (PLAIN, PLAIN.with_(host="::2"), PLAIN.with_(tls_port=1)):
        assert built_uri(CODEC.encode(plain, previous=CODEC.encode(before))) == uri


def built_uri(data: bytes) -> str:
    """What `UriSpec.build` of Curator makes of it."""
    node = json.loads(data)
    values = {
        "scheme": "http" if node["sslPort"] is None else "https",
        "address": node["address"],
        "port": str(node["port"]),
        "ssl-port": str(node["sslPort"]),
    }
    parts = node["uriSpec"]["parts"]
    return "".join(values[part["value"]] if part["variable"] else part["value"] for part in parts)


@pytest.mark.parametrize("key", sorted(RESERVED))
def test_a_reserved_key_in_the_users_metadata_is_refused(key: str) -> None:
    instance = PLAIN.with_(metadata={"mine": "1", key: "2"})
    field = "status" if key == "instance_status" else key.removeprefix("zkdiscovery.")
    advice = "choose another key" if field == "of-tomorrow" else f"set {field}= instead"
    with pytest.raises(InvalidInstance, match=rf"must not have the key '{key}'.*{advice}"):
        CODEC.encode(instance)
    with pytest.raises(InvalidInstance, match=f"must not have the key '{key}'"):
        CODEC.encode(instance, previous=CODEC.encode(PLAIN))


def test_data_at_the_limit_is_stored_and_one_byte_more_is_refused() -> None:
    room = MAX_DATA_BYTES - len(CODEC.encode(PLAIN.with_(metadata={"k": ""})))
    largest = PLAIN.with_(metadata={"k": "x" * room})
    data = CODEC.encode(largest)
    assert len(data) == MAX_DATA_BYTES
    assert decode(largest, data) == largest
    with pytest.raises(
        InvalidInstance, match=rf"'6f1c' of 'orders' needs {MAX_DATA_BYTES + 1} bytes.*{MAX_DATA_BYTES}"
    ):
        CODEC.encode(largest.with_(metadata={"k": "x" * (room + 1)}))
    with pytest.raises(UndecodableNode, match=f"holds {MAX_DATA_BYTES + 1} bytes, the limit is {MAX_DATA_BYTES}"):
        decode(largest, data + b" ")


def test_the_limit_counts_bytes_and_not_characters() -> None:
    with pytest.raises(InvalidInstance, match="needs"):
        CODEC.encode(PLAIN.with_(metadata={"k": "ä" * (MAX_DATA_BYTES // 2)}))


def test_an_instance_that_was_never_registered_has_time_zero_for_java() -> None:
    data = CODEC.encode(Instance("orders", "h", 1))
    assert json.loads(data)["registrationTimeUTC"] == 0
    assert CODEC.decode("orders", "h:1", data).registered_at is None


def test_the_path_decides_over_name_and_id_in_the_json() -> None:
    data = CODEC.encode(PLAIN)
    decoded = CODEC.decode("other", "6f1c0000000003", data)
    assert (decoded.service, decoded.id) == ("other", "6f1c0000000003")
    again = json.loads(CODEC.encode(decoded.with_(weight=3), previous=data))
    assert (again["name"], again["id"]) == ("orders", "6f1c")


@pytest.mark.parametrize("id", ["", ".", "..", "a/b", "a\x00", "x" * 256])
def test_an_id_that_is_no_name_is_undecodable(id: str) -> None:
    data = CODEC.encode(PLAIN)
    with pytest.raises(InvalidName):
        PLAIN.with_(id=id or "/")
    with pytest.raises(UndecodableNode, match="the instance id"):
        CODEC.decode("orders", id, data)
    with pytest.raises(UndecodableNode, match="the service name"):
        CODEC.decode(id, "6f1c", data)


def test_cached_instances_share_what_is_empty() -> None:
    first, second = (decode(PLAIN, CODEC.encode(PLAIN)) for _ in range(2))
    assert first.metadata is second.metadata
    assert first.ports is second.ports
