"""Operand fields: each is declared once and works four ways (encode, decode, parse, print).

A field occupies bits ``lo .. lo + width - 1`` of a 128-bit instruction word. *Raw* is the unsigned
integer in those bits; *value* is what a person means (a `Stream`, a float, a dtype name).
"""

from __future__ import annotations

import difflib
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

WORD_BITS = 128
WORD_BYTES = WORD_BITS // 8


class FieldError(ValueError):
    """A value that a field cannot hold; the message says what would be right.

    `code` is the code of its diagnostic, `hint` a near name, `field` the field at fault and `span`
    the offsets of the faulty part in the operand's text, each where known.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "A010",
        hint: str = "",
        field: str = "",
        span: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint
        self.field = field
        self.span = span


Evaluate = Callable[[str], float | int]


def literal(text: str) -> float | int:
    """The number that a text writes out; the assembler passes one that knows expressions."""
    for convert in (lambda: int(text, 0), lambda: float(text)):
        try:
            return convert()
        except ValueError:
            continue
    raise FieldError(f"'{text}' is not a number")


def nearest(name: str, names: Iterable[str]) -> str:
    """The one of `names` that `name` was probably meant to be, or nothing.

    >>> nearest("raed", ["read", "write"])
    'read'
    """
    found = difflib.get_close_matches(name[:80], names, 1)
    return found[0] if found else ""


def near(name: str, names: Iterable[str]) -> str:
    """``did you mean '...'?`` for the nearest of `names`, or nothing."""
    found = nearest(name, names)
    return f"did you mean '{found}'?" if found else ""


class Stream(NamedTuple):
    """The first register of a stream group: ``s8.w`` is ``Stream(8, "w")``."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    direction: str

    def __str__(self) -> str:
        return f"s{self.index}.{self.direction}"


class Alu(NamedTuple):
    """The result that a VXM ALU delivers in this very cycle: ``a3``."""

    index: int  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"a{self.index}"


class Imm(NamedTuple):
    """The word's immediate; its value stands in the field named ``imm``."""

    value: float | int

    def __str__(self) -> str:
        return repr(self.value)


class Numbers(NamedTuple):
    """How a field takes integers: `least` to `most`, as the low `width` bits beside `tag`."""

    least: int
    most: int
    width: int
    tag: int = 0


@dataclass(frozen=True, kw_only=True)
class Field:
    """Bits ``lo .. lo+width-1``. `role` says how assembly text carries the field.

    Roles: ``positional`` (in order), ``suffix`` (after the mnemonic, ``.fp32``), ``key``
    (``rows=320``), ``flag`` (a bare word), ``hidden`` (set by another operand).
    """

    name: str
    lo: int
    width: int
    role: str = "positional"
    optional: bool = False
    default: Any = None
    doc: str = ""
    reads: str = ""  # dtype rule of the streams this operand reads, see table.stream_count
    writes: str = ""  # the same for streams it drives
    kind: ClassVar[str] = "field"

    @property
    def mask(self) -> int:
        return ((1 << self.width) - 1) << self.lo

    @property
    def numbers(self) -> Numbers | None:
        """The integers that are values of the field, if any are."""
        return None

    @property
    def float_tag(self) -> int | None:
        """What stands beside the 32 bits of a float32, where the field takes one."""
        return None

    def encode(self, value: Any) -> int:
        raise NotImplementedError

    def decode(self, raw: int) -> Any:
        raise NotImplementedError

    def parse(self, text: str, evaluate: Evaluate = literal) -> Any:
        """The value of an operand's text; `evaluate` gives the value of a number in it."""
        raise NotImplementedError

    def print(self, value: Any) -> str:
        return str(value)

    def syntax(self) -> str:
        """How the manual writes the operand."""
        return {"suffix": f".{self.name}", "key": f"{self.name}={self.name[0]}"}.get(
            self.role, self.name
        )

    def insert(self, value: Any) -> int:
        """The value at its place in the word."""
        return self.encode(value) << self.lo

    def extract(self, word: int) -> Any:
        return self.decode((word & self.mask) >> self.lo)


