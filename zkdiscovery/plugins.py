"""Parts that users name: by one of our names, by a name that an installed package brings, or as an object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from zkdiscovery.errors import InvalidSettings

_T = TypeVar("_T")


class Plugins(NamedTuple, Generic[_T]):
    """One kind of parts.

    Attributes:
        kind: what such a part is called.
        ours: what makes ours, by name.
        group: the entry point group of others. An entry there is such a part, or makes one without arguments.
        fits: whether an object is such a part.
        wanted: what to give instead of a name, for messages.
    """

    kind: str
    ours: Mapping[str, Callable[[], _T]]
    group: str
    fits: Callable[[object], bool]
    wanted: str

    def resolve(self, spec: str | _T) -> _T:
        """Return the part of that name, or `spec` itself if it is one.

        Raises:
            InvalidSettings: neither; the message lists the names.
            InvalidSettings: the package's part can't be loaded; the message says why.
        """
        found: Any = spec
        if isinstance(spec, str):
            found = self.ours[spec]() if spec in self.ours else self._from_packages(spec)
        if not self.fits(found):
            raise InvalidSettings(self._unknown(spec))
        part: _T = found
        return part

    def _from_packages(self, name: str) -> Any:
        # It takes as long to load as a tenth of the package, few need it, and only a thread of the caller gets here.
        from importlib.metadata import entry_points  # noqa: PLC0415

        for entry in entry_points(group=self.group, name=name):
            try:
                found = entry.load()
                return found if self.fits(found) else found()
            except Exception as error:
                raise InvalidSettings(
                    f"the {self.kind} {name!r} of {entry.value!r} can't be loaded: {type(error).__name__}: {error}"
                ) from error
        return None

    def _unknown(self, spec: object) -> str:
        from difflib import get_close_matches  # noqa: PLC0415 - for a mistake only
        from importlib.metadata import entry_points  # noqa: PLC0415

        names = [*self.ours, *sorted(entry_points(group=self.group).names)]
        near = get_close_matches(spec.lower().replace("-", "_"), names, n=1) if isinstance(spec, str) else ()
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return (
            f"no {self.kind} {spec!r:.80}.{hint} There are {', '.join(map(repr, names))}; or give {self.wanted};"
            f" packages add names in the entry point group {self.group!r}"
        )
