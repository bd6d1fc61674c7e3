"""One kernel in several formats: a row of errors for each, against one float64 reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from rich.console import RenderableType

from programs.kernel import Encoded
from tools.accuracy import LIMIT, MARE_LIMIT, MERE_LIMIT, RMSE_LIMIT, Accuracy, errors_of
from tools.jobs import KernelJob, Request, adds, open_job, read_accumulation
from tools.page import WIDTH, heading, indent, paragraph, plain, sections, table
from tools.problem import Problem
from tools.runreport import RunReport
from tools.session import Stage, execute_job, silent
from tools.text import count, figures

SCHEMA = 1


class AccuracyRow(BaseModel):
    """One combination of format and choices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str = Field(description="operand format")
    accumulate: str | None = Field(
        description="the model of accumulation that was asked for; null: the chip's own way"
    )
    cycles: int = Field(description="cycles of the run")
    scale: str = Field(description="how operands were scaled before they were rounded")
    scales: dict[str, float | list[float]] = Field(
        description="scale of each input that was quantised with one, or all of them"
    )
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
                        "accumulate": row.report.accumulate,
                        "cycles": row.report.cycles,
                        "scale": row.report.scale,
                        "scales": row.report.plain_scales(),
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


def collect(
    request: Request,
    dtypes: Sequence[str] = (),
    models: Sequence[str] = (),
    scales: Sequence[str] = (),
    stage: Stage = silent,
) -> AccuracyTable:
    """Run the kernel of a request in every combination and compare.

    Without formats all that the kernel takes, without models of accumulation the chip's way,
    without scales the format's default. What does not go together (int32 and floats, ceil and e4m3)
    makes no row.
    """
    first = _open(replace(request, dtype=dtypes[0] if dtypes else None))
    requests = [
        replace(request, dtype=dtype, accumulate=model, scale=scale, check=True, mode="full")
        for dtype in dtypes or first.granted
        for model in _applicable(models, [t for t in models if adds(read_accumulation(t), dtype)])
        for scale in _applicable(scales, [s for s in scales if s in first.kernel.scales(dtype)])
    ]
    for ask in requests:
        _open(ask)  # what is wrong is said before the first run
    rows = [_row(ask, first, stage) for ask in requests]
    return AccuracyTable(
        first.title, first.chip.name, first.shape, first.data, request.seed, tuple(rows)
    )


def _applicable(names: Sequence[str], fitting: Sequence[str]) -> Sequence[str | None]:
    """The names that go with a format; the first, which opening refuses, if none does."""
    return fitting or names[:1] or [None]


def _open(request: Request) -> KernelJob:
    job = open_job(request)
    if isinstance(job, KernelJob):
        return job
    raise Problem(f"{job.title} has no reference to be compared with; accuracy takes kernels")


def _row(request: Request, first: KernelJob, stage: Stage) -> Row:
    job = _open(request)
    job.yardsticks = first.yardsticks
    label = " ".join(word for word in (job.dtype, request.accumulate, request.scale) if word)
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
    cells = {head: [_cell(field, row) for row in rows] for head, field in used.items()}
    return _tables(title, [row.label for row in rows], cells)


def _tables(
    title: str, labels: Sequence[str], columns: Mapping[str, Sequence[str]]
) -> list[RenderableType]:
    """One table, or where the page is too narrow for it several with the same labels."""
    room = WIDTH - max(len(title), *(2 + len(label) for label in labels))
    widths = {h: 2 + max(len(h), *(len(cell) for cell in cells)) for h, cells in columns.items()}
    parts = 1
    while parts < len(widths) and any(
        sum(widths[head] for head in group) > room for group in _parted(list(widths), parts)
    ):
        parts += 1
    groups = _parted(list(widths), parts)
    return [
        table(
            ["" if i else title, *group],
            indent(
                [label, *(columns[head][k] for head in group)] for k, label in enumerate(labels)
            ),
        )
        for i, group in enumerate(groups)
    ]


def _parted(names: list[str], parts: int) -> list[list[str]]:
    """Names in so many groups of nearly the same number.

    >>> _parted(list("abcde"), 2)
    [['a', 'b', 'c'], ['d', 'e']]
    """
    size = -(-len(names) // parts)
    return [names[i : i + size] for i in range(0, len(names), size)]


def _cell(field: str, row: Row) -> str:
    value = getattr(row.accuracy, field)
    if value is None:
        exact = field == "sqnr_db" and row.accuracy.max_abs == 0
        return "no error" if exact else "not finite" if row.accuracy.nonfinite else "-"
    if isinstance(value, int):
        return count(value)
    if field == "sqnr_db":
        return f"{value:.1f}"
    if field in ("max_ulp", "mean_ulp") and value >= 1e6:
        return f"{value:.3e}"
    return f"{value:.7f}" if field == "cosine" else figures(value)


def _rules(rows: Sequence[Row]) -> list[RenderableType]:
    """The verdicts: measures over those of the naive run, or equality of integers."""
    lines: list[RenderableType] = []
    whole = [row for row in rows if row.accuracy.exact is not None]
    judged = [row for row in rows if row.accuracy.naive_max_abs is not None and row not in whole]
    if judged:
        columns = {head: [cell(row.accuracy) for row in judged] for head, cell in VERDICTS.items()}
        lines += [*_tables("Over naive", [row.label for row in judged], columns), paragraph(RULES)]
    if whole:
        cells = [[row.label, _yes(row.accuracy.exact)] for row in whole]
        lines.append(table(["Integers", "every one equal"], indent(cells)))
    return lines


RULES = (
    f"FlashAttention: max <= {LIMIT:g}x naive. CATLASS: MARE <= {MARE_LIMIT:g}x,"
    f" MERE <= {MERE_LIMIT:g}x, RMSE <= {RMSE_LIMIT:g}x naive."
)


VERDICTS: dict[str, Callable[[Accuracy], str]] = {
    "naive max": lambda a: figures(a.naive_max_abs or 0.0),
    "max": lambda a: _times(a.ratio_to_naive),
    "FlashAttention": lambda a: _yes(a.within),
    "MARE": lambda a: _times(a.mare_ratio),
    "MERE": lambda a: _times(a.mere_ratio),
    "RMSE": lambda a: _times(a.rmse_ratio),
    "CATLASS": lambda a: _yes(a.catlass),
}


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def _yes(verdict: bool | None) -> str:
    return "-" if verdict is None else "yes" if verdict else "no"
