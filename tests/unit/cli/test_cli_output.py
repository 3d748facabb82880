"""What is printed can't harm a terminal and can be read by programs."""

from __future__ import annotations

import json
import logging

import pytest
from rich.text import Text

from zkdiscovery.cli.context import Cli
from zkdiscovery.cli.output import harmless, instance_json, instance_row, local_time, write_json, write_table
from zkdiscovery.model import Instance, Override, Status

EVIL = Instance(
    "payments",
    "10.0.0.1",
    80,
    id="[red]x[bold]",
    tags=("[link=http://evil]y",),
    metadata={"k": "\x1b]0;title\x07\u202e:x:"},
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Zürich 東京", "Zürich 東京"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\u202eevil", "\\u202eevil"),
        ("\ud800", "\\ud800"),
        ("\u2028", "\\u2028"),
    ],
)
def test_harmless(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_markup_and_escapes_of_others_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(("ID", "REST"), [instance_row(EVIL)[:2], ("metadata", instance_row(EVIL)[8])])
    out = capsys.readouterr().out
    assert "[red]x[bold]" in out
    assert "k=\\x1b]0;title\\x07\\u202e:x:" in out
    assert "\x1b" not in out


def test_a_row_is_a_line_however_long_and_nothing_is_coloured(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(("ID", "STATUS"), [("x" * 500, Text("UP", style="green")), ("y", "DOWN")])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["ID" + " " * 500 + "STATUS", "x" * 500 + "  UP", "y" + " " * 501 + "DOWN"]


def test_colours_on_a_terminal_only_and_not_against_its_will(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    write_table(("STATUS",), [(Text("UP", style="green"),)])
    assert "\x1b[32mUP" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    write_table(("STATUS",), [(Text("UP", style="green"),)])
    assert "\x1b[32m" not in capsys.readouterr().out


def test_json_is_ascii_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    write_json([instance_json(EVIL)])
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    assert json.loads(out)[0]["metadata"] == {"k": "\x1b]0;title\x07\u202e:x:"}


def test_an_override_is_in_the_row_and_in_the_json() -> None:
    instance = Override(Status.DOWN, 2).above(Instance("a", "h", 1))
    assert instance_row(instance)[4] == "DOWN instead of UP, weight 2 instead of 1"
    assert json.loads(json.dumps(instance_json(instance)))["override"] == {
        "status": "DOWN", "weight": 2.0, "base_status": "UP", "base_weight": 1.0,
    }  # fmt: skip


def test_all_fields_of_an_instance_are_in_its_json() -> None:
    instance = Instance("a", "h", 1, ports={"m": 2}, status=Status.DOWN, zone="z", registered_at=1.5)
    assert json.loads(json.dumps(instance_json(instance))) == {
        "service": "a", "id": "h:1", "host": "h", "port": 1, "tls_port": None, "ports": {"m": 2}, "status": "DOWN",
        "weight": 1.0, "zone": "z", "version": None, "tags": [], "metadata": {}, "registered_at": 1.5,
        "override": None, "machine": None, "runtime": None, "source": None,
    }  # fmt: skip
    assert instance_json(instance).keys() == set(Instance.__slots__)


def test_times_are_local(monkeypatch: pytest.MonkeyPatch) -> None:
    assert local_time(0.0)[:4] in {"1969", "1970"}
    assert len(local_time(1e11)) == len("5138-11-16 09:46:40")


def test_the_sdk_speaks_through_the_command_and_the_connection_only_if_followed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli = Cli()
    with cli.log_on_stderr():
        logging.getLogger("zkdiscovery.discovery").warning("left out %s", "\x1b[31m")
        logging.getLogger("zkdiscovery.session").error("refused")
        logging.getLogger("zkdiscovery.registration").error("a conflict, told as the end")
        assert capsys.readouterr().err == "warning: left out \\x1b[31m\n"
        cli.follow_connection()
        logging.getLogger("zkdiscovery.session").info("connected")
        logging.getLogger("zkdiscovery.session").warning("lost")
        assert capsys.readouterr().err == "connected\nwarning: lost\n"
    logging.getLogger("zkdiscovery.session").info("not ours any more")
    assert capsys.readouterr().err == ""
