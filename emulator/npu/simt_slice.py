"""Which words of a SIMT function timing depends on: those that make an address, a predicate of a
branch, or a guard. Timing-only runs compute the values of these and of no others.

A backward analysis over the function's flow: an entry of the scoreboard is *demanded* at a word if
some path from there uses its value for one of these before writing it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from isa.npu_fields import Guard, Reg
from isa.table import Instruction


class Touched(Protocol):
    """Scoreboard entries that a word reads and writes."""

    @property
    def reads(self) -> tuple[int, ...]: ...
    @property
    def writes(self) -> tuple[int, ...]: ...


QS = 8


def _guarded(instruction: Instruction) -> bool:
    return "when" in instruction.row.by_name and instruction["when"] is not None


def _bits(entries: Iterable[int]) -> int:
    """A set of scoreboard entries as a number."""
    return sum(1 << entry for entry in set(entries))


def successors(instructions: Sequence[Instruction], word: int) -> list[int]:
    """Words that may run after this one in some thread of its warp."""
    instruction = instructions[word]
    name = instruction.name
    after: list[int] = []
    if name == "tbra":
        after = [int(instruction["target"])]
    if name not in ("tbra", "texit") or _guarded(instruction):
        after.append(word + 1)
    return [w for w in after if w < len(instructions)]


def roots(instruction: Instruction) -> set[int]:
    """Entries whose value decides what the word touches, or which threads do."""
    found: set[int] = set()
    if "when" in instruction.row.by_name and isinstance(instruction["when"], Guard):
        found.add(instruction["when"].index)
    if "index" in instruction.row.by_name and "space" in instruction.row.by_name:
        index = instruction["index"]
        if isinstance(index, Reg):
            found.add(QS + index.index)
    return found


def demanded(
    instructions: Sequence[Instruction], touched: Sequence[Touched]
) -> tuple[list[bool], bool]:
    """Per word whether timing needs its result; and whether that includes something loaded."""
    count = len(instructions)
    # Sets of entries as the bits of a number.
    after = [successors(instructions, word) for word in range(count)]
    decisive = [_bits(roots(instruction)) for instruction in instructions]
    reads = [_bits(t.reads) for t in touched]
    writes = [_bits(t.writes) for t in touched]
    kept = [-1 if _guarded(i) else ~w for i, w in zip(instructions, writes, strict=True)]
    live = [0] * (count + 1)
    needed = [False] * count
    changed = True
    while changed:
        changed = False
        for word in range(count - 1, -1, -1):
            behind = 0
            for w in after[word]:
                behind |= live[w]
            before = behind & kept[word] | decisive[word]
            if behind & writes[word]:
                before |= reads[word]
                if not needed[word]:
                    needed[word] = changed = True
            if before != live[word]:
                live[word], changed = before, True
    loads = ("tld", "tatom")
    data = any(n and i.name in loads for n, i in zip(needed, instructions, strict=True))
    return needed, data
