"""Several runs side by side: one column a run, one row a figure, the fastest named last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import numpy as np

from emulator.result import UnitUse
from programs.kernel import Arrays
from tools import advice
from tools.jobs import Job, KernelJob, Request, open_job
from tools.page import clip_start, heading, indent, paragraph, sections, table
from tools.problem import Problem
from tools.report import shape_text
from tools.runreport import RunReport
from tools.text import count, figures, hertz, seconds, size, tenths

SCHEMA = 1
START = "Cycle 0: inputs of an LPU are in its SRAM, those of an NPU in HBM and its L2 is cold."
WARM = "Cycle 0: inputs are in HBM, and in L2 as if they had been read once."
_COLUMN = 24  # so that four fit on a page


def same_shape(requests: Sequence[Request]) -> list[Request]:
    """The requests with the first one's parameters where another default would differ."""
    jobs = [open_job(request) for request in requests]
    wanted = jobs[0].shape
    found = []
    for job, request in zip(jobs, requests, strict=True):
        if job.title == jobs[0].title and isinstance(job, KernelJob):
            differing = {k: wanted[k] for k, v in job.shape.items() if wanted.get(k, v) != v}
            request = replace(request, settings={**differing, **request.settings})
        found.append(request)
    return found


def same_tensors(jobs: Sequence[Job]) -> None:
    """`Problem` unless all jobs take the same numbers under the names that they share."""
    first: Arrays = jobs[0].arrays
    for job in jobs[1:]:
        for name, array in job.arrays.items():
            if name in first and not np.array_equal(first[name], array):
                raise Problem(
                    f"{job.title} on {job.chip.name} takes another {name} than"
                    f" {jobs[0].title} on {jobs[0].chip.name}",
                    help="give the shape of both with --set, or the tensors with --in",
                )


def comparison_page(reports: Sequence[RunReport]) -> list[Any]:
    """The page of ``presil compare``."""
    names = _names(reports)
    rows = [[title, *(figure(report) for report in reports)] for title, figure in FIGURES]
    rows = [row for row in rows if any(row[1:])]
    title, shape = _title(reports)
    return sections(
        [heading(title), *([paragraph(shape)] if shape else [])],
        [table(["", *names], indent(rows))],
        _account(reports, names),
        [paragraph(text, "") for text in _remarks(reports, names)],
    )


def to_json(reports: Sequence[RunReport]) -> dict[str, Any]:
    """``{"schema": 1, "runs": [...]}``, every run as ``presil run --json`` writes it."""
    return {
        "schema": SCHEMA,
        "runs": [r.record().model_dump(mode="json", by_alias=True) for r in reports],
    }


# ---- figures, each of one report -----------------------------------------------------------------


def _time(report: RunReport) -> str:
    return seconds(report.time_s)


def _launch(report: RunReport) -> str:
    return seconds(report.result.launch_s) if report.result.launch_s else ""


def _best(report: RunReport) -> str:
    best = advice.best_case(report.result)
    return f"{report.cycles / best:.2f}x above it" if best else ""


def _used(report: RunReport) -> str:
    """Share of the peak of what bounds the run."""
    return f"{100 * max(report.result.speed_of_light.values(), default=0.0):.1f} %"


def _moved(level: str) -> Callable[[RunReport], str]:
    def text(report: RunReport) -> str:
        use = report.memory.get(level)
        return "" if use is None else size(use.read_bytes + use.write_bytes)

    return text


def _error(report: RunReport) -> str:
    item = report.accuracy
    if item is None:
        return ""
    if item.exact is not None:
        return "all equal" if item.exact else "NOT equal"
    return "not finite" if item.max_abs is None else figures(item.max_abs)


def _ratio(report: RunReport) -> str:
    item = report.accuracy
    if item is None or item.ratio_to_naive is None:
        return ""
    return f"{item.ratio_to_naive:.2f}x {'ok' if item.within else 'TOO FAR'}"


