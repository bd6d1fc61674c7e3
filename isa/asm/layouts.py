"""The keys that say where a tensor lies, read into an `isa.program.Layout` and checked."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

from isa.asm.source import Piece, split
from isa.fields import near
from isa.program import Digit, Layout

if TYPE_CHECKING:
    from isa.asm.assembler import Assembler
    from isa.asm.directives import Statement
    from isa.asm.target import MachineInfo

PLACE_KEYS = {
    "at": "`SLICE:ADDRESS`: the last axis in lanes, in tiles of all lanes; byte planes in "
          "consecutive slices outward from SLICE; vectors in row-major order at consecutive "
          "addresses. Stands for all keys below. (NPU: `ADDRESS`, a byte of global memory; the "
          "other keys are the LPU's)",
    "slices": "`[w0, w2:w5, ...]`: the slices that the other keys count along",
    "base": "the address that the digits count from (0)",
    "lane": "`AXIS/DIV%MOD*REPEAT`: element i lies in lane ((i // DIV) % MOD) * REPEAT and the "
            "REPEAT - 1 lanes after it; DIV and REPEAT are 1 if not given, MOD the rest of the "
            "axis; `none`: in every lane",
    "digit": "`AXIS/DIV%MOD:sSTEP:aSTEP`: each unit of (i // DIV) % MOD moves so many slices "
             "and so many addresses; may be given again",
    "plane": "slices from one byte of an element to the next (1)",
}  # fmt: skip

_SLICE = re.compile(r"([A-Za-z_]+)([0-9]{1,6})")
_DIGIT = re.compile(r"([^/%:]+)(?:/([^%:]+))?(?:%([^:]+))?((?::[sa][^:]+)*)")
_LANE = re.compile(r"([^/%*]+)(?:/([^%*]+))?(?:%([^*]+))?(?:\*(.+))?")
MOST = (1 << 40) - 1
MOST_SLICES = 1 << 16


def layout_of(
    asm: Assembler,
    shape: tuple[int, ...],
    element_bytes: int,
    keys: list[tuple[str, Piece]],
    statement: Statement,
) -> Layout:
    """The layout that the keys of a ``.tensor`` or ``.place`` describe."""
    given = dict(keys)
    if "at" in given:
        others = [piece for key, piece in keys if key != "at"]
        if others:
            raise others[0].fault("'at=' says it all; leave the other keys out", "A070")
        if asm.target.flat:
            return Layout((), asm.integer(given["at"], "an address", 0, MOST), (), None)
        return _shorthand(asm, shape, element_bytes, given["at"])
    if asm.target.flat:
        raise statement.fault("write it as 'at=ADDRESS'", "A070")
    for key in ("slices", "lane"):
        if key not in given:
            raise statement.fault(f"{key}= is missing (or give at=SLICE:ADDRESS)", "A070")
    axis, div, mod, repeat = _lane(asm, shape, given["lane"])
    return Layout(
        slices=_slices(given["slices"]),
        base=asm.integer(given["base"], "base", 0, MOST) if "base" in given else 0,
        digits=tuple(_digit(asm, shape, piece) for key, piece in keys if key == "digit"),
        lane_axis=axis,
        lane_div=div,
        lane_mod=mod,
        lane_repeat=repeat,
        plane=asm.integer(given["plane"], "plane", -MOST, MOST) if "plane" in given else 1,
    )


def _shorthand(asm: Assembler, shape: tuple[int, ...], element_bytes: int, piece: Piece) -> Layout:
    """``at=w0:0x10``."""
    name, colon, address = piece.text.partition(":")
    match = _SLICE.fullmatch(name.strip())
    if not colon or not match:
        raise piece.fault(f"write it as 'at=w0:0x10', not 'at={piece.text}'", "A070")
    base = asm.integer(Piece(address.strip(), piece.at + len(name) + 1), "an address", 0, MOST)
    lanes = getattr(asm.target.info, "lanes", None)
    if not isinstance(lanes, int):
        help = "name a chip with .chip, or give slices=, base=, lane= and digit="
        raise piece.fault("'at=' needs the chip's number of lanes", "A070", help=help)
    first = int(match[2])
    slices = tuple(f"{match[1]}{first + i}" for i in range(element_bytes))
    if not shape:
        return Layout(slices, base, (), None)
    tiles = -(-shape[-1] // lanes)
    digits = []
    step = tiles
    for axis in range(len(shape) - 2, -1, -1):
        if shape[axis] > 1:
            digits.append(Digit(axis, 1, shape[axis], addr=step))
        step *= shape[axis]
    if tiles > 1:
        digits.append(Digit(len(shape) - 1, lanes, tiles, addr=1))
    return Layout(slices, base, tuple(digits), len(shape) - 1, lane_mod=min(lanes, shape[-1]))


def _slices(piece: Piece) -> tuple[str, ...]:
    if not (piece.text.startswith("[") and piece.text.endswith("]") and len(piece.text) > 2):
        raise piece.fault(f"slices is a list such as [w0, w2:w5], not '{piece.text}'", "A070")
    names: list[str] = []
    for part in split(piece.text[1:-1], piece.at + 1):
        ends = [end.strip() for end in part.text.split(":")]
        matches = [_SLICE.fullmatch(end) for end in ends]
        first, last = matches[0], matches[-1]
        if len(ends) > 2 or not first or not last or first[1] != last[1]:
            raise part.fault(f"a slice is w0, a range w0:w3; not '{part.text}'", "A070")
        a, b = int(first[2]), int(last[2])
        if abs(a - b) + len(names) >= MOST_SLICES:
            raise part.fault("too many slices", "A070")
        names += [f"{first[1]}{i}" for i in (range(a, b + 1) if a <= b else range(a, b - 1, -1))]
    return tuple(names)


def _axis(asm: Assembler, shape: tuple[int, ...], piece: Piece) -> int:
    if not shape:
        raise piece.fault("a tensor without axes has no axis to count along", "A070")
    return asm.integer(piece, "an axis", 0, len(shape) - 1)


def _group(match: re.Match[str], group: int, piece: Piece) -> Piece | None:
    if match[group] is None:
        return None
    text = match[group]
    return Piece(text.strip(), piece.at + match.start(group) + len(text) - len(text.lstrip()))


def _rest_of_axis(shape: tuple[int, ...], axis: int, div: int) -> int:
    return -(-shape[axis] // div)


def _lane(asm: Assembler, shape: tuple[int, ...], piece: Piece) -> tuple[int | None, int, int, int]:
    match = _LANE.fullmatch(piece.text)
    first = _group(match, 1, piece) if match else None
    if match is None or first is None:
        raise piece.fault(f"lane is AXIS/DIV%MOD*REPEAT or none, not '{piece.text}'", "A070")
    axis = None if first.text == "none" else _axis(asm, shape, first)
    numbers = []
    for group, what in ((2, "DIV"), (3, "MOD"), (4, "REPEAT")):
        part = _group(match, group, piece)
        numbers.append(None if part is None else asm.integer(part, what, 1, MOST))
    div = numbers[0] or 1
    mod = numbers[1] or (1 if axis is None else _rest_of_axis(shape, axis, div))
    return axis, div, mod, numbers[2] or 1


def _digit(asm: Assembler, shape: tuple[int, ...], piece: Piece) -> Digit:
    match = _DIGIT.fullmatch(piece.text)
    first = _group(match, 1, piece) if match else None
    if match is None or first is None:
        raise piece.fault(f"a digit is AXIS/DIV%MOD:sSTEP:aSTEP, not '{piece.text}'", "A070")
    axis = _axis(asm, shape, first)
    div_piece, mod_piece = _group(match, 2, piece), _group(match, 3, piece)
    div = 1 if div_piece is None else asm.integer(div_piece, "DIV", 1, MOST)
    mod = (
        _rest_of_axis(shape, axis, div)
        if mod_piece is None
        else asm.integer(mod_piece, "MOD", 1, MOST)
    )
    steps = {"s": 0, "a": 0}
    at = piece.at + match.start(4)
    for part in match[4].split(":")[1:]:
        steps[part[0]] = asm.integer(Piece(part[1:].strip(), at + 2), "a step", -MOST, MOST)
        at += len(part) + 1
    return Digit(axis, div, mod, slice=steps["s"], addr=steps["a"])


# ---- checks --------------------------------------------------------------------------------------


def _reach(shape: tuple[int, ...], digits: tuple[Digit, ...], attribute: str) -> tuple[int, int]:
    """The least and the greatest sum of the digits' steps over all elements."""
    low = high = 0
    for axis, group in itertools.groupby(
        sorted(digits, key=lambda d: d.axis), key=lambda d: d.axis
    ):
        moving = [(d.div, d.mod, getattr(d, attribute)) for d in group if getattr(d, attribute)]
        if not moving:
            continue
        if len(moving) == 1:
            div, mod, step = moving[0]
            ends = (0, step * (min(mod, _rest_of_axis(shape, axis, div)) - 1))
        elif shape[axis] <= 1 << 16:
            # Digits of one axis depend on each other, so only trying says how far they reach.
            sums = [
                sum(i // div % mod * step for div, mod, step in moving) for i in range(shape[axis])
            ]
            ends = (min(sums), max(sums))
        else:
            continue
        low += min(ends)
        high += max(ends)
    return low, high


def check_layout(
    info: MachineInfo | None, shape: tuple[int, ...], element_bytes: int, layout: Layout
) -> str:
    """What is wrong with a layout, or nothing; the chip's limits count if it is known."""
    low, high = _reach(shape, layout.digits, "slice")
    planes = (element_bytes - 1) * layout.plane
    low, high = low + min(0, planes), high + max(0, planes)
    if low < 0 or high >= len(layout.slices):
        where = low if low < 0 else high
        return f"reaches slice {where} of a list of {len(layout.slices)}"
    least, most = _reach(shape, layout.digits, "addr")
    if layout.base + least < 0:
        return f"reaches address {layout.base + least}"
    return _check_chip(info, layout, layout.base + most)


def _check_chip(info: Any, layout: Layout, highest: int) -> str:
    if info is None:
        return ""
    slices = {queue.split(".")[1] for queue in info.queues if queue.startswith("mem.")}
    for name in layout.slices:
        if slices and name not in slices:
            hint = near(name, slices)
            return f"lies in '{name}', a slice that {info.name} does not have; {hint}".rstrip("; ")
    words = getattr(getattr(info, "mem", None), "words", None)
    if isinstance(words, int) and highest >= words:
        return f"reaches address {highest:,}; a slice of {info.name} has {words:,}"
    lanes = getattr(info, "lanes", None)
    if isinstance(lanes, int) and layout.lane_axis is not None:
        used = layout.lane_mod * layout.lane_repeat
        if used > lanes:
            return f"takes {used} lanes; {info.name} has {lanes}"
    return ""
