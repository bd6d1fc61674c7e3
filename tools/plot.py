"""Pictures of an accuracy table, by matplotlib, which is loaded only here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.files import atomic, check_writable
from tools.problem import Problem

if TYPE_CHECKING:
    from tools.accuracytable import AccuracyTable

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
    check_plot(path)
    import matplotlib

    # The same table gives the same bytes: no date, no random ids.
    matplotlib.rcParams["svg.hashsalt"] = "presil"
    height = 3.2 + 0.28 * len(found.rows)
    figure = _figure_class()(figsize=(11, height), layout="constrained")
    figure.suptitle(f"{found.kernel}  {found.chip}  {found.data}", fontsize=11)
    left, right = figure.subplots(1, 2)
    _bars(left, found)
    _histogram(right, found)
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