@dataclass(frozen=True, kw_only=True)
class IntField(Field):
    """An integer, two's complement when `signed`; `least` and `most` narrow it further."""

    signed: bool = False
    least: int | None = None
    most: int | None = None
    kind: ClassVar[str] = "int"

    @property
    def bounds(self) -> tuple[int, int]:
        low = -(1 << (self.width - 1)) if self.signed else 0
        high = (1 << (self.width - 1)) - 1 if self.signed else (1 << self.width) - 1
        return (
            low if self.least is None else self.least,
            high if self.most is None else self.most,
        )

    @property
    def numbers(self) -> Numbers:
        return Numbers(*self.bounds, self.width)

    def encode(self, value: Any) -> int:
        low, high = self.bounds
        if isinstance(value, bool) or not isinstance(value, int):
            raise FieldError(f"{self.name} is an integer, not {value!r}")
        if not low <= value <= high:
            raise FieldError(f"{self.name} is {low} to {high}, not {value}")
        return value & ((1 << self.width) - 1)

    def decode(self, raw: int) -> int:
        value = raw - (1 << self.width) if self.signed and raw >> (self.width - 1) else raw
        low, high = self.bounds
        if not low <= value <= high:
            raise FieldError(f"{self.name} is {low} to {high}, not {value}")
        return value

    def parse(self, text: str, evaluate: Evaluate = literal) -> int:
        value = evaluate(text)
        if not isinstance(value, int):
            raise FieldError(f"{self.name} is an integer, not '{text}'")
        return value


@dataclass(frozen=True, kw_only=True)
class EnumField(Field):
    """One name out of a closed list; `choices` maps name to raw value."""

    choices: dict[str, int]
    aliases: ClassVar[dict[str, str]] = {"f32": "fp32", "f16": "fp16", "i32": "int32", "i8": "int8"}
    kind: ClassVar[str] = "enum"

    def encode(self, value: Any) -> int:
        name = self.aliases.get(str(value), str(value))
        if name not in self.choices:
            raise FieldError(
                f"{self.name} is one of {', '.join(self.choices)}, not '{value}'",
                hint=near(name, self.choices),
            )
        return self.choices[name]

    def decode(self, raw: int) -> str:
        for name, code in self.choices.items():
            if code == raw:
                return name
        raise FieldError(f"{self.name} has no value {raw}")

    def parse(self, text: str, evaluate: Evaluate = literal) -> str:
        self.encode(text)
        return self.aliases.get(text, text)


@dataclass(frozen=True, kw_only=True)
class FlagField(Field):
    """A bare word that is there or not."""

    width: int = 1
    role: str = "flag"
    optional: bool = True
    default: Any = False
    kind: ClassVar[str] = "flag"

    def encode(self, value: Any) -> int:
        return int(bool(value))

    def decode(self, raw: int) -> bool:
        return bool(raw)

    def parse(self, text: str, evaluate: Evaluate = literal) -> bool:
        if text != self.name:
            raise FieldError(f"expected '{self.name}', not '{text}'")
        return True

    def print(self, value: Any) -> str:
        return self.name if value else ""


_STREAM = re.compile(r"s([0-9]{1,9}|\[.+\])\.([ew])")
_ALU = re.compile(r"a([0-9]{1,9})")
STREAMS = 32


def _parse_stream(text: str, evaluate: Evaluate) -> Stream | None:
    """``s8.w``, or ``s[4 + 4].w`` with an expression; None where it is no stream at all."""
    match = _STREAM.fullmatch(text)
    if not match:
        return None
    try:
        index = evaluate(match[1].strip("[]"))
    except FieldError as error:
        if error.span is not None:
            error.span = (error.span[0] + 2, error.span[1] + 2)
        raise
    if not isinstance(index, int) or not 0 <= index < STREAMS:
        raise FieldError(f"no stream register s{index}; they are s0 to s{STREAMS - 1}", code="A012")
    return Stream(index, match[2])


def _stream_hint(text: str) -> str:
    """What a text that is nearly a stream may have been meant as."""
    bare = re.fullmatch(r"s([0-9]{1,2})", text)
    return f"eastward is '{text}.e', westward '{text}.w'" if bare else ""


