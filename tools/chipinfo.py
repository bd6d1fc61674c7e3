"""A chip file as rows for people (key, value, unit, status, source) and as docs/chips.md."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.chip import chip_path, provenance, read_tables
from tools.machines import load_chip, runnable_chips
from tools.text import hertz, size

STATUSES = ("published", "derived", "calibrated", "assumed")
_NAMES = ("class", "name", "title")  # what a chip is called needs no source


@dataclass(frozen=True)
class Entry:
    """One value of a chip file; `heading` says what the counts of its table count."""

    table: str
    heading: str
    key: str
    value: str
    unit: str
    status: str
    source: str

    @property
    def path(self) -> str:
        return f"{self.table}.{self.key}" if self.table else self.key


def entries(name: str) -> list[Entry]:
    """Every value of a chip, in the order of its files."""
    comments, headings = provenance(name), _headings(name)
    found = []
    for table, key, value in _walk(read_tables(name)):
        path = f"{table}.{key}" if table else key
        if path not in _NAMES:
            status, _, source = comments.get(path, "").partition(":")
            text, unit = _value(value)
            heading = headings.get(table, "")
            found.append(Entry(table, heading, key, text, unit, status, source.strip()))
    return found


def _walk(tables: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    for key, value in tables.items():
        if isinstance(value, dict):
            yield from _walk(value, f"{prefix}.{key}" if prefix else key)
        else:
            yield prefix, key, value


def _value(value: Any) -> tuple[str, str]:
    """Text and unit; a quantity such as "900 MHz" carries its own."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([-+0-9.eE]+)\s+(\S+)\s*", value)
        return (match[1], match[2]) if match else (value, "")
    if isinstance(value, list):
        return " ".join(map(str, value)), ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}", ""
    return str(value), ""


def _files(name: str) -> list[Path]:
    """The files of a chip along ``extends``, the farthest base first."""
    path = chip_path(name)
    base = tomllib.loads(path.read_text()).get("extends")
    return [*(_files(base) if base else ()), path]


def _headings(name: str) -> dict[str, str]:
    """Table -> the comment beside its heading."""
    found = {}
    for path in _files(name):
        for match in re.finditer(r"^\s*\[([^\]]+)\]\s*#\s*(.+?)\s*$", path.read_text(), re.M):
            found[match[1]] = match[2]
    return found


def sources(name: str) -> list[str]:
    """The comment at the head of each file of a chip, which spells the sources out."""
    found = []
    for path in _files(name):
        lines = []
        for line in path.read_text().splitlines():
            if not line.startswith("#"):
                break
            lines.append(line.lstrip("# ").strip())
        found.append(f"{path.stem}: {' '.join(lines)}")
    return found


def overview(name: str) -> dict[str, Any]:
    """The line of a chip in the list of chips, as plain data."""
    chip = load_chip(name)
    own = tomllib.loads(chip_path(name).read_text())
    return {
        "name": chip.name,
        "class": chip.chip_class,
        "title": chip.title,
        "clock_hz": chip.clock,
        "extends": own.get("extends"),
        "formats": list(chip.mxm.modes if chip.chip_class == "lpu" else chip.dtypes),
        "sram_bytes": chip.sram_bytes if chip.chip_class == "lpu" else None,
        "hbm_bytes": None if chip.chip_class == "lpu" else int(chip.hbm.capacity),
    }


def overview_rows() -> list[list[str]]:
    """Name, class, clock, memory that tensors lie in, what it is."""
    rows = []
    for name in runnable_chips():
        chip = overview(name)
        sram, hbm = chip["sram_bytes"], chip["hbm_bytes"]
        memory = f"{size(hbm)} HBM" if sram is None else f"{size(sram)} SRAM"
        rows.append([chip["name"], chip["class"], hertz(chip["clock_hz"]), memory, chip["title"]])
    return rows


def status_counts(found: list[Entry]) -> str:
    """``12 published, 5 derived, 20 assumed``."""
    return ", ".join(f"{sum(e.status == s for e in found)} {s}" for s in STATUSES)


def markdown() -> str:
    """The generated part of docs/chips.md."""
    lines = ["| chip | class | clock | memory | |", "|---|---|---|---|---|"]
    lines += [f"| `{row[0]}` | {' | '.join(row[1:])} |" for row in overview_rows()]
    for name in runnable_chips():
        found = entries(name)
        lines += ["", f"## {name}", "", f"{status_counts(found)}."]
        lines += [f"- {text}" for text in sources(name)]
        lines += ["", "| key | value | unit | status | source |", "|---|---|---|---|---|"]
        for e in found:
            cells = (f"`{e.path}`", e.value, e.unit or e.heading, e.status, e.source)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
