"""`zkdiscovery config`."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from tests.conftest import MakeClient
from tests.integration.cli.conftest import Done, Running
from tests.support import wait_until
from zkdiscovery import ConfigStore
from zkdiscovery.cli.exits import ExitCode

Run = Callable[..., Done]


class Shop(BaseModel):
    timeout: float = Field(1.0, gt=0)


MODEL = f"{__name__}:Shop"


@pytest.fixture
def store(make_client: MakeClient) -> ConfigStore:
    return make_client().config_store("shop", author="ann")


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the editor run this code, with `path` and the present `values`."""

    def use(code: str) -> None:
        script = tmp_path / "editor.py"
        head = "import json, pathlib, sys\npath = pathlib.Path(sys.argv[1])\nvalues = json.loads(path.read_text())\n"
        script.write_text(head + code)
        monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return use


def kept(tmp_path: Path) -> list[Path]:
    return sorted(tmp_path.glob("shop-*.json"))


def test_set_and_get(run: Run, store: ConfigStore, namespace: str) -> None:
    empty = run("config", "get")
    assert (empty.code, empty.out, empty.err) == (0, "", f"there are no documents in {namespace}/config/documents\n")
    assert run("config", "get", "shop").code == ExitCode.NOT_FOUND
    done = run("config", "set", "shop", "bank.timeout=3", "bank.url=https://bank", "list=[1, true]", "--expect", "0")
    assert (done.code, done.err) == (0, "shop: revision 1\n")
    assert done.out.splitlines() == ["+ bank.timeout: 3", '+ bank.url: "https://bank"', "+ list: [1, true]"]
    assert store.read().values == {"bank": {"timeout": 3, "url": "https://bank"}, "list": [1, True]}
    assert store.history()[0].message == "change bank.timeout, bank.url, list"
    changed = run("config", "set", "shop", "bank.timeout=4", "--remove", "list", "-m", "slow bank", "-o", "json")
    assert changed.json == {"document": "shop", "revision": 2}
    assert run("config", "set", "shop", "bank.timeout=4").err == "shop: revision 2, as before\n"
    assert run("config", "get").out.split() == ["DOCUMENT", "shop"]
    assert run("config", "get", "shop").out.splitlines()[1:] == ["bank.timeout  4", 'bank.url      "https://bank"']
    assert run("config", "get", "shop", "bank.url").out == "https://bank\n"
    assert run("config", "get", "shop", "bank", "-o", "json", "-r", "1").json == {"timeout": 3, "url": "https://bank"}
    assert run("config", "get", "shop", "bank.nothing").code == ExitCode.NOT_FOUND
    assert run("config", "get", "shop", "-r", "9").code == ExitCode.NOT_FOUND


def test_what_set_refuses(run: Run, store: ConfigStore) -> None:
    store.replace({"bank": {"timeout": 3}}, "first")
    for arguments, code, said in (
        (["timeout"], ExitCode.USAGE, "must be KEY=VALUE"),
        ([], ExitCode.USAGE, "give KEY=VALUE, --encrypt KEY, or --remove KEY"),
        (["bank.timeout.a=1"], ExitCode.USAGE, "is no mapping"),
        (["--remove", "bank.url"], ExitCode.NOT_FOUND, "no key 'bank.url'"),
        (["a=1", "--expect", "7"], ExitCode.CONFLICT, "is at revision 1, and not at 7"),
        (["timeout=-1", "--model", MODEL], ExitCode.USAGE, "timeout: Input should be greater than 0"),
        (["a=1", "--model", "nothing:Shop"], ExitCode.USAGE, "can't be loaded"),
        (["a=1", "--model", "Shop"], ExitCode.USAGE, "must be MODULE:NAME"),
    ):
        done = run("config", "set", "shop", *arguments)
        assert (done.code, said in done.err) == (code, True), done.err
    assert len(store.history()) == 1


