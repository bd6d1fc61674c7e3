"""How fast text becomes a program: ``python benchmarks/assembler.py [SOURCE...] [--json FILE|-]``.

Sources of every kind are made (`sources.py`), assembled, and timed by CPU time, the best of
several. Beside lines per second stands the time as a multiple of
``[line.split() for line in text.splitlines()]`` over the same text in the same process, which makes
figures of different computers comparable. For some sources the rest of the way is timed as well:
writing and reading the object file, disassembly, and what a machine does with a program before its
first cycle.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from sources import SOURCES, Source

from isa.asm import assemble
from isa.disasm import disassemble
from isa.elf import read_elf, write_elf
from isa.program import Program
from tools.machines import load_chip

REST = (
    "disasm_lines_per_s", "write_words_per_s", "read_words_per_s", "prepare_words_per_s",
)  # fmt: skip


def best(action: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """The least CPU seconds of several runs, and what the last of them gave."""
    seconds, result = float("inf"), None
    for _ in range(repeat):
        result = None
        gc.collect()
        gc.disable()  # else what is measured is how much garbage others have left
        start = time.process_time()
        result = action()
        seconds = min(seconds, time.process_time() - start)
        gc.enable()
    return seconds, result


def measure(source: Source, lines: int, repeat: int) -> dict[str, Any]:
    """All figures of one source."""
    text = source.text(lines)
    split_s, _ = best(lambda: [line.split() for line in text.splitlines()], repeat)
    chip = cache(load_chip)
    asm_s, program = best(lambda: assemble(text, "source.s", load_chip=chip), repeat + 1)
    words = sum(len(section) for section in program.sections)
    count = words if source.expands else text.count("\n")
    found = {
        "name": source.name, "lines": count, "words": words, "asm_s": asm_s,
        "lines_per_s": count / asm_s, "ratio_split": asm_s / split_s,
    }  # fmt: skip
    if not source.whole:
        return found
    return {**found, **_rest(program, repeat)}


def _rest(program: Program, repeat: int) -> dict[str, Any]:
    """What else is done with a program, in words per second."""
    words = sum(len(section) for section in program.sections)
    write_s, data = best(lambda: write_elf(program), repeat)
    read_s, _ = best(lambda: read_elf(data), repeat)
    print_s, text = best(lambda: disassemble(program), repeat)
    chip = load_chip(program.chip)
    prepare = import_module(f"emulator.{program.isa}.prepare").prepare
    prepare_s, prepared = best(lambda: prepare(program, chip), repeat)
    if prepared.faults:
        raise SystemExit(f"a source that no chip takes: {prepared.faults[0].message}")
    return {
        "write_words_per_s": words / write_s,
        "read_words_per_s": words / read_s,
        "prepare_words_per_s": words / prepare_s,
        "disasm_lines_per_s": text.count("\n") / print_s,
    }


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    rest = [f"{row[key] / 1e3:9,.0f}" if key in row else " " * 9 for key in REST]
    return (
        f"{row['name']:26}{row['lines']:>9,} {row['lines_per_s'] / 1e3:9,.0f}"
        f" {row['ratio_split']:7.1f} {''.join(rest)}".rstrip()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="only those so named")
    parser.add_argument("--lines", type=int, default=100_000, help="length of a source; 100,000")
    parser.add_argument("--repeat", type=int, default=3, help="take the best of so many runs; 3")
    parser.add_argument("--json", metavar="FILE|-", help="write JSON, to FILE beside the table")
    chosen = parser.parse_args()
    quiet = chosen.json == "-"
    if not quiet:
        print(f"{'':26}{'':9} {'klines/s':>9} {'':7} {'klines/s':>9}{'kwords/s':>27}")
        print(f"{'source':26}{'lines':>9} {'asm':>9} {'x split':>7} "
              f"{'disasm':>9}{'write':>9}{'read':>9}{'prepare':>9}")  # fmt: skip
    found = []
    for source in SOURCES:
        if chosen.sources and not any(word in source.name for word in chosen.sources):
            continue
        found.append(measure(source, chosen.lines, chosen.repeat))
        if not quiet:
            print(line(found[-1]), flush=True)
    text = json.dumps({"schema": 1, "runs": found}, indent=2)
    if quiet:
        print(text)
    elif chosen.json:
        Path(chosen.json).write_text(text + "\n")


if __name__ == "__main__":
    main()
