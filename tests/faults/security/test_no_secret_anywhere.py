"""Marked secrets through everything that can happen to a client; the marks are looked for wherever text comes out."""

from __future__ import annotations

import base64
import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.faults.security.conftest import MakeSecure
from tests.faults.security.helpers import PASSWORDS, Authority, Pair, SecureServer, settings, user
from tests.support import LIMIT, core_of, wait_epoch
from zkdiscovery import AccessDenied, AuthenticationFailed, Client, InvalidSettings, NotConnected, ZkDiscoveryError
from zkdiscovery.cli.app import app
from zkdiscovery.session import Session
from zkdiscovery.settings import AclEntry, Auth, Tls
from zkdiscovery.testing import FaultProxy, expire_session

KEY_PASSWORD = "password-of-the-key"
WRONG = "wrong-secret"
DIGEST = "hash-of-a-password"
MARKS = [*PASSWORDS.values(), KEY_PASSWORD, WRONG, DIGEST]


class Ears(logging.Handler):
    """Hears all loggers at all levels, and keeps everything that a record can tell."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts += [record.getMessage(), repr(record.args), self.format(record)]
        if record.exc_info and record.exc_info[1] is not None:
            self.texts += told(record.exc_info[1])


@pytest.fixture
def ears() -> Iterator[Ears]:
    handler, root = Ears(), logging.getLogger()
    named = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    before = [(logger, logger.level) for logger in (root, *named)]
    for logger, _ in before:
        logger.setLevel(1)  # kazoo's BLATHER is 5
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    for logger, level in before:
        logger.setLevel(level)


def told(error: BaseException | None) -> list[str]:
    """All that an error tells: words, chain, traceback, pickle, and the variables of every function but the tests'."""
    texts: list[str] = []
    seen: set[int] = set()
    pending = [error]
    while pending:
        error = pending.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        texts += [str(error), repr(error), *traceback.format_exception(error), *map(repr, vars(error).values())]
        texts += list(variables(error.__traceback__))
        if isinstance(error, ZkDiscoveryError):
            texts.append(repr(pickle.dumps(error)))
        pending += [error.__cause__, error.__context__]
    return texts