def _sqnr(report: RunReport) -> str:
    item = report.accuracy
    return "" if item is None or item.sqnr_db is None else f"{item.sqnr_db:.1f} dB"


LEVELS = ("hbm", "l2", "l1", "l0", "ub", "sram", "stream")
FIGURES: tuple[tuple[str, Callable[[RunReport], str]], ...] = (
    ("format", lambda r: r.dtype or ""),
    ("cycles", lambda r: count(r.cycles)),
    ("clock", lambda r: hertz(r.result.clock_hz)),
    ("time", _time),
    ("of it task launch", _launch),
    ("bound by", lambda r: r.result.bound),
    ("to its best case", _best),
    ("peak used", _used),
    *((f"bytes {level}", _moved(level)) for level in LEVELS),
    ("max error", _error),
    ("error / naive", _ratio),
    ("SQNR", _sqnr),
)


def _account(reports: Sequence[RunReport], names: Sequence[str]) -> list[Any]:
    """Where the cycles of each run's critical unit went, in percent."""
    units = [advice.critical_unit(report.result) for report in reports]
    accounts = [shares(unit, r.cycles) for unit, r in zip(units, reports, strict=True)]
    reasons = list(dict.fromkeys(reason for account in accounts for reason in account))
    reasons.sort(key=lambda reason: (reason != "busy", reason == "idle"))
    rows = [["of", *("" if unit is None else unit.name for unit in units)]]
    rows += [
        [reason, *(f"{a[reason]:.1f}" if reason in a else "" for a in accounts)]
        for reason in reasons
    ]
    return [table(["Cycles in %", *names], indent(rows))] if reasons else []


def shares(unit: UnitUse | None, cycles: int) -> dict[str, float]:
    """Share of each reason in a unit's cycles, in percent with one decimal; they sum to 100.0."""
    if unit is None:
        return {}
    lost = {"busy": unit.busy, **unit.waits, "idle": unit.idle}
    parts = dict(zip(lost, tenths(list(lost.values()), cycles * unit.count), strict=True))
    return {name: share for name, share in parts.items() if share or name in ("busy", "idle")}


# ---- titles --------------------------------------------------------------------------------------


def _title(reports: Sequence[RunReport]) -> tuple[str, str]:
    """What all have in common: the heading, and the parameters below it."""
    kernels = list(dict.fromkeys(report.kernel for report in reports))
    data = list(dict.fromkeys(report.data for report in reports))
    shapes = [dict(report.shape) for report in reports]
    common = {k: v for k, v in shapes[0].items() if all(s.get(k) == v for s in shapes)}
    return "  ".join([*kernels, *data]), shape_text(common)


def _names(reports: Sequence[RunReport]) -> list[str]:
    """A column's head: what tells it from the others, chip or kernel or both."""
    chips, kernels = ({getattr(r, which) for r in reports} for which in ("chip", "kernel"))
    heads = []
    for report in reports:
        parts = [PurePath(report.kernel).name] if len(kernels) > 1 else []
        parts += [report.chip] if len(chips) > 1 or not parts else []
        heads.append(clip_start(" ".join(parts), _COLUMN))
    return heads


def _remarks(reports: Sequence[RunReport], names: Sequence[str]) -> list[str]:
    """Who wins; and where only some machines have an HBM, where their inputs were."""
    mixed = len({"hbm" in report.memory for report in reports}) > 1
    start = WARM if any(report.warm_l2 for report in reports) else START if mixed else ""
    return [text for text in (_verdict(reports, names), start) if text]


def _verdict(reports: Sequence[RunReport], names: Sequence[str]) -> str:
    order = sorted(range(len(reports)), key=lambda i: (reports[i].time_s, i))
    first, *rest = order
    fastest = reports[first].time_s
    others = [f"{reports[i].time_s / fastest:.2f}x as fast as {names[i]}" for i in rest]
    return f"{names[first]} is {', '.join(others)}." if fastest else ""
