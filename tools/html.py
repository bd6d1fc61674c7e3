"""Results as static HTML tables for notebooks: no script, no external resource."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from tools import advice
from tools.runreport import RunReport
from tools.text import count, figures, hertz, seconds

if TYPE_CHECKING:
    from tools.accuracytable import AccuracyTable

_RIGHT = ' style="text-align:right"'


def _row(cells: Iterable[str], tag: str = "td") -> str:
    parts = [f"<{tag}{_RIGHT if i else ''}>{escape(cell)}</{tag}>" for i, cell in enumerate(cells)]
    return f"<tr>{''.join(parts)}</tr>"


def run_html(report: RunReport) -> str:
    """Summary, units and accuracy as rows of one table."""
    result = report.result
    title = "  ".join(part for part in (report.kernel, report.chip, report.dtype) if part)
    rows = [
        _row(["cycles", count(result.cycles), ""]),
        _row(["time", seconds(result.time_s), f"at {hertz(result.clock_hz)}"]),
        _row(["bound by", result.bound, advice.explanation(result)[1]]),
        _row(["unit", "busy cycles", "%"], "th"),
    ]
    for unit in report.units:
        share = 100 * unit.busy / max(1, result.cycles * unit.count)
        rows.append(_row([unit.name, count(unit.busy), f"{share:.1f}"]))
    if report.accuracy is not None:
        rows.append(_row([f"accuracy of {report.accuracy.output}", "", ""], "th"))
        rows += [
            _row([name, figures(value), ""])
            for name, value in (
                ("max error", report.accuracy.max_abs),
                ("naive max error", report.accuracy.naive_max_abs),
                ("SQNR in dB", report.accuracy.sqnr_db),
            )
            if value is not None
        ]
    return f"<table><caption>{escape(title)}</caption>{''.join(rows)}</table>"


def accuracy_html(found: AccuracyTable) -> str:
    """The main measures and verdicts, a row per combination."""
    head = ["", "max error", "RMSE", "SQNR in dB", "max / naive", "FlashAttention", "CATLASS"]
    rows = []
    for row in found.rows:
        a = row.accuracy
        numbers = ["" if n is None else figures(n) for n in
                   (a.max_abs, a.rmse, a.sqnr_db, a.ratio_to_naive)]  # fmt: skip
        verdicts = ["" if v is None else "yes" if v else "no" for v in (a.within, a.catlass)]
        rows.append([row.label, *numbers, *verdicts])
    return table_html("  ".join((found.kernel, found.chip, found.data)), head, rows)


def table_html(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a heading row."""
    body = "".join([_row(head, "th"), *(_row(row) for row in rows)])
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    return f"<table>{caption}{body}</table>"