def variables(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        frame: FrameType = trace.tb_frame
        if any(room in frame.f_code.co_filename for room in ("/zkdiscovery/", "/kazoo/", "/puresasl/")):
            for name, value in frame.f_locals.items():
                with suppress(AttributeError):  # of an object that was not finished
                    yield f"{frame.f_code.co_qualname} {name} = {value!r}"
        trace = trace.tb_next


def clean(texts: list[str], *more: str) -> None:
    """None of the marks is in any of the texts."""
    assert texts
    for mark in (*MARKS, *more):
        assert [text[:2000] for text in texts if mark in text] == []


def spellings(password: bytes) -> list[str]:
    """How bytes may appear in a text."""
    return [repr(password)[2:-1], password.hex(), base64.b64encode(password).decode()]


def appearances(client: Client, session: Session) -> list[str]:
    """Everything of a client that somebody may print."""
    parts: list[Any] = [
        client, session, session.settings, session.settings.auth, session.settings.tls, session.settings.acl,
        session.link, session.options, session.options.auth_data, session.options.sasl, session.credentials,
        session.settings.model_dump(), session.failure,
    ]  # fmt: skip
    texts = [shown for part in parts for shown in (repr(part), str(part), f"{part}")]
    texts.append(session.settings.model_dump_json())
    with pytest.raises(TypeError) as raised:
        pickle.dumps(client)
    return [*texts, *told(raised.value)]


@pytest.fixture(scope="module")
def locked(authority: Authority) -> Pair:
    return authority.sign("shop", password=KEY_PASSWORD)


def locked_tls(secure: SecureServer, locked: Pair, **more: Any) -> Tls:
    return secure.tls(**{"cert_file": locked.certificate, "key_file": locked.key, "key_password": KEY_PASSWORD, **more})


@pytest.mark.parametrize("scheme", ["sasl", "digest"])
def test_a_life_with_everything(
    make_secure: MakeSecure, secure: SecureServer, locked: Pair, ears: Ears, scheme: str, capfd: Any
) -> None:
    """Connect, cut, expiry, conflict of rights, failures of TLS and of credentials, close: no mark in any text."""
    texts: list[str] = []
    with FaultProxy(secure.tls_hosts.replace("localhost", "127.0.0.1")) as proxy:
        hosts = proxy.address.replace("127.0.0.1", "localhost")
        tls = locked_tls(secure, locked)
        given: dict[str, Any] = {"acl": "creator", "parent_acl": "creator", "session_timeout": 2.0, "tls": tls}
        client = make_secure(hosts, auth=user("alice", scheme), **given)
        registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
        view = client.discover("payments").wait_ready(LIMIT)
        session = core_of(client).session
        assert session.credentials is not None
        secret = session.credentials.password
        texts += appearances(client, session)
        proxy.drop()
        client.instances("payments", timeout=LIMIT)
        expire_session(session.session_id, secret, secure.server.hosts)
        wait_epoch(client, 2)
        texts += [repr(registration), repr(view), repr(registration.error), *appearances(client, session)]
        with client.election("report").campaign(LIMIT) as term:
            texts.append(repr(term))
        broken = 0

        def garble(chunk: bytes) -> bytes:
            nonlocal broken
            broken += 1
            return chunk[: len(chunk) // 2] if broken < 6 else chunk

        proxy.alter("server_to_client", garble)
        proxy.drop()
        with pytest.raises(ZkDiscoveryError) as raised:
            client.instances("payments", timeout=0.2)
        texts += told(raised.value)
        proxy.heal()
        client.wait_connected(LIMIT)
        assert session.credentials is not None
        sessions = [secret, session.credentials.password]
        stranger = make_secure(tls=locked_tls(secure, locked), auth=user("bob", scheme, WRONG))
        with pytest.raises((AuthenticationFailed, AccessDenied)) as raised:
            stranger.wait_connected(LIMIT)
            make_secure(auth=user("bob", scheme, WRONG)).instances("payments", timeout=LIMIT)
        texts += [*told(raised.value), *appearances(stranger, core_of(stranger).session)]
        unverified = make_secure(tls=locked_tls(secure, locked, ca_file=None), auth=user("alice", scheme))
        with pytest.raises(NotConnected) as raised:
            unverified.wait_connected(0.3)
        texts += [*told(raised.value), *appearances(unverified, core_of(unverified).session)]
        client.close()
        texts += appearances(client, session)
    out = capfd.readouterr()
    marks = [spelling for password in sessions for spelling in spellings(password)]
    clean([*texts, *ears.texts, out.out, out.err, Path("/proc/self/cmdline").read_text()], *marks)
    assert any("connected to" in text for text in ears.texts)
    assert any("kazoo" in text for text in ears.texts)


def test_settings_that_can_not_be_used(secure: SecureServer, locked: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with them, what was given is not repeated."""
    with_wrong_key = settings(tls=locked_tls(secure, locked, key_password=WRONG))
    long_key = settings(tls=locked_tls(secure, locked, key_password=WRONG * 200))
    wrong: list[Callable[[], Any]] = [
        lambda: Auth(username="a:b", password=WRONG),
        lambda: Auth(username="a", pasword=WRONG),
        lambda: Auth(username="a", password=[WRONG]),
        lambda: Auth(username="a", password=f"{WRONG}\udcff"),
        lambda: Tls(key_file="/nowhere", key_password=WRONG),
        lambda: AclEntry(permissions="x", scheme="digest", id=f"alice:{DIGEST}"),
        lambda: settings(auth=f"alice:{WRONG}"),
        lambda: settings(hosts=f"alice:{WRONG}@zk1"),
        lambda: Client("zk1", settings=with_wrong_key).start(),
        lambda: Client("zk1", settings=long_key).start(),
    ]
    for make in wrong:
        with pytest.raises(InvalidSettings) as raised:
            make()
        error = raised.value
        clean([str(error), repr(error), *traceback.format_exception(error), *variables_of_session(error)])
    for name, value in (("AUTH", f'{{"username":"a","pw":"{WRONG}"}}'), ("AUTH", WRONG), ("AUTH__PASWORD", WRONG)):
        with monkeypatch.context() as environment:
            environment.setenv(f"ZKDISCOVERY_{name}", value)
            with pytest.raises(InvalidSettings) as raised:
                Client("zk1").start()
        clean([str(raised.value), repr(raised.value), *traceback.format_exception(raised.value)])


def variables_of_session(error: BaseException) -> list[str]:
    """Settings were given by the caller, whose variables have them anyway; from there on nothing shows them."""
    return [text for text in variables(error.__traceback__) if "tls_context" in text or "link_options" in text]


# -- the command --


@pytest.fixture
def environment(secure: SecureServer, locked: Pair, place: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """All that the command is told of secrets, as variables."""
    for name in list(os.environ):
        if name.startswith("ZKDISCOVERY_"):
            monkeypatch.delenv(name)
    given = {
        "HOSTS": secure.tls_hosts,
        "NAMESPACE": place,
        "AUTH__SCHEME": "sasl",
        "AUTH__USERNAME": "alice",
        "AUTH__PASSWORD": PASSWORDS["alice"],
        "TLS__CA_FILE": str(secure.authority.certificate),
        "TLS__CERT_FILE": str(locked.certificate),
        "TLS__KEY_FILE": str(locked.key),
        "TLS__KEY_PASSWORD": KEY_PASSWORD,
        "ACL": json.dumps(
            [
                {"permissions": "cdrwa", "scheme": "auth", "id": ""},
                {"permissions": "r", "scheme": "digest", "id": f"bob:{DIGEST}"},
            ]
        ),
    }
    variables = {f"ZKDISCOVERY_{name}": value for name, value in given.items()}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


COMMANDS = [
    ["services"], ["instances", "payments"], ["elections"], ["doctor"], ["override", "payments", "a", "--weight", "2"],
    ["override", "payments", "a", "--clear"], ["instances", "missing"], ["remove", "payments", "missing"],
]  # fmt: skip


def test_no_command_tells(
    make_secure: MakeSecure, secure: SecureServer, locked: Pair, environment: dict[str, str], ears: Ears, capfd: Any
) -> None:
    """As a table, as JSON and with --debug, whether it succeeds or fails."""
    make_secure(tls=locked_tls(secure, locked), auth=user("alice"), acl="creator").register(
        "payments", 8080, id="a"
    ).wait_registered(LIMIT)
    for command in COMMANDS:
        for more in (["-o", "json"], ["--debug"]):
            result = CliRunner().invoke(app, [*command, *more])
            assert result.exit_code == (0 if "missing" not in command else 4), result.output
            clean([result.stdout, result.stderr, *told(result.exception)])
    out = capfd.readouterr()
    clean([*ears.texts, out.out, out.err])


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [("AUTH__PASSWORD", WRONG, 5), ("TLS__KEY_PASSWORD", WRONG, 2), ("HOSTS", "127.0.0.1:1", 3)],
)
def test_no_command_tells_what_was_wrong(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, ears: Ears, name: str, value: str, code: int
) -> None:
    """Wrong credentials, a key that stays locked, nobody there."""
    monkeypatch.setenv(f"ZKDISCOVERY_{name}", value)
    for command in (["doctor", "-o", "json"], ["services", "--debug"], ["doctor"]):
        result = CliRunner().invoke(app, [*command, "--timeout", "0.5"])
        assert result.exit_code == code, result.output
        clean([result.stdout, result.stderr, *told(result.exception), *ears.texts, "-"])


@pytest.mark.usefixtures("environment")
def test_the_command_as_people_start_it() -> None:
    """A process of its own, with Python's development mode on: what it writes, and its arguments."""
    script = "import zkdiscovery.cli.app as it; it.run()"
    arguments = [sys.executable, "-X", "dev", "-W", "default", "-c", script, "doctor", "--debug"]
    done = subprocess.run(arguments, env=os.environ, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "**********" in done.stdout
    assert "connected to" in done.stderr
    clean([done.stdout, done.stderr])


FORK = """
import logging, os, sys
logging.basicConfig(level=1, format="%(name)s %(message)s %(args)r")
from zkdiscovery import Client, Settings
client = Client(settings=Settings())
client.register("payments", 8081, id="forked").wait_registered(20.0)
pid = os.fork()
if pid == 0:
    print(client, client.slot.current().session.settings, client.service_names(20.0), flush=True)
    client.close()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(client, vars(client), flush=True)
client.close()
raise SystemExit(f"end of {client!r}")
"""


@pytest.mark.usefixtures("environment")
def test_a_fork_tells_nothing() -> None:
    """Parent and child log everything and print all they have."""
    arguments = [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c", FORK]
    done = subprocess.run(arguments, env=os.environ, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "end of <Client" in done.stderr
    assert "payments" in done.stdout
    assert "connected to" in done.stderr
    clean([done.stdout, done.stderr])
