"""Registration: owned instances, readiness, drain, the decorator, the advertised address, operators' overrides,
health checks.

`HttpCheck` and `GrpcCheck` are loaded by those who use them, because what they import takes a while.
"""

from __future__ import annotations

from zkdiscovery.registration.base import CLOSE_TIMEOUT, BaseRegistration, RegistrationState
from zkdiscovery.registration.checks import Check, CheckResult, TcpCheck, TtlCheck
from zkdiscovery.registration.command_check import CommandCheck
from zkdiscovery.registration.decorator import RegisteredDecorator, registered
from zkdiscovery.registration.health import CheckReport, CheckState
from zkdiscovery.registration.instance_health import Checkers
from zkdiscovery.registration.options import Options, RegisterOptions
from zkdiscovery.registration.overrides import Overrides
from zkdiscovery.registration.registrar import Registrar
from zkdiscovery.registration.registration import Registration
from zkdiscovery.registration.sharing import Sharing

__all__ = [
    "CLOSE_TIMEOUT",
    "BaseRegistration",
    "Check",
    "CheckReport",
    "CheckResult",
    "CheckState",
    "Checkers",
    "CommandCheck",
    "Options",
    "Overrides",
    "RegisterOptions",
    "RegisteredDecorator",
    "Registrar",
    "Registration",
    "RegistrationState",
    "Sharing",
    "TcpCheck",
    "TtlCheck",
    "registered",
]
