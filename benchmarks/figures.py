"""Figures with their spread, how they grow, and what they are to reach."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from benchmarks.balancing.report import number

OURS = "zkdiscovery"

K = TypeVar("K", bound=Hashable)


class Figure(NamedTuple):
    """The median and the quartiles of some rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """From the values of all rounds."""
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high)


class Growth(NamedTuple):
    """How a figure grows with the size N, as figure ~ N^exponent.

    Attributes:
        exponent: the slope of a least-squares line over the logarithms of all sizes.
        error: the slope's standard error, sqrt(SSR / (n - 2) / Sxx), of the n medians: it tells of noise, and of a
            growth that is no power (Draper and Smith, Applied Regression Analysis, 3rd edition, section 1.4).
        last: the exponent between the two largest sizes alone. A cost of a + b N, which is a curve here, comes nearer
            to its end with it.
    """

    exponent: float
    error: float
    last: float

    @classmethod
    def of(cls, sizes: Sequence[float], figures: Sequence[float]) -> Growth:
        """From three sizes or more, in ascending order; all figures above 0."""
        xs, ys = [math.log(size) for size in sizes], [math.log(figure) for figure in figures]
        slope, intercept = statistics.linear_regression(xs, ys)
        residuals = sum((y - intercept - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
        spread = statistics.pvariance(xs) * len(xs)
        return cls(slope, math.sqrt(residuals / (len(xs) - 2) / spread), (ys[-1] - ys[-2]) / (xs[-1] - xs[-2]))

    def __str__(self) -> str:
        """As in N^0.98 ± 0.02."""
        return f"N^{round(self.exponent, 2) + 0.0:.2f} ± {self.error:.2f}"  # no -0.00


class Target(NamedTuple):
    """Our figure must be at most `factor` times that of the way `of`; at most `factor` in the row's unit if None."""

    factor: float
    of: str | None = None


class Row(NamedTuple):
    """One thing measured in several ways, ours (`OURS`) among them.

    Attributes:
        what: what was measured; the same in all rows that differ by `size` alone.
        unit: of all figures, such as "s" or "requests".
        figures: by way; a way that is not there (no JDK, too slow at this size) is left out.
        targets: what ours must reach. In a quick run they are shown, and mean little.
        size: the N that growth is measured against; None if there is none.
    """

    what: str
    unit: str
    figures: Mapping[str, Figure]
    targets: Sequence[Target] = ()
    size: int | None = None

    @property
    def label(self) -> str:
        """What was measured, with the size."""
        return self.what if self.size is None else f"{self.what}, N = {self.size:,}"

    def verdicts(self) -> Iterator[dict[str, Any]]:
        """For each target: what it demands in words, the value to compare, whether it is met (None: unknown)."""
        ours = self.figures[OURS].median
        for factor, of in self.targets:
            if of is None:
                limit, target, value = factor, f"at most {number(factor)} {self.unit}", f"{number(ours)} {self.unit}"
            else:
                other = self.figures.get(of)
                limit = other.median * factor if other else math.nan
                times = over(ours, other.median) if other else math.nan
                if factor < 1:
                    target, value = f"{1 / factor:g} times less than {of}", f"{number(1 / times)} times less"
                else:
                    target, value = f"at most {factor:g} times {of}", f"{number(times)} times"
            known = not math.isnan(limit)
            yield {
                "row": self.label,
                "what": self.what,
                "target": target,
                "of": of,
                "factor": factor,
                "value": value if known else "not measured",
                "ratio": over(ours, limit) if known else None,
                "met": ours <= limit if known else None,
            }


def over(value: float, other: float) -> float:
    """How many times the other; of nothing, nothing is one time."""
    return value / other if other else math.inf if value else 1.0


def milliseconds(figures: Mapping[K, Figure]) -> dict[K, Figure]:
    """Of seconds."""
    return {name: Figure(*(1e3 * value for value in figure)) for name, figure in figures.items()}


def growths(rows: Sequence[Row]) -> dict[str, dict[str, Growth]]:
    """How each figure grows with the size, by what was measured and by way, where there are three sizes or more."""
    found: dict[str, dict[str, Growth]] = {}
    for what in dict.fromkeys(row.what for row in rows if row.size):
        same = [row for row in rows if row.what == what and row.size]
        for way in dict.fromkeys(way for row in same for way in row.figures):
            points = sorted((row.size or 0, row.figures[way].median) for row in same if way in row.figures)
            if len(points) >= 3 and all(value > 0 for _, value in points):
                found.setdefault(what, {})[way] = Growth.of(*zip(*points, strict=True))
    return found
