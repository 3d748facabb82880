"""From settings to what the wire needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from zkdiscovery.errors import InvalidSettings
from zkdiscovery.session.requests import AccessEntry

if TYPE_CHECKING:
    from zkdiscovery.session.tls import Certificates
    from zkdiscovery.settings import Acl, Settings

_PERMISSIONS = {"r": 1, "w": 2, "c": 4, "d": 8, "a": 16}


class LinkOptions(NamedTuple):
    """How to connect; times in seconds."""

    hosts: str
    session_timeout: float
    connect_timeout: float
    certificates: Certificates | None  # None: plain TCP
    auth_data: list[tuple[str, str]]
    sasl: dict[str, str] | None

    def __repr__(self) -> str:
        return f"LinkOptions(hosts={self.hosts!r})"


class _Secret(str):
    """Text that does not show in a `repr`: tools that report errors show the variables of kazoo's functions, too."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'**********'"


def link_options(settings: Settings) -> LinkOptions:
    """How to connect.

    Raises:
        InvalidSettings: the TLS files can't be used, or SASL is asked for and not installed.
    """
    from zkdiscovery.session.tls import Certificates  # noqa: PLC0415 - most clients need no TLS

    auth = settings.auth
    sasl: dict[str, str] | None = None
    auth_data: list[tuple[str, str]] = []
    if auth is not None and auth.scheme == "sasl":
        try:
            import puresasl  # noqa: F401, PLC0415 - an extra
        except ImportError:
            raise InvalidSettings("auth.scheme 'sasl' needs the extra: pip install 'zkdiscovery[sasl]'") from None
        password = _Secret(auth.password.get_secret_value())
        sasl = {"mechanism": "DIGEST-MD5", "username": auth.username, "password": password}
    elif auth is not None:
        auth_data.append(("digest", _Secret(f"{auth.username}:{auth.password.get_secret_value()}")))
    return LinkOptions(
        hosts=settings.hosts,
        session_timeout=settings.session_timeout,
        connect_timeout=settings.connect_timeout,
        certificates=Certificates(settings.tls) if settings.tls is not None else None,
        auth_data=auth_data,
        sasl=sasl,
    )


def acl_entries(acl: Acl) -> tuple[AccessEntry, ...]:
    """An access control list as it goes over the wire."""
    if acl == "open":
        return (AccessEntry(31, "world", "anyone"),)
    if acl == "creator":
        return (AccessEntry(31, "auth", ""),)
    return tuple(AccessEntry(sum(_PERMISSIONS[letter] for letter in set(e.permissions)), e.scheme, e.id) for e in acl)
