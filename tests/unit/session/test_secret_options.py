"""Credentials on their way from the settings to the wire: sent as they are, shown nowhere."""

from __future__ import annotations

import pickle

import pytest
from pydantic import SecretStr

from zkdiscovery.errors import InvalidSettings
from zkdiscovery.session.session import acl_entries
from zkdiscovery.session.transport.options import link_options
from zkdiscovery.settings import AclEntry, Auth, settings_without_environment

PASSWORD = "password-of-alice"


@pytest.mark.parametrize("scheme", ["digest", "sasl"])
def test_options_hold_the_password_and_do_not_show_it(scheme: str) -> None:
    auth = Auth.model_validate({"scheme": scheme, "username": "alice", "password": PASSWORD})
    options = link_options(settings_without_environment(auth=auth))
    held = options.sasl["password"] if options.sasl else options.auth_data[0][1].removeprefix("alice:")
    assert held == PASSWORD
    assert PASSWORD.encode() == held.encode()
    for part in (options, options.sasl, options.auth_data, options.auth_data and options.auth_data[0]):
        assert PASSWORD not in repr(part)
        assert PASSWORD not in str(part)


def test_a_password_that_can_not_be_sent() -> None:
    """Bytes of the environment that are not UTF-8 come as lone surrogates."""
    with pytest.raises(InvalidSettings, match="password: must be text that UTF-8 can hold") as raised:
        Auth(username="alice", password=SecretStr(f"{PASSWORD}\udcff"))
    assert PASSWORD.encode() not in pickle.dumps(raised.value)
    assert PASSWORD not in repr(raised.value)


def test_the_hash_in_an_acl_does_not_show() -> None:
    """An entry of the scheme digest holds a hash of the password, which can be guessed from it."""
    entry = AclEntry(permissions="r", scheme="digest", id=f"alice:{PASSWORD}")
    for part in (entry, settings_without_environment(acl=(entry,))):
        for text in (repr(part), str(part)):
            assert PASSWORD not in text
            assert "alice:**********" in text
    assert repr(AclEntry(permissions="r", scheme="sasl", id="alice")).endswith("id='alice')")
    assert acl_entries((entry,))[0].id == f"alice:{PASSWORD}"
