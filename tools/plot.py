"""Pictures of accuracy and validation tables, by matplotlib, which is loaded only here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.files import atomic, check_writable
from tools.problem import Problem
from tools.published import TOTALS

if TYPE_CHECKING:
    from tools.accuracytable import AccuracyTable
    from tools.validation import Validation

SUFFIXES = (".png", ".svg")
BINS_PER_DECADE = 8
# What a row of bars shows: field of `Accuracy`, name, and how far below the last it is drawn.
BARS = (("max_abs", "max"), ("rmse", "RMSE"), ("mean_abs", "mean"))


def check_plot(path: str) -> None:
    """Refuse before a long run what could not be drawn after it."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise Problem(f"--plot: '{path}' ends in neither .png nor .svg")
    check_writable("--plot", path)
    _figure_class()


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise Problem(
            "--plot: drawing needs the package matplotlib", help="pip install 'presil[plot]'"
        ) from None
    return Figure


def accuracy_plot(found: AccuracyTable, path: str) -> None:
    """Errors by format as bars, and the histogram of each row's errors, on logarithmic axes."""
    figure = _figure(3.2 + 0.28 * len(found.rows))
    figure.suptitle(f"{found.kernel}  {found.chip}  {found.data}", fontsize=11)
    left, right = figure.subplots(1, 2)
    _bars(left, found)
    _histogram(right, found)
    _save(figure, path)


def validation_plot(found: Validation, path: str) -> None:
    """Predicted against published totals on logarithmic axes, and the error of every figure."""
    figure = _figure(3.6 + 0.2 * len(found.rows))
    left, right = figure.subplots(1, 2)
    totals = [item for item in found.rows if item.measure in TOTALS]
    for name, color in (("not calibrated", "tab:blue"), ("calibrated", "tab:gray")):
        chosen = [item for item in totals if item.calibrated == (name == "calibrated")]
        x, y = ([getattr(item, which) for item in chosen] for which in ("published", "predicted"))
        left.scatter(x, y, label=name, color=color)
    ends = [item.published for item in totals]
    if ends:
        left.plot([min(ends), max(ends)], [min(ends), max(ends)], color="black", linewidth=0.8)
        left.set(xscale="log", yscale="log")
        _round_ticks(left)
        left.legend()
    left.set(xlabel="published, cycles or us", ylabel="predicted")
    left.grid(alpha=0.3)
    at = np.arange(len(found.rows))
    colors = ["tab:gray" if item.calibrated else "tab:blue" for item in found.rows]
    right.barh(at, [100 * item.error for item in found.rows], color=colors)
    right.set_yticks(at, [f"{i.kernel} {i.where.split(':')[-1]} {i.measure}" for i in found.rows])
    right.invert_yaxis()
    right.set_xlabel("error in %, of units in points of the run")
    right.grid(axis="x", alpha=0.3)
    _save(figure, path)


def _round_ticks(axes: Any) -> None:
    """1, 2 and 5 of every decade, written out, whatever the range."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axis.set_minor_formatter(NullFormatter())


def _figure(height: float) -> Any:
    return _figure_class()(figsize=(11, height), layout="constrained")


def _save(figure: Any, path: str) -> None:
    """The same figure gives the same bytes: no date, no random ids."""
    check_plot(path)
    import matplotlib

    matplotlib.rcParams["svg.hashsalt"] = "presil"
    suffix = Path(path).suffix.lower()[1:]
    metadata = {"Date": None} if suffix == "svg" else {"Software": None}
    with atomic(path) as file:
        figure.savefig(file, format=suffix, dpi=150, metadata=metadata)


def _bars(axes: Any, found: AccuracyTable) -> None:
    labels = [row.label for row in found.rows]
    at = np.arange(len(labels))
    size = 0.8 / len(BARS)
    for i, (field, name) in enumerate(BARS):
        values = [getattr(row.accuracy, field) or np.nan for row in found.rows]
        axes.barh(at + (i - 1) * size, values, size, label=name)
    axes.set_yticks(at, labels)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("absolute error against float64")
    axes.grid(axis="x", alpha=0.3)
    axes.legend()


def _histogram(axes: Any, found: AccuracyTable) -> None:
    errors = [np.abs(row.errors) for row in found.rows]
    usable = [e[(e > 0) & np.isfinite(e)] for e in errors]
    ends = [(e.min(), e.max()) for e in usable if e.size]
    axes.set_xlabel("absolute error of an element")
    axes.set_ylabel("share of elements")
    if not ends:
        return
    top = np.ceil(np.log10(max(high for _, high in ends)))
    bottom = max(np.floor(np.log10(min(low for low, _ in ends))), top - 10)
    bins = np.logspace(bottom, top, int((top - bottom) * BINS_PER_DECADE) + 1)
    for row, e, all_of in zip(found.rows, usable, errors, strict=True):
        counts, _ = np.histogram(e, bins)
        axes.stairs(counts / max(1, all_of.size), bins, label=row.label)
    axes.set_xscale("log")
    axes.grid(alpha=0.3)
    axes.legend()
