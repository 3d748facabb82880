"""The TLS context from settings. Certificates are always verified, host names unless switched off."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from zkdiscovery.errors import InvalidSettings

if TYPE_CHECKING:
    from zkdiscovery.settings import Tls


def tls_context(tls: Tls) -> ssl.SSLContext:
    """A client context.

    Raises:
        InvalidSettings: a file can't be used; names the field, never its content.
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

        def password() -> str:  # no variable holds it: those that tell of errors often show variables, too
            # An empty password instead of none: OpenSSL would ask for one on the terminal and block.
            return secret.get_secret_value() if secret else ""

        try:
            context.load_cert_chain(str(tls.cert_file), key, password)
        except (OSError, ssl.SSLError) as error:
            raise InvalidSettings(f"tls.cert_file, key_file or key_password can't be used: {error}") from None
        except ValueError:  # which may repeat some of it
            raise InvalidSettings("tls.key_password is longer than OpenSSL takes, or is not UTF-8") from None
    return context
