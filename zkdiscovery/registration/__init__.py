"""Registration: owned instances, readiness, drain, the decorator, the advertised address, operators' overrides."""

from __future__ import annotations

from zkdiscovery.registration.decorator import registered
from zkdiscovery.registration.options import Options, RegisterOptions
from zkdiscovery.registration.overrides import Overrides
from zkdiscovery.registration.registrar import Registrar
from zkdiscovery.registration.registration import Registration, RegistrationState

__all__ = [
    "Options",
    "Overrides",
    "RegisterOptions",
    "Registrar",
    "Registration",
    "RegistrationState",
    "registered",
]
