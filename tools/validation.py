"""Predictions held against measurements by others, row by row.

A row of a table (`tools.published`) becomes a timing-only run; what was measured of it becomes one
`Comparison` each. Errors of totals are relative; those of a unit's time are points of the run, so
that a small share of a long run cannot look large. Measures by which a chip value was chosen are
kept apart: the others are the score.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from emulator.chip import ChipError
from programs.kernel import KernelError
from tools.jobs import Request
from tools.problem import Problem, suggestion
from tools.published import TOTALS, Row
from tools.runreport import RunReport
from tools.session import Stage, execute, silent
from tools.units import own_time

SCHEMA = 1


class Effect(BaseModel):
    """What raising one chip value does to one row's first total (`tools.sensitivity`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    where: str = Field(description="table and line")
    measure: str = Field(description="the total that changed")
    key: str = Field(description="the chip value, as for --with")
    status: str = Field(description="published, derived, calibrated or assumed")
    value: str = Field(description="its value")
    raised: str = Field(description="the value that it was raised to")
    elasticity: float = Field(
        description="change of the total in % for each % by which the value was raised"
    )


class Comparison(BaseModel):
    """One measured figure and its prediction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    where: str = Field(description="table and line")
    kernel: str = Field(description="kernel name")
    chip: str = Field(description="chip name")
    dtype: str | None = Field(description="operand format; null: the kernel's default")
    settings: dict[str, str] = Field(description="kernel parameters of the row")
    measure: str = Field(description="cycles, chain_cycles, time_us, UNIT_us or UNIT_share")
    predicted: float = Field(description="by the emulator, in the measure's unit")
    published: float = Field(description="by the table, in the measure's unit")
    error: float = Field(
        description="totals: predicted / published - 1; units: difference of the shares of the run"
    )
    calibrated: bool = Field(description="a value of the chip file was chosen by this figure")
    own_choice: float | None = Field(
        description="the prediction where the builder chooses what the row gives (tile, blocks)"
    )


class Summary(BaseModel):
    """A group of comparisons."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: Literal["calibrated", "not calibrated"] = Field(description="which of them")
    kind: Literal["totals", "units"] = Field(description="whole runs, or units in them")
    count: int = Field(description="how many")
    median: float = Field(description="median of the absolute errors")
    worst: float = Field(description="the error that is largest in size")
    weighted: float = Field(
        description="mean absolute error weighted by the published time; of units, the plain mean"
    )


class Validation(BaseModel):
    """Every comparison of the tables, and summaries."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal[1] = Field(alias="schema", default=1, description="version of this format")
    rows: list[Comparison] = Field(description="in the order of the tables")
    summary: list[Summary] = Field(description="calibrated figures apart from the others")
    effects: list[Effect] | None = Field(
        default=None, description="with --sensitivity: what moves each row most, strongest first"
    )

    def to_json(self) -> str:
        """One JSON document."""
        return self.model_dump_json(by_alias=True, indent=2)

    def __repr__(self) -> str:
        from tools.page import plain
        from tools.validationpage import page

        return plain(page(self))


@dataclass(frozen=True)
class Timed:
    """What runs of one row took, the mean of them where the row asks for several."""

    cycles: float
    time_s: float
    figures: Mapping[str, float]  # other measures by name


def choose(rows: Sequence[Row], chip: str | None, kernel: str | None) -> list[Row]:
    """The rows of one chip and one kernel; `Problem` names those that there are."""
    for option, wanted, known in (
        ("--chip", chip, {row.chip for row in rows}),
        ("--kernel", kernel, {row.kernel for row in rows}),
    ):
        if wanted is not None and wanted not in known:
            what = option.removeprefix("--") + "s"
            raise Problem(f"{option} {wanted}: no row has it",
                          help=suggestion(wanted, sorted(known), what))  # fmt: skip
    return [
        row for row in rows
        if chip in (None, row.chip) and kernel in (None, row.kernel)
    ]  # fmt: skip


def validate(
    rows: Iterable[Row], overrides: Mapping[str, str] | None = None, stage: Stage = silent
) -> Validation:
    """Run every row and compare."""
    found: list[Comparison] = []
    for row in rows:
        stage(row.where)
        try:
            timed = run(row, overrides)
            free = _without_choices(row)
            own = None if free is None else run(free, overrides)
        except (ChipError, KernelError, Problem) as error:
            text = error.text if isinstance(error, Problem) else str(error)
            raise Problem(text, where=row.where, help=getattr(error, "help", "")) from None
        found += _compare(row, timed, own)
    return Validation(rows=found, summary=list(_summaries(found)))


def run(row: Row, overrides: Mapping[str, str] | None = None) -> Timed:
    """The row's runs; timing only, unless the kernel itself has to measure."""
    mode = "full" if "chain_cycles" in row.measures else "timing"
    names = list(row.settings)
    reports = [
        execute(Request(
            target=row.kernel, chip=row.chip, dtype=row.dtype,
            settings=dict(zip(names, values, strict=True)), overrides=overrides or {},
            mode=mode, check=False,
        ))
        for values in itertools.product(*row.settings.values())
    ]  # fmt: skip
    timed = [_timed(report, row) for report in reports]
    return Timed(
        statistics.fmean(t.cycles for t in timed),
        statistics.fmean(t.time_s for t in timed),
        {name: statistics.fmean(t.figures[name] for t in timed) for name in timed[0].figures},
    )


