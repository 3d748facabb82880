"""The TLS context from the settings. Certificates are always verified, and host names unless that is switched off."""

from __future__ import annotations

import logging
import ssl
import threading
from typing import TYPE_CHECKING

from zkdiscovery.errors import InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

    from zkdiscovery.settings import Tls

log = logging.getLogger("zkdiscovery.session")


class Certificates:
    """The TLS context for the next connection, made anew when a file has changed. Any thread may use it.

    Raises:
        InvalidSettings: a file can't be used now. The message names the field, never its content.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._lock = threading.Lock()
        self._loaded = self._seen()  # before the files are read, so that a change meanwhile is noticed
        self._refused: object = None  # the versions of renewed files that could not be used
        self._context = tls_context(tls)

    def context(self) -> ssl.SSLContext:
        """The context of the present files, or the last context that could be made if they can't be used."""
        with self._lock:
            seen = self._seen()
            if seen == self._loaded:
                return self._context
            try:
                self._context = tls_context(self._tls)
            except InvalidSettings as error:
                if seen != self._refused:
                    log.warning("renewed TLS files can't be used, and the ones before stay in use: %s", error)
                self._refused = seen
            else:
                log.info("the TLS files have changed; new connections use them")
                self._loaded, self._refused = seen, None
            return self._context

    def _seen(self) -> list[object]:
        """Return what differs between one version of the files and another."""
        return [_version(path) for path in (self._tls.ca_file, self._tls.cert_file, self._tls.key_file) if path]


def _version(path: Path) -> object:
    try:
        stat = path.stat()
    except OSError as error:
        return str(error)
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Make a client context.

    Raises:
        InvalidSettings: a file can't be used. The message names the field, never its content.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.check_hostname = tls.verify_hostname
    try:
        if tls.ca_file is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = tls.verify_hostname
            context.load_verify_locations(cafile=str(tls.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise InvalidSettings(f"tls.ca_file holds no usable certificates: {error}") from None
    if tls.cert_file is not None:
        secret, key = tls.key_password, str(tls.key_file) if tls.key_file else None

        def password() -> str:  # no variable holds it, because tools that report errors often show variables
            # An empty password instead of none, because OpenSSL would ask for one on the terminal and block.
            return secret.get_secret_value() if secret else ""

        try:
            context.load_cert_chain(str(tls.cert_file), key, password)
        except (OSError, ssl.SSLError) as error:
            raise InvalidSettings(f"tls.cert_file, key_file or key_password can't be used: {error}") from None
        except ValueError:  # its message may repeat some of the password
            raise InvalidSettings("tls.key_password is longer than OpenSSL takes, or is not UTF-8") from None
    return context