def test_look_back_and_go_back(run: Run, store: ConfigStore) -> None:
    assert run("config", "history", "shop").code == ExitCode.NOT_FOUND
    store.replace({"a": 1, "gone": None}, "first")
    store.replace({"a": 2, "new": "x"}, "sec\x1bond")
    lines = run("config", "history", "shop").out.splitlines()
    assert lines[0].split() == ["REVISION", "TIME", "AUTHOR", "BYTES", "MESSAGE"]
    assert [(line.split()[0], line.split()[3:5], line.split()[-1]) for line in lines[1:]] == [
        ("2", ["ann", "(claimed)"], "sec\\x1bond"), ("1", ["ann", "(claimed)"], "first"),
    ]  # fmt: skip
    assert [revision["number"] for revision in run("config", "history", "shop", "-o", "json").json] == [2, 1]
    assert run("config", "diff", "shop", "1").out.splitlines() == ["- a: 1", "+ a: 2", "- gone: null", '+ new: "x"']
    (first, *_) = run("config", "diff", "shop", "1", "2", "-o", "json").json
    assert first == {"key": "a", "before": 1, "after": 2, "added": False, "removed": False}
    assert run("config", "rollback", "shop", "1", "-m", "back").err == "shop: revision 3, as revision 1\n"
    assert run("config", "rollback", "shop", "1", "--expect", "2").code == ExitCode.CONFLICT
    assert run("config", "rollback", "shop", "9").code == ExitCode.NOT_FOUND
    assert json.loads(run("config", "export", "shop").out) == {"a": 1, "gone": None}
    assert run("config", "export", "shop", "-f", "yaml", "-r", "2").out == "a: 2\nnew: x\n"
    assert run("config", "export", "shop", "-f", "xml").code == ExitCode.USAGE


def test_readers(run: Run, store: ConfigStore, make_client: MakeClient) -> None:
    assert run("config", "readers", "shop").err == "nobody reads the document 'shop'\n"
    store.replace({"timeout": 3}, "good")
    config = make_client().config("shop", Shop, id="web-1").wait_ready()
    store.replace({"timeout": -1}, "bad")
    wait_until(lambda: config.rejected is not None)
    wait_until(lambda: [reader.rejected for reader in store.readers()] == [2])
    lines = [line.split(maxsplit=4) for line in run("config", "readers", "shop").out.splitlines()]
    assert lines == [
        ["READER", "CONFIG", "REVISION", "REFUSES", "WHY"],
        ["web-1", "shop", "1", "2", "timeout: Input should be greater than 0"],
    ]
    (found,) = run("config", "readers", "shop", "-o", "json").json
    assert (found["id"], found["revision"], found["rejected"]) == ("web-1", 1, 2)


def test_edit(run: Run, store: ConfigStore, editor: Callable[[str], None], tmp_path: Path) -> None:
    editor("values['timeout'] = 3\npath.write_text(json.dumps(values))\nassert path.stat().st_mode & 0o777 == 0o600\n")
    done = run("config", "edit", "shop", "--model", MODEL, "--author", "bob")
    assert (done.code, done.out, done.err) == (0, "+ timeout: 3\n", "shop: revision 1\n")
    assert (store.history()[0].author, store.history()[0].message) == ("bob", "change timeout")
    assert run("config", "edit", "shop", "-o", "json").json == {"document": "shop", "revision": 1}
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "said", "exit_code"),
    [
        ("path.write_text('{')", "the text is no JSON", ExitCode.USAGE),
        ("path.write_text('[]')", "the text must be a dict", ExitCode.USAGE),
        ("path.write_text('{\"timeout\": -1}')", "timeout: Input should be greater than 0", ExitCode.USAGE),
        ("sys.exit(3)", "ended with 3, so nothing was stored", ExitCode.FAILED),
    ],
)
def test_an_edit_that_is_not_stored_stays_in_its_file(
    run: Run, store: ConfigStore, editor: Callable[[str], None], tmp_path: Path, code: str, said: str,
    exit_code: ExitCode,
) -> None:  # fmt: skip
    store.replace({"timeout": 1}, "first")
    editor(code)
    done = run("config", "edit", "shop", "--model", MODEL)
    (file,) = kept(tmp_path)
    assert done.code == exit_code
    assert said in done.err
    assert f"the text is in {file}" in done.err
    assert len(store.history()) == 1


def test_the_second_editor_gets_the_conflict_and_keeps_the_text(
    run: Run, store: ConfigStore, editor: Callable[[str], None], options: list[str], tmp_path: Path
) -> None:
    store.replace({"timeout": 1}, "first")
    other = [sys.executable, "-m", "zkdiscovery", *options, "config", "set", "shop", "timeout=2"]
    editor(f"import subprocess\nsubprocess.run({other}, check=True)\npath.write_text('{{\"timeout\": 9}}')\n")
    done = run("config", "edit", "shop")
    assert done.code == ExitCode.CONFLICT
    assert "is at revision 2, and not at 1" in done.err
    (file,) = kept(tmp_path)
    assert json.loads(file.read_text()) == {"timeout": 9}
    assert store.read().values == {"timeout": 2}


