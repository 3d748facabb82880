"""Registration: owned instances, readiness, drain, the decorator, the advertised address, operators' overrides."""

from __future__ import annotations

from zkdiscovery.registration.decorator import registered
from zkdiscovery.registration.overrides import Overrides
from zkdiscovery.registration.registration import Registration, RegistrationState
from zkdiscovery.registration.room import Registrar

__all__ = ["Overrides", "Registrar", "Registration", "RegistrationState", "registered"]
