"""The page of ``presil validate``, and its picture."""

from __future__ import annotations

import textwrap
from itertools import zip_longest
from typing import Any

from rich.console import RenderableType

from tools.page import indent, sections, table
from tools.published import TOTALS
from tools.text import figures
from tools.validation import Comparison, Summary, Validation

SETTING_WIDTH = 30


def page(found: Validation) -> list[Any]:
    """A table for each kernel and chip, then the summaries."""
    groups: dict[tuple[str, str], dict[str, list[Comparison]]] = {}
    for item in found.rows:
        groups.setdefault((item.kernel, item.chip), {}).setdefault(item.where, []).append(item)
    tables = [_table("  ".join(title), list(rows.values())) for title, rows in groups.items()]
    return sections(*tables, _summaries(found.summary), _effects(found))


def _table(title: str, rows: list[list[Comparison]]) -> list[RenderableType]:
    own = any(item.own_choice is not None for row in rows for item in row)
    head = [title, "measure", "predicted", "published", "error", *["own choice"] * own, ""]
    lines: list[list[str]] = []
    for row in rows:
        setting = textwrap.wrap(_setting(row[0]), SETTING_WIDTH)
        for text, item in zip_longest(setting, row):
            lines.append([text or "", *(_cells(item, own) if item else [""] * (len(head) - 1))])
    return [table(head, indent(lines), left=(0, 1, len(head) - 1))]


def _cells(item: Comparison, own: bool) -> list[str]:
    cells = [item.measure, _value(item, item.predicted), _value(item, item.published),
             _error(item.error, item.measure in TOTALS)]  # fmt: skip
    if own:
        cells.append("" if item.own_choice is None else _value(item, item.own_choice))
    return [*cells, "calibrated" if item.calibrated else ""]


def _setting(item: Comparison) -> str:
    """Sizes first, as m x n x k or rows x cols; a mean over values says so."""
    left, parts = dict(item.settings), [item.dtype] if item.dtype else []
    for names in (("m", "n", "k"), ("rows", "cols")):
        if all(name in left for name in names):
            parts.append("x".join(left.pop(name) for name in names))
    return " ".join([*parts, *(f"{k}={'mean' if '|' in v else v}" for k, v in left.items())])


def _value(item: Comparison, value: float) -> str:
    if item.measure.endswith("_share"):
        return f"{100 * value:.1f} %"
    unit = " us" if item.measure.endswith("_us") else ""
    return f"{figures(value)}{unit}" if unit else f"{value:,.0f}"


def _error(error: float, relative: bool) -> str:
    return f"{100 * error:+.1f} {'%' if relative else 'pt'}"


def _summaries(summaries: list[Summary]) -> list[RenderableType]:
    rows = [
        [
            f"{s.kind}, {s.group}", str(s.count), _error(s.median, s.kind == "totals")[1:],
            _error(s.weighted, s.kind == "totals")[1:], _error(s.worst, s.kind == "totals"),
        ]
        for s in summaries
    ]  # fmt: skip
    head = ["Absolute errors", "figures", "median", "weighted mean", "worst"]
    return [table(head, indent(rows))] if rows else []


def _effects(found: Validation) -> list[RenderableType]:
    """The rows again, each with what moves it most."""
    if found.effects is None:
        return []
    names = {item.where: f"{item.kernel} {_setting(item)}" for item in found.rows}
    lines: list[list[str]] = []
    for where, name in names.items():
        own = [effect for effect in found.effects if effect.where == where]
        for text, effect in zip_longest(textwrap.wrap(name, SETTING_WIDTH), own):
            cells = [""] * 4
            if effect is not None:
                cells = [effect.key, effect.value, f"{effect.elasticity:+.3f} %", effect.status]
            lines.append([text or "", *cells])
    head = ["What moves a row most", "1 % more of", "now", "gives", ""]
    return [table(head, indent(lines), left=(0, 1, 4))]
