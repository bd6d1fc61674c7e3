"""Operand fields of the NPU: registers, numbers beside registers, guards.

Registers are named by class and number: ``x`` scalars (64 bits), ``v`` vectors (256 bytes), ``p``
masks, ``r`` a thread's registers (32 bits), ``u`` a function's uniform arguments (64 bits), ``q`` a
thread's predicates.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from isa.fields import Evaluate, Field, FieldError, Numbers, imm_bits, imm_value, literal

COUNTS = {"x": 32, "v": 32, "p": 8, "r": 127, "u": 16, "q": 7}
REGISTER = re.compile(r"([xvpruq])([0-9]{1,3})")


class Reg(NamedTuple):
    """A register: ``Reg("x", 3)`` is x3."""

    file: str
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here

    def __str__(self) -> str:
        return f"{self.file}{self.index}"


def parse_register(text: str, files: str) -> Reg | None:
    """The register that a text names, if it is one of these files."""
    match = REGISTER.fullmatch(text)
    if not match or match[1] not in files:
        return None
    reg = Reg(match[1], int(match[2]))
    if reg.index >= COUNTS[reg.file]:
        last = COUNTS[reg.file] - 1
        raise FieldError(f"no register {reg}; they are {reg.file}0 to {reg.file}{last}")
    return reg


def _raw(name: str, value: Any, file: str) -> int:
    if not isinstance(value, Reg) or value.file != file or not 0 <= value.index < COUNTS[file]:
        raise FieldError(f"{name} is a register such as {file}3, not {value}")
    return value.index


@dataclass(frozen=True, kw_only=True)
class RegField(Field):
    """A register of one file. Optional scalars default to x0, which reads 0."""

    file: str = "x"
    kind: ClassVar[str] = "register"

    def encode(self, value: Any) -> int:
        return _raw(self.name, value, self.file)

    def decode(self, raw: int) -> Reg:
        if raw >= COUNTS[self.file]:
            raise FieldError(f"{self.name}: no register {self.file}{raw}")
        return Reg(self.file, raw)

    def parse(self, text: str, evaluate: Evaluate = literal) -> Reg:
        reg = parse_register(text, self.file)
        if reg is None:
            raise FieldError(f"{self.name} is a register such as {self.file}3, not '{text}'")
        return reg


@dataclass(frozen=True, kw_only=True)
class MaybeRegField(Field):
    """A register of one file, or none (raw 0): masks, and results that nobody wants."""

    file: str
    optional: bool = True
    kind: ClassVar[str] = "optional register"

    def encode(self, value: Any) -> int:
        return 0 if value is None else 1 + _raw(self.name, value, self.file)

    def decode(self, raw: int) -> Reg | None:
        if raw > COUNTS[self.file]:
            raise FieldError(f"{self.name}: no register {self.file}{raw - 1}")
        return Reg(self.file, raw - 1) if raw else None

    def parse(self, text: str, evaluate: Evaluate = literal) -> Reg | None:
        if text == "_":
            return None
        reg = parse_register(text, self.file)
        if reg is None:
            raise FieldError(f"{self.name} is a register such as {self.file}3 or _, not '{text}'")
        return reg

    def print(self, value: Any) -> str:
        return "_" if value is None else str(value)


class Guard(NamedTuple):
    """A thread's predicate, or its opposite."""

    index: int  # type: ignore[assignment]
    negated: bool

    def __str__(self) -> str:
        return f"{'!' if self.negated else ''}q{self.index}"


