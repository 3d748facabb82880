"""Requests to a Eureka, by one of its servers at a time; the next one takes the place of one that does not answer.

Threads: all methods may be called on any thread.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from zkdiscovery.bridges.http import Answer, HttpApi
from zkdiscovery.bridges.source import SourceRefused, SourceUnavailable
from zkdiscovery.errors import InvalidSettings

LIMIT = 8.0  # seconds for one answer of one server
ALL_LIMIT = 13.0  # seconds for the servers together: a list takes two calls, and ends within CALL_LIMIT
_DENIED = (401, 403)
_GONE = 404


class EurekaApi:
    """One Eureka.

    Args:
        urls: of its servers, with commas between them, as clients of Eureka take them: `http://host:8761/eureka`. A
            user and a password in a URL are sent to that server, and shown nowhere.

    Attributes:
        where: the URLs without passwords, in the order of the alphabet.

    Raises:
        InvalidSettings: that is no URL.
    """

    def __init__(self, urls: str) -> None:
        servers = {where: headers for text in urls.split(",") if text.strip() for where, headers in [_parts(text)]}
        if not servers:
            raise InvalidSettings("expected the URL of a Eureka server, such as http://eureka.example:8761/eureka")
        self._servers = [HttpApi(where, headers=headers) for where, headers in servers.items()]
        self.where = ",".join(sorted(servers))

    def apps(self) -> Answer:
        """Return all instances.

        Raises:
            SourceUnavailable: no server answers in time, or none with a list.
            SourceRefused: a right is missing.
        """
        return self._expect(self.call("GET", "/apps"), "list its applications")

    def delta(self) -> Answer | None:
        """Return what has changed in the last minutes; None if the servers keep no such list. Raises as `apps`."""
        answer = self.call("GET", "/apps/delta")
        return None if answer.status in (403, _GONE) else self._expect(answer, "list its changes")

    def register(self, app: str, instance: Mapping[str, Any]) -> str:
        """Register an instance, anew if it is there. Return why the server does not take it; empty: it does.

        Raises as `apps`.
        """
        answer = self.call("POST", f"/apps/{quote(app, safe='')}", {"instance": instance})
        if answer.status == 400:
            return f"{answer.where} refuses it: {answer.text}"
        self._expect(answer, "register an instance")
        return ""

    def renew(self, app: str, instance_id: str) -> bool:
        """Renew a lease. Return False if the instance is not registered. Raises as `apps`."""
        return self._on_one("PUT", app, instance_id, "renew a lease")

    def deregister(self, app: str, instance_id: str) -> bool:
        """Deregister an instance. Return False if it was not registered. Raises as `apps`."""
        return self._on_one("DELETE", app, instance_id, "deregister an instance")

    def call(self, method: str, path: str, body: object = None) -> Answer:
        """Return the answer of the first server that gives one. Raises as `apps`."""
        deadline = time.monotonic() + ALL_LIMIT
        failure = SourceUnavailable(f"{self.where} was not asked")
        for server in list(self._servers):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                answer = server.call(method, path, body=body, limit=min(LIMIT, left))
                if answer.status < 500:
                    return answer
                failure = SourceUnavailable(f"{server.where} answers {answer.status} {answer.text}")
            except SourceUnavailable as error:
                failure = error
            self._put_last(server)
        raise failure

    def close(self) -> None:
        """End calls under way, and refuse later ones."""
        for server in list(self._servers):
            server.close()

    def _put_last(self, server: HttpApi) -> None:
        """Prefer the other servers from now on."""
        if self._servers[0] is server:
            self._servers = [*self._servers[1:], server]

    def _on_one(self, method: str, app: str, instance_id: str, what: str) -> bool:
        answer = self.call(method, f"/apps/{quote(app, safe='')}/{quote(instance_id, safe='')}")
        if answer.status == _GONE:
            return False
        self._expect(answer, what)
        return True

    def _expect(self, answer: Answer, what: str) -> Answer:
        if answer.status in _DENIED:
            raise SourceRefused(
                f"{answer.where} forbids to {what}: {answer.status}. Give a user and a password in the URL, such as"
                " http://user:password@eureka.example:8761/eureka"
            )
        if answer.status not in (200, 204):
            raise SourceUnavailable(f"{answer.where} can't {what}: {answer.status} {answer.text}")
        return answer


def _parts(text: str) -> tuple[str, dict[str, str]]:
    """Return the URL of a server without the password, and the headers that hold it."""
    try:
        parts = urlsplit(text.strip())
        _ = parts.port
    except ValueError:
        raise InvalidSettings("one of the URLs of Eureka is no URL") from None  # it may hold a password
    path = parts.path.rstrip("/") or "/eureka"
    where = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, parts.query, parts.fragment))
    if parts.username is None:
        return where, {}
    secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return where, {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}
