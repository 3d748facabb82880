"""Checks of the settings of strategies."""

from __future__ import annotations

from math import inf, isnan

from zkdiscovery.errors import InvalidSettings


def check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """Refuse what is no integer from `least` to `most`, with InvalidSettings."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        span = f"{least} or more" if most is None else f"from {least} to {most}"
        raise InvalidSettings(f"{name} must be an integer, {span}: got {value!r:.80}")


def check_text(name: str, value: object) -> None:
    """Refuse what is no text, or an empty one, with InvalidSettings."""
    if not isinstance(value, str) or not value:
        raise InvalidSettings(f"{name} must be a text: got {value!r:.80}")


def check_strategy(name: str, value: object) -> None:
    """Refuse what has no `build`, and classes, with InvalidSettings."""
    if isinstance(value, type) or not callable(getattr(value, "build", None)):
        raise InvalidSettings(
            f"{name} must be a strategy such as RoundRobin(), not its name or its class: got {value!r:.80}"
        )


def check_number(name: str, value: object, *, above: float = -inf, least: float = -inf, most: float = inf) -> None:
    """Refuse what is no number within the limits, with InvalidSettings."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or isnan(value)
        or not (above < value <= most and value >= least)
    ):
        limits = ((above, f"above {above:g}"), (least, f"{least:g} or more"), (most, f"at most {most:g}"))
        span = ", ".join(text for limit, text in limits if abs(limit) < inf)
        raise InvalidSettings(f"{name} must be a number, {span}: got {value!r:.80}")
