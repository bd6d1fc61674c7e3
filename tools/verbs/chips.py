"""``presil chips``: the machines, and every number of one with its source."""

from __future__ import annotations

from dataclasses import asdict
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import click

from tools.options import json_option

if TYPE_CHECKING:
    from tools.chipinfo import Entry

VALUE_WIDTH = 20


@click.command(short_help="List the chips, or every value of one.")
@click.argument("name", required=False)
@json_option
def chips(name: str | None, json_to: str | None) -> None:
    """List the chips, or every value of chip NAME with its unit, status and source.

    The status is published, derived (arithmetic on published figures), calibrated (chosen so that a
    published measurement comes out better) or assumed.
    """
    from tools import chipinfo
    from tools.machines import runnable_chips
    from tools.verbs.output import put_json

    if name is None:
        if json_to is not None:
            listed = [chipinfo.overview(n) for n in runnable_chips()]
            put_json({"schema": 1, "chips": listed}, json_to)
        if json_to != "-":
            _show_list(chipinfo.overview_rows())
        return
    found = chipinfo.entries(name)
    if json_to is not None:
        values = [asdict(entry) for entry in found]
        put_json({"schema": 1, **chipinfo.overview(name), "values": values}, json_to)
    if json_to != "-":
        _show_one(chipinfo.overview(name), found)


def _show_list(rows: list[list[str]]) -> None:
    from tools.page import indent, show, table

    head = ["Chips", "class", "clock", "memory", ""]
    show([table(head, indent(rows), left=(0, 1, 4)), "",
          "presil chips NAME shows every value of one with its source."])  # fmt: skip


def _show_one(chip: dict[str, Any], found: list[Entry]) -> None:
    """Values by table, as in the file; the heading of a table says what its counts count."""
    from tools.chipinfo import sources, status_counts
    from tools.page import heading, indent, paragraph, show, table

    rows: list[list[str]] = []
    group = ""
    for e in found:
        if e.table != group:
            group = e.table
            rows.append([f"[{group}]", "", "", e.heading])
        value = "\n".join(wrap(f"{e.value} {e.unit}".strip(), VALUE_WIDTH))
        rows.append([f"  {e.key}" if group else e.key, value, e.status, e.source])
    base = f", extends {chip['extends']}" if chip["extends"] else ""
    show(
        [
            heading(f"{chip['name']}  {chip['title']}{base}"),
            f"  {len(found)} values: {status_counts(found)}",
            "",
            table(["Key", "value", "status", "source"], indent(rows), left=(0, 2, 3)),
            "",
            *(paragraph(text, "") for text in sources(chip["name"])),
        ]
    )