def stream_raw(stream: Stream) -> int:
    """Raw 6 bits of a stream: bits 0-4 the index, bit 5 set for west."""
    if stream.direction not in ("e", "w") or not 0 <= stream.index < STREAMS:
        raise FieldError(f"no stream {stream}; streams are s0 to s{STREAMS - 1}, .e or .w")
    return stream.index | (stream.direction == "w") << 5


def stream_value(raw: int) -> Stream:
    return Stream(raw & 31, "w" if raw & 32 else "e")


@dataclass(frozen=True, kw_only=True)
class StreamField(Field):
    """A stream group named by its first stream: ``s8.w``."""

    width: int = 6
    kind: ClassVar[str] = "stream"

    def encode(self, value: Any) -> int:
        if not isinstance(value, Stream):
            raise FieldError(f"{self.name} is a stream such as s8.w, not {value}")
        return stream_raw(value)

    def decode(self, raw: int) -> Stream:
        return stream_value(raw)

    def parse(self, text: str, evaluate: Evaluate = literal) -> Stream:
        stream = _parse_stream(text, evaluate)
        if stream is None:
            raise FieldError(
                f"{self.name} is a stream such as s8.w, not '{text}'", hint=_stream_hint(text)
            )
        return stream


@dataclass(frozen=True, kw_only=True)
class OptionalStreamField(Field):
    """A stream, or nothing: bit 6 of the raw value says that it is there."""

    width: int = 7
    optional: bool = True
    kind: ClassVar[str] = "optional stream"

    def encode(self, value: Any) -> int:
        if value is None:
            return 0
        if not isinstance(value, Stream):
            raise FieldError(f"{self.name} is a stream such as s8.w, not {value}")
        return stream_raw(value) | 64

    def decode(self, raw: int) -> Stream | None:
        if raw & 64:
            return stream_value(raw & 63)
        if raw:
            raise FieldError(f"{self.name} names a stream but says there is none")
        return None

    def parse(self, text: str, evaluate: Evaluate = literal) -> Stream:
        stream = _parse_stream(text, evaluate)
        if stream is None:
            raise FieldError(
                f"{self.name} is a stream such as s8.w, not '{text}'", hint=_stream_hint(text)
            )
        return stream

    def print(self, value: Any) -> str:
        return "" if value is None else str(value)


KIND_NONE, KIND_STREAM, KIND_ALU, KIND_IMM = range(4)


@dataclass(frozen=True, kw_only=True)
class OperandField(Field):
    """A VXM operand: a stream, a chained ALU, the immediate, or (destination only) ``_``.

    Raw: bits 6-7 the kind (none, stream, ALU, immediate), bits 0-5 the stream or ALU.
    """

    width: int = 8
    destination: bool = False
    kind: ClassVar[str] = "operand"

    def encode(self, value: Any) -> int:
        if value is None and self.destination:
            return KIND_NONE << 6
        if isinstance(value, Stream):
            return KIND_STREAM << 6 | stream_raw(value)
        if isinstance(value, Alu) and not self.destination:
            if not 0 <= value.index < 64:
                raise FieldError(f"no ALU a{value.index}")
            return KIND_ALU << 6 | value.index
        if isinstance(value, Imm) and not self.destination:
            return KIND_IMM << 6
        raise FieldError(f"{self.name} is {self._forms()}, not {value}")

    def _forms(self) -> str:
        if self.destination:
            return "a stream such as s8.w, or _ for a result that is only chained"
        return "a stream such as s8.w, a chained ALU such as a3, or a number"

    def decode(self, raw: int) -> Stream | Alu | Imm | None:
        kind, low = raw >> 6, raw & 63
        if kind == KIND_STREAM:
            return stream_value(low)
        if kind == KIND_ALU and not self.destination:
            return Alu(low)
        if kind == KIND_IMM and not self.destination and low == 0:
            return Imm(0)
        if kind == KIND_NONE and self.destination and low == 0:
            return None
        raise FieldError(f"{self.name} has no value {raw:#04x}")

    def parse(self, text: str, evaluate: Evaluate = literal) -> Stream | Alu | Imm | None:
        if text == "_" and self.destination:
            return None
        stream = _parse_stream(text, evaluate)
        if stream is not None:
            return stream
        match = _ALU.fullmatch(text)
        if match and not self.destination:
            return Alu(int(match[1]))
        message = f"{self.name} is {self._forms()}, not '{text}'"
        if self.destination:
            raise FieldError(message, hint=_stream_hint(text))
        try:
            return Imm(evaluate(text))
        except FieldError as error:
            if not text.isidentifier():
                raise
            raise FieldError(message, hint=_stream_hint(text) or error.hint) from None

    def print(self, value: Any) -> str:
        return "_" if value is None else str(value)


