"""Requests to Consul, by its agent or server, with the environment that Consul's own client reads.

Threads: all methods may be called on any thread.
"""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zkdiscovery.bridges.http import ANSWER_LIMIT, Answer, HttpApi
from zkdiscovery.bridges.source import SourceRefused, SourceUnavailable
from zkdiscovery.errors import InvalidSettings

DEFAULT = "127.0.0.1:8500"
READ_RULE = 'node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }'
WRITE_RULE = 'node_prefix "zkdiscovery-" { policy = "write" } service_prefix "" { policy = "write" }'
_DENIED = (401, 403)
_CONFLICT = 409
_YES, _NO = frozenset({"1", "t", "true"}), frozenset({"0", "f", "false"})


class ConsulApi:
    """One Consul.

    Args:
        url: `http://host:port`, `https://host:port` or `host:port`; None: that of CONSUL_HTTP_ADDR.
        environment: the variables; None: those of this process.

    Attributes:
        where: its URL.

    Raises:
        InvalidSettings: the URL or a variable can't be used.
    """

    def __init__(self, url: str | None = None, environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        try:
            self.where = _url(url or given.get("CONSUL_HTTP_ADDR") or DEFAULT, given)
            context = _context(given) if self.where.startswith("https:") else None
            headers = _credentials(given)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise InvalidSettings(f"the CONSUL_… variables can't be used: {error}") from error
        self._http = HttpApi(
            self.where, headers=headers, context=context, server_name=given.get("CONSUL_TLS_SERVER_NAME") or None
        )

    def get(self, path: str, query: Mapping[str, object] | None = None, limit: float = ANSWER_LIMIT) -> Answer:
        """Return the answer to a question.

        Raises:
            SourceUnavailable: no answer came in time, or Consul has no leader.
            SourceRefused: a right is missing.
        """
        answer = self._http.call("GET", path, query=query, limit=limit)
        self._check(answer, f"read {path}", READ_RULE)
        if answer.headers.get("X-Consul-KnownLeader", "true").lower() == "false":
            raise SourceUnavailable(f"{self.where} has no leader")
        return answer

    def transact(self, operations: list[dict[str, Any]], limit: float = ANSWER_LIMIT) -> dict[int, str]:
        """Do all of these operations, or none. Return the reason by number for those that are refused.

        Raises as `get`.
        """
        answer = self._http.call("PUT", "/v1/txn", body=operations, limit=limit)
        if answer.status == _CONFLICT:
            return self._refusals(answer, len(operations))
        self._check(answer, "write the catalogue", WRITE_RULE)
        return {}

    def _refusals(self, answer: Answer, count: int) -> dict[int, str]:
        try:
            found = {int(error["OpIndex"]): str(error["What"]) for error in answer.json()["Errors"]}
        except (LookupError, TypeError, ValueError):
            found = {}
        if not found or not found.keys() <= set(range(count)):
            raise SourceUnavailable(f"{self.where} refuses a transaction and does not say why: {answer.text}")
        return found

    @property
    def checks_rights(self) -> bool:
        """True if this Consul has ACLs. It leaves out of its lists what a token must not read, and says nothing.

        Raises:
            SourceUnavailable: no answer came in time.
        """
        answer = self._http.call("GET", "/v1/acl/token/self")
        return not (answer.status in _DENIED and "disabled" in answer.text)

    def close(self) -> None:
        """End calls under way, and refuse later ones."""
        self._http.close()

    def _check(self, answer: Answer, what: str, rule: str) -> None:
        if answer.status in _DENIED:
            raise SourceRefused(self.missing(what, rule, answer.text))
        if answer.status != 200:
            raise SourceUnavailable(f"{self.where} can't {what}: {answer.status} {answer.text}")

    def missing(self, what: str, rule: str, why: str) -> str:
        """Return what to say where a right is missing."""
        return f"{self.where} forbids to {what}: {why}. Give CONSUL_HTTP_TOKEN a token with {rule}"


def _url(text: str, given: Mapping[str, str]) -> str:
    if "://" in text:
        return text.rstrip("/")
    return f"{'https' if _flag(given, 'CONSUL_HTTP_SSL', default=False) else 'http'}://{text}"


def _credentials(given: Mapping[str, str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    token = given.get("CONSUL_HTTP_TOKEN") or ""
    if not token and (path := given.get("CONSUL_HTTP_TOKEN_FILE")):
        token = Path(path).read_text().strip()
    if token:
        if not (token.isascii() and token.isprintable()):
            raise ValueError("the token must be printable ASCII")
        headers["X-Consul-Token"] = token
    if auth := given.get("CONSUL_HTTP_AUTH"):
        headers["Authorization"] = f"Basic {base64.b64encode(auth.encode()).decode()}"
    return headers


def _context(given: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=given.get("CONSUL_CACERT") or None, capath=given.get("CONSUL_CAPATH") or None
    )
    if not _flag(given, "CONSUL_HTTP_SSL_VERIFY", default=True):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate := given.get("CONSUL_CLIENT_CERT"):
        context.load_cert_chain(certificate, given.get("CONSUL_CLIENT_KEY") or None)
    return context


def _flag(given: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = (given.get(name) or "").lower()
    if not value:
        return default
    if value in _YES or value in _NO:
        return value in _YES
    raise ValueError(f"{name} must be true or false: got {value!r}")
