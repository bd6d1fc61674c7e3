"""One kernel in several formats: a row of errors for each, against one float64 reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from rich.console import RenderableType

from programs.kernel import Encoded
from tools.accuracy import LIMIT, MARE_LIMIT, MERE_LIMIT, RMSE_LIMIT, Accuracy, errors_of
from tools.jobs import KernelJob, Request, open_job
from tools.page import heading, indent, paragraph, plain, sections, table
from tools.problem import Problem
from tools.runreport import RunReport
from tools.session import Stage, execute_job, silent
from tools.text import count, figures

SCHEMA = 1


class AccuracyRow(BaseModel):
    """One combination of format and choices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str = Field(description="operand format")
    cycles: int = Field(description="cycles of the run")
    scales: dict[str, float] = Field(description="scale of each input that was quantised with one")
    accuracy: Accuracy = Field(description="its errors")


class AccuracyRecord(BaseModel):
    """What `presil accuracy` found: one kernel and its inputs, a row for every combination."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal[1] = Field(alias="schema", description="version of this format")
    kernel: str = Field(description="kernel name")
    chip: str = Field(description="chip name")
    shape: dict[str, int] = Field(description="kernel parameters")
    data: str = Field(description="where the inputs came from")
    seed: int = Field(description="seed of the default inputs")
    rows: list[AccuracyRow] = Field(description="in the order of the command")


@dataclass(frozen=True)
class Row:
    """One combination: its label on the page, its run, its signed errors as a flat array."""

    label: str
    report: RunReport
    accuracy: Accuracy
    errors: NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class AccuracyTable:
    """Errors of one kernel in several formats. Its text is the page of ``presil accuracy``."""

    kernel: str
    chip: str
    shape: Mapping[str, Any]
    data: str
    seed: int
    rows: tuple[Row, ...]

    def record(self) -> AccuracyRecord:
        """The table as the JSON schema's object."""
        return AccuracyRecord.model_validate(
            {
                "schema": SCHEMA,
                "kernel": self.kernel,
                "chip": self.chip,
                "shape": dict(self.shape),
                "data": self.data,
                "seed": self.seed,
                "rows": [
                    {
                        "dtype": row.report.dtype,
                        "cycles": row.report.cycles,
                        "scales": dict(row.report.scales),
                        "accuracy": row.accuracy,
                    }
                    for row in self.rows
                ],
            }
        )

    def to_json(self, indent: int | None = 2) -> str:
        """The table as one JSON document (schema 1, docs/json.md)."""
        return self.record().model_dump_json(by_alias=True, indent=indent)

    def plot(self, path: str) -> None:
        """Draw errors by format and a histogram of them into a .png or .svg file."""
        from tools.plot import accuracy_plot

        accuracy_plot(self, path)

    def __repr__(self) -> str:
        return plain(page(self))

    def _repr_html_(self) -> str:
        from tools.html import accuracy_html

        return accuracy_html(self)


def collect(request: Request, dtypes: Sequence[str], stage: Stage = silent) -> AccuracyTable:
    """Run the kernel of a request in every format (none given: all that it takes) and compare."""
    first = _open(replace(request, dtype=dtypes[0] if dtypes else None))
    requests = [replace(request, dtype=d, check=True, mode="full") for d in dtypes or first.granted]
    for ask in requests:
        _open(ask)  # what is wrong is said before the first run
    rows = [_row(ask, first, stage) for ask in requests]
    return AccuracyTable(
        first.title, first.chip.name, first.shape, first.data, request.seed, tuple(rows)
    )


def _open(request: Request) -> KernelJob:
    job = open_job(request)
    if isinstance(job, KernelJob):
        return job
    raise Problem(f"{job.title} has no reference to be compared with; accuracy takes kernels")


