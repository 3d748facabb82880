"""The page on scale shows what runs have measured, all of it and nothing else; and the tables say it right."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from benchmarks import carry, tables
from benchmarks.figures import OURS, Figure, Growth, Row, Target
from benchmarks.tables import PAGE, PICTURES, QUESTIONS, SHEETS, Result, shown_in


def exact(**figures: float) -> dict[str, Figure]:
    """Figures without spread; `ours` stands for OURS."""
    return {OURS if way == "ours" else way: Figure.of([value]) for way, value in figures.items()}


def result(*rows: Row) -> Result:
    verdicts = [verdict for row in rows for verdict in row.verdicts()]
    return Result("What?", 1.0, "2026-01-01 12:00", quick=False, versions={}, rows=rows, verdicts=verdicts)


def test_each_place_of_the_page_is_closed_and_has_a_table() -> None:
    names = shown_in()
    assert re.findall(r"<!-- end of (.+?) -->", PAGE.read_text()) == names
    assert len(set(names)) == len(names)
    assert set(names) <= set(SHEETS)
    assert {"run", "targets", "peers", "growth", "terms", "checks", "loads"} <= set(names)


def test_each_picture_is_shown_and_each_that_is_shown_is_drawn() -> None:
    shown = re.findall(r"\]\(scale/(.+?)\.svg\)", PAGE.read_text())
    assert sorted(shown) == sorted(QUESTIONS)
    assert {picture.stem for picture in PICTURES.glob("*")} <= set(shown)


def test_each_question_is_a_file() -> None:
    assert [name for name in QUESTIONS if not (Path(tables.__file__).parent / f"{name}.py").exists()] == []


def test_the_page_is_not_written_from_several_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    one = dict.fromkeys(QUESTIONS, result(Row("what", "s", exact(ours=1.0))))
    before = PAGE.read_text()
    for results in (
        {**one, "fill": one["fill"]._replace(run="2026-01-02 12:00")},
        {**one, "fill": one["fill"]._replace(quick=True)},
        {name: answer for name, answer in one.items() if name != "fill"},
        {name: answer._replace(run="") for name, answer in one.items()},
        {**one, "carry": result()},
    ):
        monkeypatch.setattr(tables, "load", lambda results=results: results)
        with pytest.raises(ValueError, match="stays as it is"):
            tables.publish()
    assert PAGE.read_text() == before


# -- growth --


def test_a_power_has_its_exponent_and_no_error() -> None:
    growth = Growth.of([10, 100, 1_000], [2.0 * size**0.5 for size in (10, 100, 1_000)])
    assert growth == pytest.approx((0.5, 0.0, 0.5), abs=1e-9)
    assert str(growth) == "N^0.50 ± 0.00"


def test_the_standard_error_is_that_of_the_textbook() -> None:
    # Slope 1 through three points, the middle one off by d = 0.3: the residuals are -d/3, 2d/3, -d/3, so that
    # SSR = 6 d^2 / 9; with Sxx = 2 (in decades) and one degree of freedom the error is sqrt(0.06 / 2).
    growth = Growth.of([1, 10, 100], [1, 10 * 10**0.3, 100])
    assert growth.exponent == pytest.approx(1.0)
    assert growth.error == pytest.approx(math.sqrt(0.03))
    assert growth.last == pytest.approx(0.7)


def test_a_constant_and_a_linear_part_show_themselves() -> None:
    growth = Growth.of([100, 1_000, 10_000, 100_000], [1 + size / 10_000 for size in (100, 1_000, 10_000, 100_000)])
    assert growth.error > 0.1, "it is no power"
    assert growth.exponent < 0.5 < growth.last < 1.0


# -- tables --


def test_a_target_is_shown_with_its_ratio_at_the_worst_size() -> None:
    rows = [
        Row("fill", "s", exact(ours=ours, floor=1.0), [Target(3.0, "floor"), Target(0.5, "nobody")], size)
        for size, ours in ((10, 2.0), (100, 6.0), (1_000, 1.5))
    ]
    (_, floor, nobody) = tables.targets({"fill": result(*rows)})
    assert floor == ["fill", "fill, N = 100", "at most 3 times floor", "6 times", "2", "**MISSED**"]
    assert nobody[3:] == ["not measured", "–", "unknown"]


def test_a_peer_is_shown_in_the_best_of_its_ways_at_the_worst_size() -> None:
    ways = {OURS: 2.0, "kazoo, slow": 100.0, "kazoo, fast": 6.0, "Curator": 1.0, "floor": 0.1}
    fill = Row("fill", "s", {way: Figure.of([value]) for way, value in ways.items()}, [Target(1, "Curator")], 10)
    more = Row("fill", "s", exact(ours=2.0, kazoo=20.0), size=100)
    none = Row("reads", "requests", exact(ours=0.0, kazoo=4.0))
    results = {"fill": result(fill, more, none)}
    assert tables.peers(results)[1:] == [
        ["fill", "fill, s", "3 x", "–", "**0.5 x**"],
        ["fill", "reads, requests", "∞ x", "–", "–"],
    ]
    assert tables.targets(results)[1:] == [], "those to be ahead of the peers are in their own table"


def test_the_model_is_the_sum_of_its_terms() -> None:
    costs = carry.Costs(write=100e-6, event=10e-6, read=40e-6, ping=20e-6)
    assert costs.change(1_000) == pytest.approx(100e-6 + 1_000 * 50e-6)
    assert costs.load(2.0, 1_000, 3_000) == pytest.approx(2 * (100e-6 + 1_000 * 30e-6) + 3_000 * 0.3 * 20e-6)


def test_a_sheet_as_markdown() -> None:
    assert tables.markdown([["", "ours"], ["fill", "1 s"]]) == "|  | ours |\n| --- | --- |\n| fill | 1 s |"
