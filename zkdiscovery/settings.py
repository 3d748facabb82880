"""Typed settings: arguments first, then the environment (`ZKDISCOVERY_*`), then defaults.

Nested fields are separated by two underscores: `ZKDISCOVERY_TLS__CA_FILE=/etc/zk/ca.pem`. An empty variable counts as
not set. What can't be used is refused with InvalidSettings, whose message names the fields and never repeats a value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from zkdiscovery.errors import InvalidInstance, InvalidName, InvalidSettings
from zkdiscovery.validation import check_host, check_name, check_text

_FROZEN = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
_PREFIX = "ZKDISCOVERY_"
_REFUSED = "settings can't be used: "
_HOST = re.compile(r"(?:\[(?P<address>[^\[\]]*:[^\[\]]*)\]|(?P<name>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")


class _Checked(BaseModel):
    """A model that refuses values with an error of ours. Type checkers see pydantic's own signature."""

    if not TYPE_CHECKING:

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                entries = error.errors(include_input=False, include_url=False, include_context=False)
                raise InvalidSettings(_REFUSED + "; ".join(map(_problem, entries))) from None


def _problem(entry: Any) -> str:
    # pydantic also names the members of a union of types, which no user wrote.
    name = ".".join(str(part) for part in entry["loc"] if "[" not in str(part))
    text: str = entry["msg"].removeprefix("Value error, ").removeprefix(_REFUSED)
    return f"{name}: {text}" if name else text


