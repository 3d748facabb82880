"""Checks of what users hand over: names, times, fields of instances, settings and functions.

Every check raises the error of the thing checked, and the message tells what was expected and what was given.
"""

from __future__ import annotations

import functools
import inspect
import ipaddress
import math
import re
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeGuard

from zkdiscovery.errors import InvalidInstance, InvalidName, InvalidSettings

LONGEST_TIMEOUT = 1e8  # seconds, three years; locks and sockets refuse what their C types can't hold
MAX_DELAY = 86_400.0  # seconds between draining and deregistering
MAX_NAME_BYTES = 255  # bytes of UTF-8 in one path segment
MAX_TIME = 1e11  # seconds since the epoch, the year 5138: milliseconds stay exact in a float up to there and beyond
PLAIN_HOST = re.compile(r"[A-Za-z0-9._-]+")

_NO_NAMES = frozenset({"", ".", "..", "zookeeper"})
# The ranges that ZooKeeper's PathUtils.validatePath refuses, and the separator. It looks at UTF-16 units,
# so it refuses everything beyond U+FFFF because of its surrogates.
_NOT_IN_A_PATH = re.compile("[\x00-\x1f/\x7f-\x9f\ud800-\uf8ff\ufff0-\U0010ffff]")
_NOT_IN_A_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_IN_A_HOST = re.compile(r"[\s/\\@?#\[\]]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_INSTEAD = "run it with asyncio.run() in a `def`"


# -- names and times --


def check_name(value: object, what: str) -> str:
    """Return `value` if it can be one segment of a znode path.

    Raises:
        InvalidName: not a string; empty, `.`, `..` or `zookeeper`; too long; or with `/`, a control character or a
            surrogate.
    """
    if not isinstance(value, str):
        raise InvalidName(f"{what} must be a string, not {type(value).__name__}")
    if value in _NO_NAMES:
        raise InvalidName(f"{what} must not be empty, '.', '..' or 'zookeeper': got {value!r}")
    if bad := _NOT_IN_A_PATH.search(value):
        raise InvalidName(f"{what} must not contain {bad.group()!r}: got {value[:80]!r}")
    if len(value) > MAX_NAME_BYTES // 4 and len(value.encode()) > MAX_NAME_BYTES:
        raise InvalidName(f"{what} is longer than {MAX_NAME_BYTES} bytes: {value[:40]!r}…")
    return value


def check_timeout(timeout: float | None) -> float:
    """Return the seconds to wait at most. None means no limit, which is `LONGEST_TIMEOUT`; so does any longer time.

    Raises:
        InvalidSettings: not a number, NaN, negative or infinite.
    """
    if timeout is None:
        return LONGEST_TIMEOUT
    given: object = timeout
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given < math.inf:
        raise InvalidSettings(
            f"a timeout must be a number of seconds, 0 or more, or None for no limit: got {given!r:.80}"
        )
    return min(timeout, LONGEST_TIMEOUT)


def deadline_after(timeout: float | None) -> float:
    """Return the moment, in monotonic seconds, at which `timeout` seconds from now are over; see `check_timeout`."""
    return time.monotonic() + check_timeout(timeout)


def check_delay(value: object, what: str) -> float:
    """Return a number of seconds from 0 to `MAX_DELAY`; raise InvalidInstance for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_DELAY:
        raise InvalidInstance(f"{what} must be seconds, 0 to {MAX_DELAY:.0f}: got {value!r}")
    return float(value)


# -- fields of instances: every check raises InvalidInstance --


def shown(value: object) -> str:
    """Return the start of `repr(value)`, for a message."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python is willing to print
        return f"an enormous {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:80]}…"


def check_text(value: object, what: str) -> None:
    """Refuse anything but a string that is not blank and has neither control characters nor lone surrogates."""
    if not isinstance(value, str):
        raise InvalidInstance(f"{what} must be a string, not {type(value).__name__}")
    if value.isspace() or not value or (not value.isprintable() and _NOT_IN_A_TEXT.search(value)):
        raise InvalidInstance(f"{what} must not be empty or contain control characters: got {shown(value)}")


def check_choice(value: object, what: str, choices: tuple[str, ...]) -> Any:
    """Return `value` if it is one of `choices`."""
    if value not in choices:
        raise InvalidInstance(f"{what} must be one of {', '.join(choices)}: got {value!r}")
    return value


def check_host(value: object) -> None:
    """Refuse anything but a host name or an address."""
    if isinstance(value, str) and PLAIN_HOST.fullmatch(value):
        return
    check_text(value, "host")
    if not isinstance(value, str) or _NOT_IN_A_HOST.search(value) or (":" in value and not _is_ipv6(value)):
        raise InvalidInstance(
            f"host must be a host name or an address and nothing else, no scheme, port or brackets: got {shown(value)}"
        )


def _is_ipv6(value: str) -> bool:
    try:
        ipaddress.IPv6Address(value)
    except ValueError:
        return False
    return True


def join_host_port(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_port(value: object, what: str) -> None:
    """Refuse anything but an integer from 1 to 65535."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise InvalidInstance(f"{what} must be an integer from 1 to 65535: got {shown(value)}")


def check_ports(ports: object) -> Mapping[str, int]:
    """Return a mapping from name to port; a name has neither a comma nor `=`."""
    if not isinstance(ports, Mapping):
        raise InvalidInstance(f"ports must be a mapping from name to port: got {type(ports).__name__}")
    for name, port in ports.items():
        check_text(name, "a port's name")
        if "," in name or "=" in name:
            raise InvalidInstance(f"a port's name must not contain a comma or '=': got {shown(name)}")
        check_port(port, f"port {name!r}")
    return ports


def check_tags(tags: object) -> tuple[str, ...]:
    """Return a sequence of texts without a comma, as a tuple."""
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise InvalidInstance(f"tags must be a sequence of strings: got {shown(tags)}")
    result = tuple(tags)
    for tag in result:
        check_text(tag, "a tag")
        if "," in tag:
            raise InvalidInstance(f"a tag must not contain a comma: got {shown(tag)}")
    return result


def check_metadata(metadata: object) -> Mapping[str, str]:
    """Return a mapping of strings without lone surrogates; no key is empty."""
    if not isinstance(metadata, Mapping):
        raise InvalidInstance(f"metadata must be a mapping of strings: got {type(metadata).__name__}")
    try:
        text = "".join((*metadata, *metadata.values()))
    except TypeError:
        bad = next((k, v) for k, v in metadata.items() if not isinstance(k, str) or not isinstance(v, str))
        raise InvalidInstance(f"metadata must map strings to strings: got {shown(bad)}") from None
    if "" in metadata:
        raise InvalidInstance("metadata must not have an empty key")
    if not text.isascii() and (surrogate := _SURROGATE.search(text)):
        raise InvalidInstance(
            f"metadata must not contain lone surrogates, which UTF-8 can't hold: got {surrogate[0]!r}"
        )
    return metadata


def check_weight(value: object) -> float:
    """Return a finite number, 0 or more, as a float."""
    if not _is_finite(value) or value < 0:
        raise InvalidInstance(f"weight must be a finite number, 0 or more: got {shown(value)}")
    return float(value)


def check_time(value: object) -> float:
    """Return a time of registration, in seconds since the epoch, rounded to the millisecond."""
    if not _is_finite(value) or not 0.001 <= value <= MAX_TIME:
        raise InvalidInstance(
            f"registered_at must be seconds since the epoch, 0.001 to {MAX_TIME:g}: got {shown(value)}"
        )
    return round(value * 1000) / 1000


def _is_finite(value: object) -> TypeGuard[int | float]:
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond the range of a float
        return False


# -- settings: every check raises InvalidSettings --


def check_whole(value: object, what: str, least: int, most: int | None = None) -> None:
    """Refuse anything but an integer from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        span = f"{least} or more" if most is None else f"from {least} to {most}"
        raise InvalidSettings(f"{what} must be an integer, {span}: got {value!r:.80}")


def check_number(
    value: object, what: str, *, above: float = -math.inf, least: float = -math.inf, most: float = math.inf
) -> None:
    """Refuse anything but a number within the limits."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or math.isnan(value)
        or not (above < value <= most and value >= least)
    ):
        limits = ((above, f"above {above:g}"), (least, f"{least:g} or more"), (most, f"at most {most:g}"))
        span = ", ".join(text for limit, text in limits if abs(limit) < math.inf)
        raise InvalidSettings(f"{what} must be a number, {span}: got {value!r:.80}")


def check_nonempty(value: object, what: str) -> None:
    """Refuse anything but a string that is not empty."""
    if not isinstance(value, str) or not value:
        raise InvalidSettings(f"{what} must be a text: got {value!r:.80}")


# -- functions --


def check_function(fn: object, what: str, *, instead: str = _INSTEAD) -> None:
    """Refuse what can't be called, and what would run nothing when it is called.

    Looks into `functools.partial` and at the `__call__` of an object, too.

    Args:
        fn: the function.
        what: what it is for, to begin the message with.
        instead: what to do about an `async def`.

    Raises:
        TypeError: not callable, a coroutine function or a generator function.
    """
    if not callable(fn):
        raise TypeError(f"{what} must be callable, not {type(fn).__name__}")
    inner: object = fn
    while isinstance(inner, functools.partial):
        inner = inner.func
    for code in (inner, type(inner).__call__):
        if inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code):
            raise TypeError(f"{what} must be a plain function, not `async def`: {_name(inner)}; {instead}")
        if inspect.isgeneratorfunction(code):
            raise TypeError(
                f"{what} must be a plain function: calling the generator function {_name(inner)} runs nothing"
            )


def refuse_coroutine(result: object, what: str, *, instead: str = _INSTEAD) -> None:
    """Refuse a coroutine as the result of a function, because nothing would ever await it; close it.

    Raises:
        TypeError: `result` is a coroutine.
    """
    if result is not None and isinstance(result, Coroutine):
        result.close()
        raise TypeError(f"{what} must be a plain function, and it returned a coroutine; {instead}")


def _name(fn: object) -> str:
    return getattr(fn, "__qualname__", None) or repr(fn)


def require_name(name: object, decorator: str) -> None:
    """Refuse a function where a decorator needs a name first, as in `@client.registered` without parentheses.

    Raises:
        TypeError: it is a function.
    """
    if callable(name):
        raise TypeError(f"the decorator needs a name: @client.{decorator}('name', …)")


def takes_argument(fn: Callable[..., object]) -> bool:
    """Must `fn` be called with one positional argument?

    Raises:
        TypeError: it can't be called, or needs more than one.
    """
    if not callable(fn):
        raise TypeError(f"what is decorated must be callable, not {type(fn).__name__}")
    name = getattr(fn, "__qualname__", repr(fn))
    needed = [
        parameter
        for parameter in inspect.signature(fn).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    ]
    if len(needed) > 1 or any(parameter.kind is parameter.KEYWORD_ONLY for parameter in needed):
        names = ", ".join(parameter.name for parameter in needed)
        raise TypeError(f"{name} must take no argument or one, and it needs {names}; give the others defaults")
    return bool(needed)
