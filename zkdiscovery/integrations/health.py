"""The answers of `/healthz` and `/readyz`.

`/healthz` says that the process answers. `/readyz` says that its callers may come: each registration of the process has
been in ZooKeeper once, STARTING included, and none is leaving. So an outage of ZooKeeper makes no running process
unready. A process that starts during an outage is not ready until it is registered, unless
`require_registration=False`. While an instance stays STARTING because nothing listens at its port, the text says so.

Anybody may ask. So no text names the servers of ZooKeeper, a path or another owner: the log does, once.

A registration counts for the process whose integration made it, and for the processes that are forked from it: the
workers of gunicorn answer for their arbiter. They share a byte of memory for each registration.

Threads: any thread asks; the client's dispatcher notes the changes.
"""

from __future__ import annotations

import logging
import mmap
import os
from http import HTTPStatus
from typing import NamedTuple

from zkdiscovery.errors import RegistrationConflict
from zkdiscovery.model import Status
from zkdiscovery.registration import Registration, RegistrationState

log = logging.getLogger("zkdiscovery.integrations")

HEALTHZ = "/healthz"
READYZ = "/readyz"

LEAVE_LIMIT = 2.0  # seconds that ZooKeeper may take for a deletion; closing the client may follow

_NEVER, _ONCE, _LEAVING = range(3)
_LEAVES = {RegistrationState.DRAINING, RegistrationState.CLOSED}


class Answer(NamedTuple):
    """An answer to a probe.

    Attributes:
        status: of HTTP.
        body: a line of text.
    """

    status: HTTPStatus
    body: bytes

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers of HTTP."""
        return [
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", str(len(self.body))),
            ("cache-control", "no-store"),
        ]


class Watched:
    """A registration, as `/readyz` sees it from now on until `leave()`.

    Attributes:
        registration: the registration.
    """

    def __init__(self, service: str, registration: Registration) -> None:
        self.registration = registration
        self._service = service
        self._pid = os.getpid()
        self._reached = mmap.mmap(-1, 1)  # shared with forked processes
        self._logged: set[str] = set()  # reasons
        self._subscription = registration.on_change(self._note)
        _watched.append(self)
        self._note(registration)

    def leave(self) -> None:
        """Take the instance out at once, because its port is closed, and let `/readyz` answer without it."""
        try:
            self.registration.drain(0.0, LEAVE_LIMIT)
        finally:
            self._subscription.close()
            _watched.remove(self)

    def _note(self, registration: Registration) -> None:
        state = registration.state
        if state in _LEAVES:
            self._reached[0] = _LEAVING
        elif state is RegistrationState.REGISTERED and self._reached[0] == _NEVER:
            self._reached[0] = _ONCE

    def objection(self, *, require_registration: bool) -> str:
        """Return why the process is not ready; "" if this registration is no reason."""
        ours = os.getpid() == self._pid
        if ours:
            self._note(self.registration)
        reached = self._reached[0]
        if reached == _LEAVING:
            return f"{self._service} is leaving"
        if reached == _ONCE or not require_registration:
            return ""
        return f"{self._service} has not been registered yet{f': {self._tell()}' if ours else ''}"

    def _tell(self) -> str:
        """Return in few words why it has not been registered, and log all of it, once for each reason."""
        error, state, why = self.registration.error, self.registration.state, self.registration.why
        if state is RegistrationState.WAITING or isinstance(error, RegistrationConflict):
            reason = "another owner has the id"
        elif error is not None:
            reason = "ZooKeeper refuses it"
        else:
            reason = "ZooKeeper has not confirmed it"
        if reason not in self._logged:
            self._logged.add(reason)
            log.info("not ready, because %s has not been registered yet: %s", self._service, why)
        return reason

    def remark(self) -> str:
        """Return why nobody calls the instance of a process that is ready; "" if they do, or that is not known here."""
        registration = self.registration
        if os.getpid() != self._pid or registration.instance.status is not Status.STARTING:
            return ""
        if registration.state is not RegistrationState.REGISTERED or registration.error is not None:
            return ""
        why = registration.why
        if why and registration.health:
            why = "its checks have not passed yet"  # the log and `registration.health` have what they say
        return f"{self._service} is STARTING: {why}" if why else ""


_watched: list[Watched] = []


def answer_to(path: str, *, require_registration: bool) -> Answer | None:
    """Return the answer to a request for `path`; None if the application answers."""
    if path == HEALTHZ:
        return Answer(HTTPStatus.OK, b"alive\n")
    if path != READYZ:
        return None
    watched = list(_watched)
    if require_registration and not watched:
        objections = ["no integration of this process, or of the one that it is forked from, has registered it yet"]
    else:
        found = (each.objection(require_registration=require_registration) for each in watched)
        objections = [objection for objection in found if objection]
    if objections:
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, f"not ready: {'; '.join(objections)}\n".encode())
    remarks = [remark for each in watched if (remark := each.remark())]
    return Answer(HTTPStatus.OK, "; ".join(("ready", *remarks)).encode() + b"\n")