@dataclass(frozen=True, kw_only=True)
class GuardField(Field):
    """``when=q3`` or ``when=!q3``: bit 0 there, bit 1 negated, bits 2-4 the predicate."""

    width: int = 5
    role: str = "key"
    optional: bool = True
    kind: ClassVar[str] = "guard"

    def encode(self, value: Any) -> int:
        if value is None:
            return 0
        if not isinstance(value, Guard) or not 0 <= value.index < COUNTS["q"]:
            raise FieldError(f"{self.name} is a predicate such as q3 or !q3, not {value}")
        return 1 | int(value.negated) << 1 | value.index << 2

    def decode(self, raw: int) -> Guard | None:
        if not raw & 1:
            if raw:
                raise FieldError(f"{self.name} names a predicate but says there is none")
            return None
        if raw >> 2 >= COUNTS["q"]:
            raise FieldError(f"{self.name}: no predicate q{raw >> 2}")
        return Guard(raw >> 2, bool(raw & 2))

    def parse(self, text: str, evaluate: Evaluate = literal) -> Guard:
        reg = parse_register(text.removeprefix("!").strip(), "q")
        if reg is None:
            raise FieldError(f"{self.name} is a predicate such as q3 or !q3, not '{text}'")
        return Guard(reg.index, text.startswith("!"))


KIND_INT, KIND_FLOAT = 2, 3


@dataclass(frozen=True, kw_only=True)
class ValueField(Field):
    """A register of one or two files, an integer, or (with `floats`) a float32.

    The two highest bits are the kind (0 and 1 a register of `files`, 2 integer, 3 float32), the
    others the payload. The operation's type says what a number becomes: ``3`` in an fp32 operation
    is 3.0. A 64-bit payload takes a float as its 32 bits.
    """

    files: str = "x"
    floats: bool = False
    least: int | None = None  # narrow the integers
    most: int | None = None
    kind: ClassVar[str] = "value"

    @property
    def payload(self) -> int:
        return self.width - 2

    @property
    def bounds(self) -> tuple[int, int]:
        """Range of the integers."""
        low, high = -(1 << (self.payload - 1)), (1 << (self.payload - 1)) - 1
        return (
            low if self.least is None else self.least,
            high if self.most is None else self.most,
        )

    @property
    def numbers(self) -> Numbers:
        return Numbers(*self.bounds, self.payload, KIND_INT << self.payload)

    @property
    def float_tag(self) -> int | None:
        return KIND_FLOAT << self.payload if self.floats else None

    def encode(self, value: Any) -> int:
        if isinstance(value, Reg):
            if value.file not in self.files:
                raise FieldError(f"{self.name} is {self._forms()}, not {value}")
            return self.files.index(value.file) << self.payload | _raw(self.name, value, value.file)
        if isinstance(value, float) and self.floats:
            return KIND_FLOAT << self.payload | imm_bits(value, "fp32")
        if isinstance(value, bool) or not isinstance(value, int):
            raise FieldError(f"{self.name} is {self._forms()}, not {value}")
        low, high = self.bounds
        if not low <= value <= high:
            raise FieldError(f"{self.name} is {low} to {high}, not {value}")
        return KIND_INT << self.payload | value & ((1 << self.payload) - 1)

    def _forms(self) -> str:
        forms = [f"a register such as {file}3" for file in self.files]
        return ", ".join([*forms, "a number" if self.floats else "an integer"])

    def decode(self, raw: int) -> Reg | int | float:
        kind, low = raw >> self.payload, raw & ((1 << self.payload) - 1)
        if kind == KIND_INT:
            number = low - (1 << self.payload) if low >> (self.payload - 1) else low
            least, most = self.bounds
            if not least <= number <= most:
                raise FieldError(f"{self.name} is {least} to {most}, not {number}")
            return number
        if kind == KIND_FLOAT and self.floats and low >> 32 == 0:
            return float(imm_value(low, "fp32"))
        if kind < len(self.files) and low < COUNTS[self.files[kind]]:
            return Reg(self.files[kind], low)
        raise FieldError(f"{self.name} has no value {raw:#x}")

    def parse(self, text: str, evaluate: Evaluate = literal) -> Reg | int | float:
        reg = parse_register(text, self.files)
        if reg is not None:
            return reg
        value = evaluate(text)
        if isinstance(value, float):
            if not self.floats:
                raise FieldError(f"{self.name} is {self._forms()}, not '{text}'")
            # What the word can hold is what is meant, so that decode gives it back.
            return float(imm_value(imm_bits(value, "fp32"), "fp32"))
        return value


def float_bits(value: float) -> int:
    """The 32 bits of a float32, as scalar registers carry them."""
    return int.from_bytes(struct.pack("<f", value), "little")