def _row(request: Request, first: KernelJob, stage: Stage) -> Row:
    job = _open(request)
    job.yardsticks = first.yardsticks
    label = str(job.dtype)
    report = execute_job(job, request, lambda text: stage(f"{label}, {text}"))
    accuracy = report.accuracy
    if accuracy is None:
        raise Problem(f"{job.title} has no float64 reference for its outputs")
    name = accuracy.output
    scale = job.kernel.accuracy_scale(str(job.dtype), Encoded({}, report.scales)).get(name, 1.0)
    reference = job.yardsticks.of(job).reference[name]
    found = errors_of(name, report.outputs[name], reference, scale)
    return Row(label, report, accuracy, found.signed.reshape(-1))


# ---- the page ------------------------------------------------------------------------------------


def page(found: AccuracyTable) -> list[Any]:
    """Errors, likeness and rules, a row per combination in each."""
    title = "  ".join([found.kernel, found.chip, found.data, "against float64"])
    shape = "  ".join(f"{name}={value}" for name, value in found.shape.items())
    return sections(
        [heading(title), paragraph(shape)],
        _block("Errors", ERRORS, found.rows),
        _block("Likeness", LIKENESS, found.rows),
        _rules(found.rows),
    )


# Heading -> field of `Accuracy`; a column is left out where no row has a value.
ERRORS = {
    "max": "max_abs", "mean": "mean_abs", "RMSE": "rmse", "bias": "bias", "max rel": "max_rel",
    "max ulp": "max_ulp", "mean ulp": "mean_ulp",
}  # fmt: skip
LIKENESS = {
    "SQNR dB": "sqnr_db", "cosine": "cosine", "calc_diff": "calc_diff", "saturated": "saturated",
    "NaN, Inf": "nonfinite", "softmax KL": "softmax_kl", "|row sum - 1|": "row_sum_error",
}  # fmt: skip


def _block(title: str, columns: Mapping[str, str], rows: Sequence[Row]) -> list[RenderableType]:
    used = {
        head: field
        for head, field in columns.items()
        if any(getattr(row.accuracy, field) is not None for row in rows)
    }
    lines = [[row.label, *(_cell(field, row) for field in used.values())] for row in rows]
    return [table([title, *used], indent(lines))]


def _cell(field: str, row: Row) -> str:
    value = getattr(row.accuracy, field)
    if value is None:
        exact = field == "sqnr_db" and row.accuracy.max_abs == 0
        return "no error" if exact else "not finite" if row.accuracy.nonfinite else "-"
    if isinstance(value, int):
        return count(value)
    if field == "sqnr_db":
        return f"{value:.1f}"
    return f"{value:.7f}" if field == "cosine" else figures(value)


def _rules(rows: Sequence[Row]) -> list[RenderableType]:
    """The verdicts: measures over those of the naive run, or equality of integers."""
    lines: list[RenderableType] = []
    whole = [row for row in rows if row.accuracy.exact is not None]
    judged = [row for row in rows if row.accuracy.naive_max_abs is not None and row not in whole]
    if judged:
        head = ["Over naive", "naive max", "max", "FlashAttention", "MARE", "MERE", "RMSE",
                "CATLASS"]  # fmt: skip
        cells = [
            [row.label, figures(a.naive_max_abs or 0.0), _times(a.ratio_to_naive), _yes(a.within),
             _times(a.mare_ratio), _times(a.mere_ratio), _times(a.rmse_ratio), _yes(a.catlass)]
            for row in judged for a in [row.accuracy]
        ]  # fmt: skip
        lines += [table(head, indent(cells)), paragraph(RULES)]
    if whole:
        cells = [[row.label, _yes(row.accuracy.exact)] for row in whole]
        lines.append(table(["Integers", "every one equal"], indent(cells)))
    return lines


RULES = (
    f"FlashAttention: max <= {LIMIT:g}x naive. CATLASS: MARE <= {MARE_LIMIT:g}x,"
    f" MERE <= {MERE_LIMIT:g}x, RMSE <= {RMSE_LIMIT:g}x naive."
)


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def _yes(verdict: bool | None) -> str:
    return "-" if verdict is None else "yes" if verdict else "no"
