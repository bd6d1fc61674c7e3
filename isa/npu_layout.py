"""How the NPU's rows lay out their words: fields in order from bit 8 up, without gaps."""

from __future__ import annotations

from dataclasses import replace

from isa.fields import WORD_BITS, Field

CONDITIONS = {"eq": 0, "ne": 1, "lt": 2, "le": 3, "gt": 4, "ge": 5, "ltu": 6, "geu": 7}


def packed(*fields: Field) -> tuple[Field, ...]:
    """The fields one after another behind the opcode."""
    at = 8
    placed = []
    for f in fields:
        placed.append(replace(f, lo=at))
        at += f.width
    if at > WORD_BITS:
        raise ValueError(f"{', '.join(f.name for f in fields)} take {at} bits")
    return tuple(placed)