def _timed(report: RunReport, row: Row) -> Timed:
    return Timed(
        report.cycles, report.time_s,
        {name: _figure(report, name, row) for name in row.measures},
    )  # fmt: skip


def _figure(report: RunReport, measure: str, row: Row) -> float:
    """What the report says of a measure, in its unit."""
    if measure == "cycles":
        return report.cycles
    if measure == "time_us":
        return report.time_s * 1e6
    if measure == "chain_cycles":
        if measure not in report.measured:
            raise Problem(f"{row.kernel} does not count {measure}")
        return report.measured[measure]
    unit, _, kind = measure.rpartition("_")
    try:
        seconds = own_time(report.result, unit)
    except KeyError as error:
        raise Problem(str(error.args[0])) from None
    return seconds * 1e6 if kind == "us" else seconds / report.time_s


def _without_choices(row: Row) -> Row | None:
    """The row with the builder's own choices, None where it gives none of them."""
    from programs.registry import find
    from tools.machines import load_chip

    kernel = find(row.kernel, load_chip(row.chip).chip_class)
    free = {k: v for k, v in row.settings.items() if k not in kernel.choices}
    return replace(row, settings=free) if len(free) < len(row.settings) else None


def _compare(row: Row, timed: Timed, own: Timed | None) -> Iterator[Comparison]:
    for measure, published in row.measures.items():
        predicted = timed.figures[measure]
        yield Comparison(
            where=row.where, kernel=row.kernel, chip=row.chip, dtype=row.dtype,
            settings={name: "|".join(values) for name, values in row.settings.items()},
            measure=measure, predicted=predicted, published=published,
            error=_error(row, timed, measure, predicted, published),
            calibrated=measure in row.calibrated,
            own_choice=None if own is None else own.figures[measure],
        )  # fmt: skip


def _error(row: Row, timed: Timed, measure: str, predicted: float, published: float) -> float:
    if measure in TOTALS:
        return predicted / published - 1
    if measure.endswith("_share"):
        return predicted - published
    return predicted / (timed.time_s * 1e6) - published / row.measures["time_us"]


def _summaries(found: Sequence[Comparison]) -> Iterator[Summary]:
    for group in ("not calibrated", "calibrated"):
        for kind in ("totals", "units"):
            members = [
                c for c in found
                if c.calibrated == (group == "calibrated")
                and (c.measure in TOTALS) == (kind == "totals")
            ]  # fmt: skip
            if members:
                yield _summary(group, kind, members)


def _summary(group: Any, kind: Any, members: Sequence[Comparison]) -> Summary:
    sizes = [abs(c.error) for c in members]
    weights = [_time(c) if kind == "totals" else 1.0 for c in members]
    return Summary(
        group=group, kind=kind, count=len(members), median=statistics.median(sizes),
        worst=max(members, key=lambda c: abs(c.error)).error,
        weighted=sum(w * s for w, s in zip(weights, sizes, strict=True)) / sum(weights),
    )  # fmt: skip


def _time(item: Comparison) -> float:
    """Published seconds of a total."""
    from tools.machines import load_chip

    if item.measure == "time_us":
        return item.published / 1e6
    return item.published / float(load_chip(item.chip).clock)
