"""Measurements by others, and how a table of them is read.

A table is a CSV file. Lines that begin with ``#`` are comments; then comes a line of column names:

    kernel, chip   what to run, and on which chip
    dtype          operand format; empty: the kernel's default
    NAME           a kernel parameter; empty: its default; ``a|b|c``: the mean over these values
    cycles, chain_cycles, time_us          what was measured; time includes the task launch
    UNIT_us, UNIT_share                    time of a unit of the report, such as cube.mte2_us: its
                                           busy time and its own waits for memory
    calibrated     measures of the row that a value of the chip file was chosen by
    probe          parameters of a shorter run that stands for the row in --sensitivity, seq=4096

Cells left empty were not measured.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.files import decode_text, read_bytes
from tools.problem import ProgramFault, diagnostic

DIRECTORY = Path(__file__).parent
_NAMES = ("kernel", "chip", "dtype", "calibrated", "probe")
TOTALS = ("cycles", "chain_cycles", "time_us")


@dataclass(frozen=True)
class Row:
    """One measured run. `settings` hold one text a parameter, or several to take the mean over."""

    where: str  # file:line
    kernel: str
    chip: str
    dtype: str | None
    settings: Mapping[str, tuple[str, ...]]
    measures: Mapping[str, float]
    calibrated: frozenset[str]
    probe: Mapping[str, tuple[str, ...]]


def shipped() -> list[Path]:
    """The tables that come with Presil."""
    return sorted(DIRECTORY.glob("*.csv"))


def read_table(path: str | Path) -> list[Row]:
    """The rows of a table; `ProgramFault` with every error of the file."""
    text = decode_text(str(path), read_bytes(str(path)))
    lines = [(i, line) for i, line in enumerate(text.splitlines(), 1)
             if line.strip() and not line.startswith("#")]  # fmt: skip
    reader = csv.reader(io.StringIO("\n".join(line for _, line in lines)), skipinitialspace=True)
    cells = [[cell.strip() for cell in row] for row in reader]
    name = Path(path).name if Path(path).parent == DIRECTORY else str(path)
    if not cells:
        raise ProgramFault(diagnostic(name, "error", "no line of column names"))
    head, faults, rows = cells[0], _head_faults(f"{name}:{lines[0][0]}", cells[0]), []
    for (number, _), values in zip(lines[1:], cells[1:], strict=True):
        where = f"{name}:{number}"
        if len(values) != len(head):
            text = f"{len(values)} cells under {len(head)} column names"
            faults.append(diagnostic(where, "error", text))
        elif not faults:
            rows.append(_row(where, dict(zip(head, values, strict=True)), faults))
    if faults:
        raise ProgramFault("\n".join(faults))
    return [row for row in rows if row is not None]


def _head_faults(where: str, head: Sequence[str]) -> list[str]:
    faults = [f"no column '{name}'" for name in ("kernel", "chip") if name not in head]
    faults += [f"two columns '{name}'" for name in dict.fromkeys(head) if head.count(name) > 1]
    if not any(is_measure(name) for name in head):
        faults.append("no measured column, such as cycles or time_us")
    return [diagnostic(where, "error", text) for text in faults]


def is_measure(name: str) -> bool:
    """Whether a column is something measured; parameters have no dot in their names."""
    return name in TOTALS or ("." in name and name.endswith(("_us", "_share")))


def _row(where: str, cells: Mapping[str, str], faults: list[str]) -> Row | None:
    measures: dict[str, float] = {}
    for name, cell in cells.items():
        if not is_measure(name) or not cell:
            continue
        try:
            measures[name] = float(cell)
        except ValueError:
            measures[name] = 0.0
        if not measures[name] > 0:
            faults.append(diagnostic(where, "error", f"{name} is a positive number, not '{cell}'"))
    calibrated = frozenset(cells.get("calibrated", "").split())
    for name in sorted(calibrated - set(measures)):
        faults.append(diagnostic(where, "error", f"calibrated names '{name}', which has no value"))
    for name in measures:
        if name.endswith("_us") and name not in TOTALS and "time_us" not in measures:
            text = f"{name} is judged as a share of time_us, which has no value"
            faults.append(diagnostic(where, "error", text))
    probe = [part.partition("=") for part in cells.get("probe", "").split()]
    if any(not value for _, _, value in probe):
        faults.append(diagnostic(where, "error", "probe is name=value, such as seq=4096"))
    for name in ("kernel", "chip"):
        if not cells[name]:
            faults.append(diagnostic(where, "error", f"no {name}"))
    return Row(
        where=where,
        kernel=cells["kernel"],
        chip=cells["chip"],
        dtype=cells.get("dtype") or None,
        settings=dict(_settings(cells)),
        measures=measures,
        calibrated=calibrated,
        probe={name: (value,) for name, _, value in probe},
    )


def _settings(cells: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, cell in cells.items():
        if name not in _NAMES and not is_measure(name) and cell:
            yield name, tuple(part.strip() for part in cell.split("|"))
