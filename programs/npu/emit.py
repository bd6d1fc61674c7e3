"""Writes one section of an NPU program: registers by name, loops, conditions, instructions.

    code = Code("core.cube")
    i, n = code.reg("i"), code.reg("n")
    with code.loop(i, 0, n, 128):
        code("load", space="l1", width="b16", dst=l1, src=address, n=size)

Every instruction is a row of the table (`isa.npu`), every operand a field of it. What the scalar
unit computes costs cycles as everything else does, so builders compute in Python what they can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from isa.npu import NPU, Reg
from isa.program import Section
from isa.table import Instruction

Value = Reg | int
ZERO = Reg("x", 0)
WIDE = 1 << 31  # immediate operands are below it
OPPOSITE = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}


@dataclass(eq=False)
class Label:
    """A place in the section, known once it is bound."""

    index: int | None = None


class Words:
    """One section in the making: instructions and labels."""

    last = "end"  # what every program or function ends with

    def __init__(self, name: str) -> None:
        self.name = name
        self._words: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, mnemonic: str, **values: Any) -> None:
        """Append an instruction; a `Label` stands for its word."""
        self._words.append((mnemonic, values))

    def label(self) -> Label:
        return Label()

    def bind(self, label: Label) -> None:
        label.index = len(self._words)

    def section(self) -> Section:
        """The encoded section; every label must be bound."""
        words = bytearray()
        for mnemonic, values in self._words:
            resolved = {k: _index(v) if isinstance(v, Label) else v for k, v in values.items()}
            word = NPU.encode(Instruction(NPU.row(mnemonic), resolved))
            words += word.to_bytes(16, "little")
        return Section(self.name, bytes(words))


class Code(Words):
    """A section with scalar instructions: a core's program, or a SIMD function."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._free = [Reg("x", i) for i in range(31, 0, -1)]

    # ---- registers -------------------------------------------------------------------------------

    def reg(self, value: Value | None = None) -> Reg:
        """A scalar register that nobody uses, with a value if one is given."""
        if not self._free:
            raise ValueError(f"{self.name}: all 31 scalar registers are in use")
        register = min(self._free, key=lambda r: r.index)  # keeps runs for `consecutive`
        self._free.remove(register)
        if value is not None:
            self.mov(register, value)
        return register

    def free(self, *registers: Reg) -> None:
        self._free.extend(registers)

    def consecutive(self, count: int) -> list[Reg]:
        """Registers one after another, as ``vcall`` takes its arguments."""
        numbers = {register.index for register in self._free}
        for first in range(31 - count, 0, -1):
            run = [Reg("x", first + i) for i in range(count)]
            if all(r.index in numbers for r in run):
                self._free = [r for r in self._free if r not in run]
                return run
        raise ValueError(f"{self.name}: no {count} scalar registers in a row are free")

    @contextmanager
    def temporary(self) -> Iterator[Reg]:
        """A register for the length of a block."""
        register = self.reg()
        yield register
        self.free(register)

    # ---- instructions ----------------------------------------------------------------------------

    def mov(self, dst: Reg, value: Value) -> None:
        if isinstance(value, Reg):
            self("add", dst=dst, a=value, b=0)
        else:
            self("mov", dst=dst, a=value)

    def op(self, name: str, dst: Reg, a: Reg, b: Value) -> Reg:
        """``add``, ``sub``, ``mul``, ``div``, ``rem``, ``min``, ``max``, ``shl``, ``shr``..."""
        with self.operand(b) as b:
            self(name, dst=dst, a=a, b=b)
        return dst

    @contextmanager
    def operand(self, value: Value) -> Iterator[Value]:
        """The value as the second operand: in a register if it has more than 32 bits."""
        if isinstance(value, Reg) or -WIDE <= value < WIDE:
            yield value
            return
        with self.temporary() as register:
            self.mov(register, value)
            yield register

    def scaled(self, dst: Reg, a: Reg, factor: int) -> Reg:
        """dst = a * factor, by a shift where that does it."""
        if factor & (factor - 1) == 0 and factor:
            return self.op("shl", dst, a, factor.bit_length() - 1)
        return self.op("mul", dst, a, factor)

    # ---- control ---------------------------------------------------------------------------------

    def branch(self, cond: str, a: Reg, b: Value, to: Label) -> None:
        with self.operand(b) as b:
            self("br", cond=cond, a=a, b=b, target=to)

    @contextmanager
    def loop(self, counter: Reg, start: Value, stop: Value, step: int) -> Iterator[None]:
        """``for counter in range(start, stop, step)``; the body does not change the counter."""
        top, out = self.label(), self.label()
        self.mov(counter, start)
        self.branch("ge", counter, stop, out)
        self.bind(top)
        yield
        self.op("add", counter, counter, step)
        self.branch("lt", counter, stop, top)
        self.bind(out)

    @contextmanager
    def when(self, cond: str, a: Reg, b: Value) -> Iterator[None]:
        """The block runs only if the condition holds."""
        out = self.label()
        self.branch(OPPOSITE[cond], a, b, out)
        yield
        self.bind(out)

    def interleave(self, parts: Sequence[Callable[[], None]]) -> None:
        """Emit pieces that have nothing to do with each other, their instructions in turn.

        A unit that looks ahead a limited number of instructions then finds independent ones.
        """
        pieces = []
        for part in parts:
            first = len(self._words)
            part()
            pieces.append(self._words[first:])
            del self._words[first:]
        for turn in zip_longest(*pieces):
            self._words.extend(word for word in turn if word is not None)

    # ---- flags -----------------------------------------------------------------------------------

    def raise_flag(self, src: str, dst: str, number: Value) -> None:
        self("set_flag", src=src, dst=dst, id=number)

    def await_flag(self, src: str, dst: str, number: Value) -> None:
        self("wait_flag", src=src, dst=dst, id=number)

    def hand_over(self, src: str, dst: str, number: Value) -> None:
        """`dst` goes on when `src` has done what it was given so far."""
        self.raise_flag(src, dst, number)
        self.await_flag(src, dst, number)

    def count_up(self, src: str, scope: str, number: Value) -> None:
        """When `src` has done what it was given so far: one more for the scope's sub-cores."""
        self("xset", src=src, scope=scope, id=number)

    def await_count(self, dst: str, number: Value) -> None:
        """`dst` waits until this sub-core's counted flag is at least 1, and takes 1 off."""
        self("xwait", dst=dst, id=number)


def _index(label: Label) -> int:
    if label.index is None:
        raise ValueError("a label is used but bound nowhere")
    return label.index
