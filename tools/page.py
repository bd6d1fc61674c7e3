"""Pages of text: sections of aligned tables, at most 100 columns, plain ASCII in a pipe.

A page is made of rich renderables; a terminal shows them with colour, a pipe, a file and
``repr`` get the same words without.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

WIDTH = 100


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: Iterable[int] = (0,)) -> Table:
    """A table without lines; the columns in `left` are text, the others right-aligned figures.

    The first heading is the section's title. The last column is wrapped where the page ends.
    """
    textual = set(left)
    grid = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_header=any(head)
    )
    for i, name in enumerate(head):
        grid.add_column(
            Text(name),
            justify="left" if i in textual else "right",
            no_wrap=i < len(head) - 1 or i not in textual,
            overflow="fold",
        )
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    return grid


def indent(rows: Iterable[Sequence[str]]) -> list[list[str]]:
    """Rows that stand two spaces in from their section's title."""
    return [["  " + row[0], *row[1:]] for row in rows]


def heading(text: str) -> Text:
    return Text(text, style="bold")


def paragraph(text: str, hang: str = "  ") -> Text:
    """Running text, wrapped to the page with every line indented."""
    import textwrap

    return Text(
        textwrap.fill(text, WIDTH, initial_indent=hang, subsequent_indent=hang,
                      break_long_words=False, break_on_hyphens=False)
    )  # fmt: skip


def clip(text: str, width: int) -> str:
    """
    >>> clip("mm.bf16 s0.e, 12", 10)
    'mm.bf16...'
    """
    return text if len(text) <= width else text[: width - 3].rstrip() + "..."


def clip_start(text: str, width: int) -> str:
    """
    >>> clip_start("programs/lpu/add.s:12", 12)
    '...add.s:12'
    """
    return text if len(text) <= width else "..." + text[len(text) - width + 3 :].lstrip("/")


def plain(parts: Iterable[RenderableType]) -> str:
    """The page as plain text, without trailing spaces."""
    buffer = io.StringIO()
    _print(Console(file=buffer, width=WIDTH, color_system=None, force_terminal=False,
                   legacy_windows=False), parts)  # fmt: skip
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    return "\n".join(lines).rstrip("\n")


def show(parts: Iterable[RenderableType]) -> None:
    """The page on stdout: styled on a terminal, plain elsewhere."""
    page = list(parts)
    if sys.stdout.isatty():
        console = Console(highlight=False)
        _print(Console(highlight=False, width=min(WIDTH, max(console.width, 60))), page)
    else:
        sys.stdout.write(plain(page) + "\n")


def _print(console: Console, parts: Iterable[RenderableType]) -> None:
    for part in parts:
        console.print(part, markup=False, highlight=False, soft_wrap=isinstance(part, Text))


def sections(*groups: Sequence[RenderableType]) -> list[Any]:
    """Sections one below the other, an empty line between those that have content."""
    page: list[RenderableType] = []
    for group in groups:
        if group:
            page += [Text(""), *group] if page else group
    return page
