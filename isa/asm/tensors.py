"""Tensor declarations and their data.

    .tensor NAME, DTYPE, [D0, D1, ...], ROLE, KEY=VALUE, ...
    .place NAME, KEY=VALUE, ...

`isa.program.Layout` says what the keys mean; `layout_keys` below reads them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from isa.asm.layouts import PLACE_KEYS, check_layout, layout_of
from isa.asm.source import Fault, Frame, Piece, name_of, split, unquote
from isa.asm.values import element, raw_bytes
from isa.fields import near
from isa.program import ROLES, Layout, Tensor
from isa.table import BYTES_OF

if TYPE_CHECKING:
    from isa.asm.assembler import Assembler
    from isa.asm.directives import Statement

INTEGER_BYTES = {"byte": 1, "half": 2, "word": 4}  # directive -> bytes of each number
LARGEST = 1 << 28  # bytes of data that one tensor may carry
_FORM = "write it as '.tensor NAME, DTYPE, [D0, D1, ...], ROLE, KEY=VALUE, ...'"
TENSOR_KEYS = {
    "pad": "the byte in lanes beyond the tensor (0)",
    "data": "`[v, ...]`: the elements of a const in C order",
    "fill": "the element that a const without (or with too little) data is filled with",
}


class Draft:
    """A tensor in the making, and the line that declares it."""

    def __init__(
        self, name: str, dtype: str, shape: tuple[int, ...], role: str, frame: Frame, line: int,
        raw: str,
    ) -> None:  # fmt: skip
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.role = role
        self.frame = frame
        self.line = line
        self.raw = raw
        self.layouts: list[Layout] = []
        self.pad = 0
        self.data: bytearray | None = None
        self.fill: bytes | None = None
        self.broken = False  # a complaint about it has been made; one is enough

    @property
    def bytes_needed(self) -> int:
        return math.prod(self.shape) * BYTES_OF[self.dtype]

    def fault(self, message: str, code: str) -> Fault:
        start = len(self.raw) - len(self.raw.lstrip())
        return Fault(message, code, start, len(self.raw.rstrip()))

    def finish(self) -> Tensor:
        """The tensor, once all its data is there."""
        if self.broken:
            return Tensor(self.name, self.dtype, self.shape, self.role, ())
        if not self.layouts:
            raise self.fault(f"the tensor '{self.name}' lies nowhere", "A071")
        return Tensor(
            name=self.name, dtype=self.dtype, shape=self.shape, role=self.role,
            layouts=tuple(self.layouts), pad=self.pad, data=self._bytes(),
        )  # fmt: skip

    def _bytes(self) -> bytes | None:
        if self.role != "const":
            return None
        data = self.data if self.data is not None else bytearray()
        need = self.bytes_needed
        if self.data is None and self.fill is None:
            raise self.fault(f"the const '{self.name}' has no data", "A080")
        if self.fill is not None and len(data) < need:
            if need > LARGEST:
                raise self.fault(f"'{self.name}' has more than {LARGEST:,} bytes", "A080")
            missing = need - len(data)
            data = data + (self.fill * (missing // len(self.fill) + 1))[:missing]
        if len(data) != need:
            message = f"'{self.name}' takes {need:,} bytes of data, not {len(data):,}"
            raise self.fault(message, "A080")
        return bytes(data)


def tensor(asm: Assembler, statement: Statement) -> None:
    """``.tensor``: declare a tensor, with its first place where one is given."""
    asm.data_target = None
    pieces = split(statement.rest.text, statement.rest.at)
    if len(pieces) < 4:
        raise statement.fault(_FORM, "A070")
    name = name_of(pieces[0], "a tensor")
    if name in asm.tensors:
        line = asm.tensors[name].line
        raise pieces[0].fault(f"the tensor '{name}' is declared twice; first at {line}", "A070")
    dtype, role = pieces[1].text, pieces[3].text
    if dtype not in BYTES_OF:
        raise pieces[1].fault(f"no dtype '{dtype}'", "A070", hint=near(dtype, BYTES_OF))
    shape = _shape(asm, pieces[2])
    if role not in ROLES:
        message = f"a tensor's role is {', '.join(ROLES[:-1])} or {ROLES[-1]}, not '{role}'"
        raise pieces[3].fault(message, "A070", hint=near(role, ROLES))
    raw = asm.frame.lines[asm.number - asm.frame.first]
    draft = Draft(name, dtype, shape, role, asm.frame, asm.number, raw)
    asm.tensors[name] = asm.data_target = draft
    try:
        keys = _keys(pieces[4:], {**PLACE_KEYS, **TENSOR_KEYS})
        _own_keys(asm, draft, keys)
        if any(key in PLACE_KEYS for key, _ in keys):
            _add_place(asm, draft, keys, statement)
    except Fault:
        draft.broken = True
        raise


def place(asm: Assembler, statement: Statement) -> None:
    """``.place``: a further copy of a tensor."""
    pieces = split(statement.rest.text, statement.rest.at)
    if len(pieces) < 2:
        raise statement.fault("write it as '.place NAME, KEY=VALUE, ...'", "A070")
    name = name_of(pieces[0], "a tensor")
    draft = asm.tensors.get(name)
    if draft is None:
        raise pieces[0].fault(f"no tensor '{name}'", "A070", hint=near(name, asm.tensors))
    _add_place(asm, draft, _keys(pieces[1:], PLACE_KEYS), statement)


def _shape(asm: Assembler, piece: Piece) -> tuple[int, ...]:
    if not (piece.text.startswith("[") and piece.text.endswith("]") and len(piece.text) > 1):
        raise piece.fault(f"a shape is a list such as [2, 32], not '{piece.text}'", "A070")
    axes = split(piece.text[1:-1], piece.at + 1)
    return tuple(asm.integer(axis, "a shape's axis", 1, (1 << 40) - 1) for axis in axes)


def _keys(pieces: list[Piece], known: dict[str, str]) -> list[tuple[str, Piece]]:
    """The ``key=value`` pieces, with the pieces of the values."""
    keys: list[tuple[str, Piece]] = []
    for piece in pieces:
        key, equals, value = piece.text.partition("=")
        key = key.strip()
        if not equals or key not in known:
            message = f"no key '{key}'; there are {', '.join(known)}"
            raise piece.fault(message, "A070", hint=near(key, known))
        if key != "digit" and any(key == other for other, _ in keys):
            raise piece.fault(f"{key} is given twice", "A070")
        offset = len(piece.text) - len(value) + len(value) - len(value.lstrip())
        keys.append((key, Piece(value.strip(), piece.at + offset)))
    return keys


def _own_keys(asm: Assembler, draft: Draft, keys: list[tuple[str, Piece]]) -> None:
    for key, piece in keys:
        if key == "pad":
            draft.pad = asm.integer(piece, "pad", 0, 255)
        elif key in ("data", "fill"):
            if draft.role != "const":
                raise piece.fault(f"only a const has {key}, '{draft.name}' is {draft.role}", "A080")
            if key == "fill":
                draft.fill = element(asm, piece, draft.dtype)
            else:
                draft.data = _listed(asm, piece, draft.dtype)


def _listed(asm: Assembler, piece: Piece, dtype: str) -> bytearray:
    if not (piece.text.startswith("[") and piece.text.endswith("]") and len(piece.text) > 1):
        raise piece.fault(f"data is a list such as [1, 2], not '{piece.text}'", "A080")
    out = bytearray()
    for part in split(piece.text[1:-1], piece.at + 1):
        out += element(asm, part, dtype)
    return out


def _add_place(
    asm: Assembler, draft: Draft, keys: list[tuple[str, Piece]], statement: Statement
) -> None:
    keys = [(key, piece) for key, piece in keys if key in PLACE_KEYS]
    size = BYTES_OF[draft.dtype]
    layout = layout_of(asm, draft.shape, size, keys, statement)
    problem = check_layout(asm.target.info, draft.shape, size, layout)
    if problem and not asm.target.flat:
        raise statement.fault(f"'{draft.name}' {problem}", "A071")
    draft.layouts.append(layout)


# ---- data ----------------------------------------------------------------------------------------


def _const(asm: Assembler, statement: Statement) -> tuple[Draft, bytearray]:
    """The tensor that data lines fill."""
    draft = asm.data_target
    if draft is None or draft.role != "const":
        help = "declare it before: '.tensor NAME, DTYPE, [SHAPE], const, at=w0:0'"
        message = f"'{statement.name.text}' needs a const tensor to fill"
        raise statement.name.fault(message, "A080", help=help)
    if draft.data is None:
        draft.data = bytearray()
    return draft, draft.data


def data(asm: Assembler, statement: Statement) -> None:
    """``.byte``, ``.half``, ``.word`` (numbers) and ``.float`` (elements)."""
    draft, out = _const(asm, statement)
    draft.broken, whole = True, draft.broken
    directive = statement.name.text[1:]
    if not statement.rest.text:
        raise statement.fault(f".{directive} takes numbers", "A080")
    if directive == "float":
        if draft.dtype not in ("fp32", "fp16", "bf16"):
            message = f".float is for fp32, fp16 and bf16; '{draft.name}' is {draft.dtype}"
            raise statement.name.fault(message, "A080")
        for piece in split(statement.rest.text, statement.rest.at):
            out += element(asm, piece, draft.dtype, integers=True)
    else:
        out += raw_bytes(asm, statement.rest, INTEGER_BYTES[directive])
    draft.broken = whole


def text(asm: Assembler, statement: Statement) -> None:
    """``.ascii`` and ``.asciz``."""
    _, out = _const(asm, statement)
    pieces = split(statement.rest.text, statement.rest.at)
    if not pieces:
        raise statement.fault(f"{statement.name.text} takes strings", "A080")
    for piece in pieces:
        try:
            out += unquote(piece).encode()
        except UnicodeEncodeError:
            raise piece.fault("half of a surrogate pair is no text", "A080") from None
        out += b"\0" * (statement.name.text == ".asciz")


def fill(asm: Assembler, statement: Statement) -> None:
    """``.fill TIMES[, SIZE[, NUMBER]]``, as GNU as has it."""
    draft, out = _const(asm, statement)
    pieces = split(statement.rest.text, statement.rest.at)
    if not 1 <= len(pieces) <= 3:
        raise statement.fault("write it as '.fill TIMES[, SIZE[, NUMBER]]'", "A080")
    times = asm.integer(pieces[0], "the number of times", 0, LARGEST)
    size = asm.integer(pieces[1], "a size", 1, 8) if len(pieces) > 1 else 1
    low, high = -(1 << (8 * size - 1)), (1 << (8 * size)) - 1
    value = asm.integer(pieces[2], "the number", low, high) if len(pieces) > 2 else 0
    if len(out) + times * size > draft.bytes_needed:
        message = f"'{draft.name}' takes {draft.bytes_needed:,} bytes of data in all"
        raise pieces[0].fault(message, "A080")
    out += (value & ((1 << (8 * size)) - 1)).to_bytes(size, "little") * times