def test_no_editor(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", "no-such-editor")
    done = run("config", "edit", "shop")
    assert done.code == 127
    assert "no such program" in done.err


def test_encrypted_values(
    run: Run, make_client: MakeClient, editor: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is shown, and none is an argument, unless somebody asks for it."""
    first = run("config", "new-key", "first").out
    (tmp_path / "keys").write_text(first)
    keys = ("--keys", str(tmp_path / "keys"))
    for without in (("--encrypt", "password"), ("--encrypt", "password", *keys)):
        done = run("config", "set", "shop", *without, given="" if "--keys" in without else "x")
        assert (done.code, "keys=" in done.err or "stdin is empty" in done.err) == (ExitCode.USAGE, True), done.err
    done = run("config", "set", "shop", "limit=1", "--encrypt", "bank.password", *keys, given="sesame\n")
    assert (done.code, done.out) == (0, '+ limit: 1\n+ bank.password: "**********"\n')
    assert run("config", "get", "shop", "bank.password").out == "**********\n"
    assert "sesame" not in run("config", "get", "shop").out + run("config", "export", "shop").out
    stored = run("config", "get", "shop", "bank.password", "-o", "json").json
    assert stored["$encrypted"]["key"] == "first"
    assert run("config", "get", "shop", "bank.password", "--reveal", *keys).out == "sesame\n"
    assert (
        run("config", "export", "shop", "--reveal", *keys).out
        == """{
  "limit": 1,
  "bank": {
    "password": "sesame"
  }
}
"""
    )
    hidden = run("config", "get", "shop", "--reveal")
    assert (hidden.code, "give keys=" in hidden.err) == (ExitCode.USAGE, True), "there is no key"

    editor("values['limit'] = 2; path.write_text(json.dumps(values))")
    assert run("config", "edit", "shop").out == "- limit: 1\n+ limit: 2\n"
    editor("values['other'] = values['bank']['password']; path.write_text(json.dumps(values))")
    assert "can't be decrypted" in run("config", "edit", "shop", *keys).err
    monkeypatch.setenv("ZKDISCOVERY_CONFIG_KEYS", run("config", "new-key", "second").out + first)
    assert run("config", "reencrypt", "shop").err == "shop: revision 3\n"
    assert run("config", "get", "shop", "bank.password", "-o", "json").json["$encrypted"]["key"] == "second"
    assert run("config", "get", "shop", "bank.password", "--reveal").out == "sesame\n"
    assert run("config", "diff", "shop", "2", "3").out == "", "the value is the same"


def test_a_rollout(run: Run, store: ConfigStore) -> None:
    run("config", "set", "shop", "limit=1")
    assert run("config", "rollout", "shop", "--status").code == ExitCode.NOT_FOUND
    assert run("config", "rollout", "shop", "--status", "-o", "json").json is None
    assert run("config", "set", "shop", "limit=2", "--stage").err == "shop: revision 2\n"
    assert store.read().values == {"limit": 1}
    done = run("config", "rollout", "shop", "2", "--percent", "50,100", "--bake", "0.1s")
    assert (done.code, done.err.splitlines()) == (
        0,
        [
            "shop: revision 2 is for 50 % of the readers",
            "shop: revision 2 is for 100 % of the readers",
            "shop: revision 2 is in force for all readers",
        ],
    )
    assert store.read().values == {"limit": 2}
    for arguments, code in (
        (["--percent", "x"], ExitCode.USAGE),
        (["--percent", "50"], ExitCode.USAGE),
        (["--status", "--stop", "why"], ExitCode.USAGE),
        (["9"], ExitCode.NOT_FOUND),
        ([], ExitCode.NOT_FOUND),
        (["1"], ExitCode.CONFLICT),
        (["--stop", "why"], ExitCode.NOT_FOUND),
    ):
        assert run("config", "rollout", "shop", *arguments).code == code, arguments


def test_a_rollout_that_goes_on_and_is_stopped(
    run: Run, start: Callable[..., Running], store: ConfigStore, make_client: MakeClient
) -> None:
    run("config", "set", "shop", "limit=1")
    run("config", "set", "shop", "limit=2", "--stage")
    config = make_client().config("shop", id="web-1").wait_ready()
    driving = start("config", "rollout", "shop", "2", "--percent", "10,100", "--bake", "600s")
    driving.message("revision 2 is for 10 % of the readers")
    wait_until(lambda: len(store.readers()) == 1)
    shown = run("config", "rollout", "shop", "--status")
    assert shown.out.splitlines()[1].split()[:4] == ["2", "1", "10", "%"]
    assert driving.end(signal.SIGINT) == 130
    going_on = start("config", "rollout", "shop")
    going_on.message("revision 2 is for 10 % of the readers")
    assert run("config", "rollout", "shop", "--stop", "bad").err == "shop: revision 1 is in force for all readers\n"
    going_on.message("the rollout of revision 2 of the document 'shop' was stopped", "bad")
    assert going_on.end() == ExitCode.FAILED
    assert "stopped: bad" in run("config", "rollout", "shop", "--status").out
    assert config.value == {"limit": 1}
