"""A program: encoded words per section, tensors with their places, and what each operand expects.

An assembler or a builder produces it, an object file keeps it, a machine runs it. Nothing in it
depends on tensor values, so one program serves many inputs.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from isa.fields import WORD_BYTES
from isa.table import BYTES_OF

ROLES = ("in", "out", "const", "scratch")


@dataclass(frozen=True)
class Digit:
    """One digit of a vector's mixed-radix place: ``(index[axis] // div) % mod``.

    Each unit of it moves `slice` positions along the layout's slices and `addr` words.
    """

    axis: int
    div: int
    mod: int
    slice: int = 0
    addr: int = 0


@dataclass(frozen=True)
class Layout:
    """Where a tensor lies in SRAM.

    Element ``index`` lies in lane ``((index[lane_axis] // lane_div) % lane_mod) * lane_repeat``
    (and the ``lane_repeat - 1`` lanes after it) of the vector whose slice is
    ``slices[sum(digit * slice) + byte * plane]`` and whose word is ``base + sum(digit * addr)``,
    where ``byte`` counts the bytes of the element, low byte first. With ``lane_axis`` None every
    lane holds the element. Lanes that no element reaches hold the tensor's `pad`.
    """

    slices: tuple[str, ...]
    base: int
    digits: tuple[Digit, ...]
    lane_axis: int | None
    lane_div: int = 1
    lane_mod: int = 1
    lane_repeat: int = 1
    plane: int = 1


@dataclass(frozen=True)
class Tensor:
    """A named tensor of the program.

    `role` is ``in``, ``out``, ``const`` or ``scratch``; `data` the little-endian codes of a const
    in C order; `pad` the byte in lanes beyond the tensor. All `layouts` are filled on load
    (copies); an output is read from the first.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    role: str
    layouts: tuple[Layout, ...]
    pad: int = 0
    data: bytes | None = None

    @property
    def element_bytes(self) -> int:
        return BYTES_OF[self.dtype]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Section:
    """One instruction queue (or, on the NPU, one core program or function).

    `words` is a whole number of 16-byte little-endian words; `lines[i]` the (file index, line) of
    word i where it came from text, else empty.
    """

    name: str
    words: bytes
    lines: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.words) // WORD_BYTES

    def __iter__(self) -> Iterator[int]:
        for i in range(0, len(self.words), WORD_BYTES):
            yield int.from_bytes(self.words[i : i + WORD_BYTES], "little")


Producer = tuple[str, int]  # section name, word index
# (section, word, operand) -> per stream of the operand, the producers any of which is meant.
Expectations = Mapping[tuple[str, int, str], tuple[tuple[Producer, ...], ...]]


@dataclass(frozen=True)
class Program:
    """What a machine runs.

    `symbols` maps a label to (section, word index); `meta` is free text about the kernel (its name,
    dtype, shape as JSON) that reports show; `files` the sources that `Section.lines` indexes.
    """

    isa: str
    chip: str
    sections: tuple[Section, ...]
    tensors: tuple[Tensor, ...] = ()
    expects: Expectations = field(default_factory=dict)
    symbols: Mapping[str, Producer] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    def section(self, name: str) -> Section:
        for section in self.sections:
            if section.name == name:
                return section
        raise KeyError(f"the program has no section '{name}'")

    def tensor(self, name: str) -> Tensor:
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise KeyError(f"the program has no tensor '{name}'")

    def place(self, where: Producer) -> str:
        """``file:line`` of an instruction, or section and word where it came from no text."""
        section = self.section(where[0])
        if where[1] < len(section.lines):
            file, line = section.lines[where[1]]
            if 0 <= file < len(self.files):
                return f"{self.files[file]}:{line}"
        return f"{where[0]} word {where[1]}"

    @property
    def sha256(self) -> str:
        """Digest of everything that the machine executes: words, tensors, chip."""
        digest = hashlib.sha256(f"{self.isa}\0{self.chip}\0".encode())
        for section in self.sections:
            digest.update(section.name.encode() + b"\0" + len(section.words).to_bytes(8, "little"))
            digest.update(section.words)
        digest.update(tensors_to_json(self.tensors).encode())
        return digest.hexdigest()


def tensors_to_json(tensors: tuple[Tensor, ...]) -> str:
    """The tensor table as JSON text (const data in hex)."""
    rows = []
    for tensor in tensors:
        row = asdict(tensor)
        row["data"] = None if tensor.data is None else tensor.data.hex()
        rows.append(row)
    return json.dumps(rows, separators=(",", ":"), sort_keys=True)


def tensors_from_json(text: str) -> tuple[Tensor, ...]:
    """Inverse of `tensors_to_json`; raises `ValueError` with what is wrong."""
    try:
        return tuple(_tensor(row) for row in json.loads(text))
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ValueError(f"the tensor table is damaged: {error}") from None


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is no integer")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _layout(row: dict[str, Any]) -> Layout:
    numbers = ("base", "lane_div", "lane_mod", "lane_repeat", "plane")
    layout = Layout(
        slices=tuple(_text(name) for name in row["slices"]),
        digits=tuple(
            Digit(**{name: _integer(value) for name, value in digit.items()})
            for digit in row["digits"]
        ),
        lane_axis=None if row["lane_axis"] is None else _integer(row["lane_axis"]),
        **{name: _integer(row[name]) for name in numbers},
    )
    divisors = [layout.lane_div, layout.lane_mod, layout.lane_repeat]
    divisors += [n for digit in layout.digits for n in (digit.div, digit.mod)]
    if min(divisors) < 1:
        raise ValueError("a layout divides by less than 1")
    return layout


def _tensor(row: dict[str, Any]) -> Tensor:
    tensor = Tensor(
        name=_text(row["name"]),
        dtype=_text(row["dtype"]),
        shape=tuple(_integer(size) for size in row["shape"]),
        role=_text(row["role"]),
        layouts=tuple(_layout(layout) for layout in row["layouts"]),
        pad=_integer(row["pad"]),
        data=None if row["data"] is None else bytes.fromhex(row["data"]),
    )
    if tensor.role not in ROLES or tensor.dtype not in BYTES_OF:
        raise ValueError(f"role '{tensor.role}', dtype '{tensor.dtype}'")
    axes = [layout.lane_axis for layout in tensor.layouts if layout.lane_axis is not None]
    axes += [digit.axis for layout in tensor.layouts for digit in layout.digits]
    if not all(0 <= axis < len(tensor.shape) for axis in axes) or min(tensor.shape, default=1) < 1:
        raise ValueError(f"the shape of '{tensor.name}' does not fit its layout")
    return tensor
