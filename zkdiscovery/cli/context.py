"""The context of every command: the global options, a client, and messages on stderr."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

import zkdiscovery
from zkdiscovery.cli.output import harmless
from zkdiscovery.errors import NodeMissing, NotConnected

if TYPE_CHECKING:
    from zkdiscovery import Client
    from zkdiscovery.znodes import Paths

# Loggers whose errors are conflicts, which end the command: it reports them when it ends.
_FINAL_ERRORS = ("zkdiscovery.registration", "zkdiscovery.znodes")
CLOSE_TIMEOUT = 1.0  # seconds to end the session after a command; where that fails it times out at the server


def paths_of(client: Client) -> Paths:
    """Return the paths of a client."""
    from zkdiscovery.znodes import Paths  # noqa: PLC0415 - loaded by the client

    return Paths(client.settings.namespace, client.settings.base_path)


def no_instance(client: Client, service: str) -> NodeMissing:
    """The error for a service that has none."""
    path = paths_of(client).service(service)
    return NodeMissing(
        f"no instance of {service!r} is registered in {path}; `zkdiscovery services` lists what is", path=path
    )


class Output(StrEnum):
    """The format of stdout."""

    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True)
class Cli:
    """The global options, as given before or after the name of the command.

    Attributes:
        hosts, namespace, base_path: None: from the environment.
        timeout: seconds for a connection and for each answer.
        output: what is written to stdout.
        debug: show everything on stderr, tracebacks included.
    """

    hosts: str | None = None
    namespace: str | None = None
    base_path: str | None = None
    timeout: float = 5.0
    output: Output = Output.TABLE
    debug: bool = False

    @property
    def json(self) -> bool:
        """True if stdout gets JSON."""
        return self.output is Output.JSON

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client for the time of the block. Not connected yet.

        Raises:
            InvalidSettings: options or environment can't be used.
        """
        client = zkdiscovery.Client(self.hosts, namespace=self.namespace, base_path=self.base_path)
        try:
            yield client.start()
        finally:
            client.close(CLOSE_TIMEOUT)

    @contextmanager
    def connected(self) -> Iterator[Client]:
        """A connected client for the time of the block: for commands that look once and end.

        Raises:
            InvalidSettings: as `client`.
            NotConnected: as `Client.wait_connected`.
            AuthenticationFailed: as `Client.wait_connected`.
            UnsupportedServer: as `Client.wait_connected`.
        """
        with self.client() as client:
            with self.working("connecting to ZooKeeper"):
                client.wait_connected(self.timeout)
            yield client

    def await_connection(self, client: Client) -> None:
        """Wait for a first connection, but go on without one: for commands that run until they are ended.

        Raises:
            AuthenticationFailed: the credentials are refused.
            UnsupportedServer: the server is too old.
        """
        with self.working("connecting to ZooKeeper"):
            try:
                client.wait_connected(self.timeout)
            except NotConnected as error:
                self.warn(f"{error}; trying on")
        self.follow_connection()

    # -- stderr --

    def say(self, message: str, style: str = "") -> None:
        """Print a line for people."""
        text = "\n".join(harmless(line) for line in message.split("\n"))
        _stderr().print(Text(text, style=style), soft_wrap=True)

    def warn(self, message: str) -> None:
        """Print a warning."""
        self.say(f"warning: {message}", "yellow")

    def fail(self, message: str) -> None:
        """Print the error that ends the command."""
        self.say(f"error: {message}", "red")

    def working(self, what: str) -> AbstractContextManager[object]:
        """Show a spinner while the block runs, on a terminal only. The block must not write to stdout."""
        console = _stderr()
        return console.status(Text(f"{what} …")) if console.is_terminal else nullcontext()

    # -- the SDK's log --

    @contextmanager
    def log_on_stderr(self) -> Iterator[None]:
        """Show warnings of the SDK on stderr; with `debug` everything.

        Messages about the connection are shown with `follow_connection` only: other commands end with an error that
        says the same.
        """
        root, session = logging.getLogger("zkdiscovery"), logging.getLogger("zkdiscovery.session")
        handler = _StderrHandler(self)
        before = root.level, session.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG if self.debug else logging.WARNING)
        session.setLevel(logging.NOTSET if self.debug else logging.CRITICAL)
        try:
            yield
        finally:
            root.removeHandler(handler)
            root.setLevel(before[0])
            session.setLevel(before[1])

    def follow_connection(self) -> None:
        """Show when the connection is lost and when it is back."""
        if not self.debug:
            logging.getLogger("zkdiscovery.session").setLevel(logging.INFO)


class _StderrHandler(logging.Handler):
    """Shows log records as lines on stderr."""

    def __init__(self, cli: Cli) -> None:
        super().__init__()
        self._cli = cli

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._cli.debug:
                self._cli.say(f"{record.levelname.lower()}: {record.name}: {self.format(record)}", "dim")
            elif record.levelno < logging.WARNING:
                self._cli.say(record.getMessage())
            elif record.levelno < logging.ERROR or record.name not in _FINAL_ERRORS:
                self._cli.warn(record.getMessage())
        except Exception:  # noqa: BLE001 - as every handler of logging
            self.handleError(record)


class _Stderr(Console):
    """stderr, which may have lost its reader: no command ends because nobody reads its messages."""

    def on_broken_pipe(self) -> None:
        """Drop what is said from now on. The interpreter flushes stderr at its end, and must not fail."""
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stderr.fileno())
        os.close(nothing)


def _stderr() -> Console:
    return _Stderr(stderr=True, highlight=False, markup=False, emoji=False)