class Tls(_Checked):
    """The options of TLS with ZooKeeper. Host names are verified unless `verify_hostname` is False.

    Attributes:
        ca_file: PEM file of the authorities to trust; None: those of the system.
        cert_file: PEM file of the client's own certificate, for servers that ask for one.
        key_file: PEM file of its private key.
        key_password: password of the private key.
        verify_hostname: refuse a certificate that does not have the name of the host.
    """

    model_config = _FROZEN

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: SecretStr | None = None
    verify_hostname: bool = True

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file is given without cert_file")
        for name in ("ca_file", "cert_file", "key_file"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{name} is no file that can be read")
        return self


class Auth(_Checked):
    """The credentials that the client gives to ZooKeeper.

    Attributes:
        scheme: `digest` (an `addauth` of ZooKeeper) or `sasl` (DIGEST-MD5; needs the extra `zkdiscovery[sasl]`).
        username: name of the user.
        password: password of the user.
    """

    model_config = _FROZEN

    scheme: Literal["digest", "sasl"] = "digest"
    username: Annotated[str, Field(min_length=1, pattern="^[^:]+$")]
    password: SecretStr

    @field_validator("password")
    @classmethod
    def _check_password(cls, value: SecretStr) -> SecretStr:
        # Bytes of the environment that are not UTF-8 become such text, with which every handshake would fail.
        if any("\ud800" <= char <= "\udfff" for char in value.get_secret_value()):
            raise ValueError("must be text that UTF-8 can hold")
        return value


class AclEntry(_Checked):
    """One entry of an access control list.

    Attributes:
        permissions: letters of `cdrwa`: create, delete, read, write, admin.
        scheme: ZooKeeper's scheme, e.g. `world`, `auth`, `digest`, `sasl`, `ip`, `x509`.
        id: the scheme's id, e.g. `anyone`.
    """

    model_config = _FROZEN

    permissions: Annotated[str, Field(pattern="^[cdrwa]+$")]
    scheme: Annotated[str, Field(min_length=1)]
    id: str

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            if name == "id" and self.scheme == "digest":  # it contains a hash of the password
                yield name, f"{value.partition(':')[0]}:**********"
            else:
                yield name, value


Acl = Literal["open", "creator"] | tuple[AclEntry, ...]


class Guard(_Checked):
    """The guard against mass loss: instances that vanish together without deregistering stay as suspects for a while.

    Attributes:
        enabled: False: an instance that vanishes is removed at once.
        minimum: instances that a service must have for the guard to act.
        fraction: share of the service that must vanish within the window for the guard to act.
        window: seconds within which losses count as one; None: half of the consumer's session timeout.
        hold: seconds that a suspect is kept; None: the consumer's own session timeout.
    """

    model_config = _FROZEN

    enabled: bool = True
    minimum: Annotated[int, Field(ge=1)] = 3
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    window: Annotated[float, Field(gt=0, le=3600)] | None = None  # seconds
    hold: Annotated[float, Field(gt=0, le=3600)] | None = None  # seconds


class Settings(_Checked):
    """All settings of a client.

    Attributes:
        hosts: `host:port` of the ZooKeeper servers, separated by commas; IPv6 in brackets; 2181 if no port is given.
        namespace: path below which everything lives; `/` for the root.
        base_path: path of the services, from the root, whatever the namespace is; None: `services` below the namespace.
        zone: failure domain of this process.
        session_timeout: seconds without contact after which ZooKeeper ends the session; the server may bound it.
        connect_timeout: seconds that one server may take at first to accept the client before the next is tried; less
            if the session timeout is short.
        operation_timeout: seconds for one request that the SDK itself sends, without a call of a user.
        close_timeout: seconds that closing takes at most if no other limit is given; a longer drain delay gets its
            time, and 3 s more. With the default, closing adds at most 8 s to the end of a process.
        tls: TLS; None: plain TCP.
        auth: credentials; None: anonymous.
        acl: access control list of the nodes of instances and candidates: `open`, `creator`, or entries.
        parent_acl: access control list of the parents, which clients share.
        guard: the guard against mass loss.
        source_timeout: seconds after which the instances of a bridge are suspects if their source can't be reached, or
            has no bridge.

    Raises:
        InvalidSettings: a value can't be used. The message names the fields and never repeats the values.
    """

    model_config = _FROZEN

    hosts: str = "127.0.0.1:2181"
    namespace: str = "/"
    base_path: str | None = None
    zone: str | None = None
    session_timeout: Annotated[float, Field(ge=0.5, le=3600)] = 10.0  # seconds
    connect_timeout: Annotated[float, Field(gt=0, le=60)] = 1.0  # seconds
    operation_timeout: Annotated[float, Field(gt=0, le=600)] = 5.0  # seconds
    close_timeout: Annotated[float, Field(gt=0, le=3600)] = 6.0  # seconds
    tls: Tls | None = None
    auth: Auth | None = None
    acl: Acl = "open"
    parent_acl: Acl = "open"
    guard: Guard = Guard()
    source_timeout: Annotated[float, Field(gt=0, le=86_400)] = 60.0  # seconds

    if not TYPE_CHECKING:

        def __init__(self, **values: Any) -> None:
            super().__init__(**_merged(self._environment(), values))

    @property
    def servers(self) -> list[tuple[str, int]]:
        """Host and port of each server in `hosts`."""
        return [split_host(part) for part in self.hosts.split(",")]

    @classmethod
    def _environment(cls) -> dict[str, Any]:
        return _read_environment(cls)

    @field_validator("hosts", mode="before")
    @classmethod
    def _join_hosts(cls, value: Any) -> Any:
        parts = isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value)
        return ",".join(value) if parts else value

    @field_validator("hosts")
    @classmethod
    def _check_hosts(cls, value: str) -> str:
        hosts = [part.strip() for part in value.split(",")]
        for host in hosts:
            split_host(host)
        return ",".join(hosts)

    @field_validator("namespace")
    @classmethod
    def _check_namespace(cls, value: str) -> str:
        return _path(value)

    @field_validator("base_path")
    @classmethod
    def _check_base_path(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.startswith("/"):
            raise ValueError("must begin with '/': it is a path from the root, not one below the namespace")
        return _path(value)

    @field_validator("zone")
    @classmethod
    def _check_zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                check_text(value, "zone")
            except InvalidInstance:
                raise ValueError("must not be empty or contain control characters") from None
        return value

    @model_validator(mode="after")
    def _check_paths(self) -> Self:
        if self.base_path is not None:
            services, elections = f"{self.base_path.rstrip('/')}/", f"{self.namespace.rstrip('/')}/elections/"
            if elections.startswith(services) or services.startswith(elections):
                raise ValueError(
                    "base_path must be apart from the namespace's 'elections', which would be taken for a service"
                )
        return self

    @model_validator(mode="after")
    def _check_acl(self) -> Self:
        if (
            self.auth is None
            and "creator" in (self.acl, self.parent_acl)
            and (self.tls is None or self.tls.cert_file is None)
        ):
            raise ValueError("an ACL of 'creator' needs credentials: set auth, or tls with cert_file")
        if self.acl == () or self.parent_acl == ():
            raise ValueError("an ACL must have at least one entry")
        return self


def _path(value: str) -> str:
    """Return a path in its usual form: one slash in front of each part, none at the end."""
    segments = [part for part in value.split("/") if part]
    try:
        for segment in segments:
            check_name(segment, "a segment")
    except InvalidName:
        raise ValueError(
            "its parts must be names of up to 255 bytes, no control characters, and not '.', '..' or 'zookeeper'"
        ) from None
    return "/" + "/".join(segments)


def _read_environment(model: type[BaseModel]) -> dict[str, Any]:
    """Return what the variables say of the fields, with dicts for the fields that have fields."""
    if not any(name.upper().startswith(_PREFIX) for name in os.environ):
        return {}
    # It takes half as long to load as everything else that a client needs, and looking for each field takes a while.
    from pydantic_settings import EnvSettingsSource, SettingsError  # noqa: PLC0415

    source: Any = EnvSettingsSource  # typed for models of its own package, but it takes any
    try:
        found: dict[str, Any] = source(model, env_prefix=_PREFIX, env_nested_delimiter="__", env_ignore_empty=True)()
    except SettingsError as error:  # a variable that should hold JSON and does not; the message names the field alone
        raise InvalidSettings(f"{_REFUSED}{error}") from None
    return found


def _merged(found: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Merge both. What was given wins, field by field also within fields that have fields."""
    parts = {
        name: _merged(found[name], value)
        for name, value in given.items()
        if isinstance(value, dict) and isinstance(found.get(name), dict)
    }
    return found | given | parts


def split_host(text: str) -> tuple[str, int]:
    """Return host and port of `host`, `host:port` or `[v6]:port`; the port is 2181 if none is given.

    Raises:
        ValueError: it has no host, a path (use `namespace`), or a port out of range.
    """
    if "/" in text:
        raise ValueError("must not contain a scheme or a path; give the path as namespace")
    match = _HOST.fullmatch(text)
    if match is None:
        raise ValueError("must be 'host:port', separated by commas; an IPv6 address is written [address]:port")
    host, port = match["address"] or match["name"], int(match["port"] or 2181)
    try:
        check_host(host)
        host.encode("idna")  # as the resolver does: refuses parts that are empty or longer than 63 characters
    except (InvalidInstance, UnicodeError):
        raise ValueError("a host must be a name or an address") from None
    if not 1 <= port <= 65535:
        raise ValueError("the port of a host must be a number from 1 to 65535")
    return host, port


def load_settings(base: Settings | None = None, **given: Any) -> Settings:
    """Return settings from arguments, `base`, the environment and defaults; the first that has a value wins.

    Raises:
        InvalidSettings: a value can't be used. The message names the fields and never repeats the values.
    """
    if base is not None and not isinstance(base, Settings):
        raise InvalidSettings(
            f"settings must be a Settings object, not {type(base).__name__}: Settings(hosts=…, tls=…)"
        )
    values = {} if base is None else {name: getattr(base, name) for name in type(base).model_fields}
    values.update({name: value for name, value in given.items() if value is not None})
    try:
        return (Settings if base is None else type(base))(**values)
    except InvalidSettings as error:
        names = [f"ZKDISCOVERY_{name.upper()}" for name in Settings.model_fields if name not in values]
        found = sorted(key for key in os.environ if any(key == n or key.startswith(f"{n}__") for n in names))
        source = (
            f"of the environment, {', '.join(found)} took part" if found else "nothing of the environment took part"
        )
        raise InvalidSettings(f"{error} ({source})") from None


class _Given(Settings):
    @classmethod
    def _environment(cls) -> dict[str, Any]:
        return {}


def settings_without_environment(**given: Any) -> Settings:
    """Return settings from arguments and defaults alone. For tests: the environment may hold those of production.

    Raises:
        InvalidSettings: a value can't be used.
    """
    return _Given(**given)