@dataclass(frozen=True, kw_only=True)
class ImmediateField(Field):
    """The 32 immediate bits of a VXM word; integer or float32 as the word's type says."""

    width: int = 32
    role: str = "hidden"
    optional: bool = True
    default: Any = 0
    kind: ClassVar[str] = "immediate"

    def encode(self, value: Any) -> int:
        return int(value) & 0xFFFFFFFF

    def decode(self, raw: int) -> int:
        return raw


def imm_bits(value: float | int, dtype: str) -> int:
    """The immediate's 32 bits: a two's complement int32, or a float32 (nearest even)."""
    if dtype == "fp32":
        if value != value:
            return 0x7FC00000
        try:
            return int.from_bytes(struct.pack("<f", float(value)), "little")
        except OverflowError:
            raise FieldError(f"immediate {value} does not fit fp32") from None
    if not isinstance(value, int):
        raise FieldError(f"immediate of an {dtype} instruction is an integer, not {value}")
    if not -(1 << 31) <= value < 1 << 31:
        raise FieldError(f"immediate {value} does not fit int32")
    return value & 0xFFFFFFFF


def imm_value(bits: int, dtype: str) -> float | int:
    """Inverse of `imm_bits`; floats come back as the shortest text that gives the same bits."""
    if dtype == "fp32":
        exact: float = struct.unpack("<f", bits.to_bytes(4, "little"))[0]
        if exact != exact and bits != 0x7FC00000:
            raise FieldError(f"immediate {bits:#010x} is a NaN with a payload; only nan is legal")
        for digits in range(6, 10):
            short = float(f"{exact:.{digits}g}")
            try:
                if struct.pack("<f", short) == struct.pack("<f", exact):
                    return short
            except OverflowError:
                continue
        return exact
    return bits - (1 << 32) if bits >> 31 else bits


@dataclass(frozen=True, kw_only=True)
class EntriesField(Field):
    """A fixed number of small integers in brackets, `each` bits wide: ``[0, 1, ...]``."""

    count: int
    each: int
    most: int
    kind: ClassVar[str] = "entries"

    def encode(self, value: Any) -> int:
        entries = tuple(value)
        if len(entries) != self.count:
            raise FieldError(f"{self.name} has {self.count} entries, not {len(entries)}")
        raw = 0
        for i, entry in enumerate(entries):
            if not 0 <= entry <= self.most:
                raise FieldError(f"{self.name}[{i}] is 0 to {self.most}, not {entry}")
            raw |= entry << (i * self.each)
        return raw

    def decode(self, raw: int) -> tuple[int, ...]:
        one = (1 << self.each) - 1
        entries = tuple(raw >> (i * self.each) & one for i in range(self.count))
        if max(entries) > self.most:
            raise FieldError(f"{self.name} entries are 0 to {self.most}, not {max(entries)}")
        return entries

    def parse(self, text: str, evaluate: Evaluate = literal) -> tuple[int, ...]:
        if not (text.startswith("[") and text.endswith("]") and len(text) > 1):
            raise FieldError(f"{self.name} is a list such as [0, 1, ...], not '{text}'")
        values = [evaluate(part.strip()) for part in text[1:-1].split(",")]
        if not all(isinstance(value, int) for value in values):
            raise FieldError(f"{self.name} holds integers, not '{text}'")
        return tuple(int(value) for value in values)

    def print(self, value: Any) -> str:
        return "[" + ", ".join(map(str, value)) + "]"
