"""Registration: owned instances, readiness, drain, the decorator, the advertised address, operators' overrides."""

from __future__ import annotations

from zkdiscovery.registration.base import CLOSE_TIMEOUT, BaseRegistration, RegistrationState
from zkdiscovery.registration.decorator import RegisteredDecorator, registered
from zkdiscovery.registration.options import Options, RegisterOptions
from zkdiscovery.registration.overrides import Overrides
from zkdiscovery.registration.registrar import Registrar
from zkdiscovery.registration.registration import Registration
from zkdiscovery.registration.sharing import Sharing

__all__ = [
    "CLOSE_TIMEOUT",
    "BaseRegistration",
    "Options",
    "Overrides",
    "RegisterOptions",
    "RegisteredDecorator",
    "Registrar",
    "Registration",
    "RegistrationState",
    "Sharing",
    "registered",
]
