"""The options of connections, from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from zkdiscovery.errors import InvalidSettings

if TYPE_CHECKING:
    import ssl

    from zkdiscovery.session.transport.tls import Certificates
    from zkdiscovery.settings import Settings


class LinkOptions(NamedTuple):
    """The options of connections; times in seconds."""

    hosts: str
    session_timeout: float
    connect_timeout: float
    certificates: Certificates | None  # None: plain TCP
    auth_data: list[tuple[str, str]]
    sasl: dict[str, str] | None

    @property
    def context(self) -> ssl.SSLContext | None:
        """The TLS context for the next connection; None for plain TCP."""
        return None if self.certificates is None else self.certificates.context()

    @property
    def has_credentials(self) -> bool:
        """True if the client sends credentials."""
        return bool(self.auth_data or self.sasl)

    def __repr__(self) -> str:
        return f"LinkOptions(hosts={self.hosts!r})"


class _Secret(str):
    """Text that its `repr` hides, because tools that report errors show the variables of kazoo's functions, too."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'**********'"


def link_options(settings: Settings) -> LinkOptions:
    """Say how to connect. Runs on the thread that makes the session, so it may import what few clients need.

    Raises:
        InvalidSettings: the TLS files can't be used.
        InvalidSettings: the settings ask for SASL, which is not installed.
    """
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
    certificates = None
    if settings.tls is not None:
        from zkdiscovery.session.transport.tls import Certificates  # noqa: PLC0415 - takes 1 ms, and few use TLS

        certificates = Certificates(settings.tls)
    return LinkOptions(
        hosts=settings.hosts,
        session_timeout=settings.session_timeout,
        connect_timeout=settings.connect_timeout,
        certificates=certificates,
        auth_data=auth_data,
        sasl=sasl,
    )
