"""Writes a SIMT function: what one thread does, with branches and loops that need no labels.

    f = Threads("saxpy", "x", "y", "n")
    i = f.thread()
    with f.each_from(i, f["n"], step):                  # i, i + step, ... below n
        at = f.shl(i, 2)
        x, y = f.load(f["x"], at), f.load(f["y"], at)
        f.store(f.fma(x, 2.0, y, "fp32"), f["y"], at)

A value is a register of 32 bits; operations take a type where the instruction does, ``int32`` if
none is given. Registers that a branch, a loop or a `scope` takes are free again behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from isa.npu import NPU, Guard, Reg
from programs.npu.emit import Words

Value = Reg
Predicate = Reg
Operand = Reg | int | float
PREDICATES = 7
WORDS = {"b64": 2, "b128": 4}  # registers that wide accesses take


class Threads(Words):
    """One SIMT function in the making; ``vcall`` hands it its arguments, 64 bits each.

    `registers` is what a thread has: fewer, the more threads are launched.
    """

    last = "texit"

    def __init__(self, name: str, *arguments: str, registers: int = 16, threads: int = 0) -> None:
        super().__init__(f"simt.{name}")
        self.arguments, self.threads = arguments, threads
        self.takes_zero = False  # behind the arguments, see `ub`
        self._named = {a: Reg("u", i) for i, a in enumerate(arguments)}
        self._registers = registers
        self._r = [Reg("r", i) for i in range(registers - 1, -1, -1)]
        self._q = [Reg("q", i) for i in range(PREDICATES - 1, -1, -1)]
        self._guard: Guard | None = None

    def __getitem__(self, argument: str) -> Reg:
        """The uniform register of an argument: the base of an address, or (low bits) a number."""
        return self._named[argument]

    @property
    def ub(self) -> Reg:
        """A base for addresses in UB: one more argument, for which a call passes 0."""
        if len(self.arguments) > 15:
            raise ValueError(f"{self.name}: of 16 arguments none is left to be 0")
        self.takes_zero = True
        return Reg("u", len(self.arguments))

    def __call__(self, mnemonic: str, **values: Any) -> None:
        """Append an instruction, under the guard of the block around it."""
        if self._guard is not None:
            if "when" not in NPU.row(mnemonic).by_name:
                raise ValueError(f"{self.name}: {mnemonic} does not go under a guard")
            values.setdefault("when", self._guard)
        super().__call__(mnemonic, **values)

    # ---- registers -------------------------------------------------------------------------------

    def reg(self, value: Operand | None = None) -> Value:
        """A register that nobody uses, with a value if one is given."""
        if not self._r:
            raise ValueError(f"{self.name}: all {self._registers} registers of a thread are in use")
        register = self._r.pop()
        if value is not None:
            self.mov(register, value)
        return register

    def row(self, count: int) -> list[Value]:
        """Registers one after another, as accesses of 8 and 16 bytes take them."""
        free = set(self._r)
        for first in range(self._registers - count + 1):
            run = [Reg("r", first + i) for i in range(count)]
            if free.issuperset(run):
                self._r = [r for r in self._r if r not in run]
                return run
        raise ValueError(f"{self.name}: no {count} registers in a row are free")

    def predicate(self) -> Predicate:
        if not self._q:
            raise ValueError(f"{self.name}: all {PREDICATES} predicates are in use")
        return self._q.pop()

    def free(self, *registers: Reg) -> None:
        for register in registers:
            (self._r if register.file == "r" else self._q).append(register)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Registers taken inside are free behind it."""
        kept = list(self._r), list(self._q)
        yield
        self._r, self._q = kept

    # ---- arithmetic ------------------------------------------------------------------------------

    def mov(self, dst: Value, value: Operand) -> None:
        self("tmov", dst=dst, a=value)

    def put(self, mnemonic: str, into: Value | None, **operands: Any) -> Value:
        """Any instruction with a register for a result; `into` None takes a new one."""
        dst = self.reg() if into is None else into
        self(mnemonic, dst=dst, **operands)
        return dst

    def special(self, which: str) -> Value:
        """``tid``, ``threads``, ``lane``, ``warp``, ``block``, ``blocks``, ``sub``, ``cycle``."""
        return self.put("tsr", None, which=which)

    def thread(self) -> Value:
        """This thread's number in the whole grid of blocks."""
        i = self.special("tid")
        with self.scope():
            self.fma(self.special("block"), self.threads, i, into=i)
        return i

    def op(self, name: str, a: Value, b: Operand, type: str = "int32",
           into: Value | None = None) -> Value:  # fmt: skip
        """``tadd`` and the other instructions of two operands, by name."""
        return self.put(name, into, type=type, a=a, b=b)

    def add(self, a: Value, b: Operand, type: str = "int32", into: Value | None = None) -> Value:
        return self.op("tadd", a, b, type, into)

    def sub(self, a: Value, b: Operand, type: str = "int32", into: Value | None = None) -> Value:
        return self.op("tsub", a, b, type, into)

    def mul(self, a: Value, b: Operand, type: str = "int32", into: Value | None = None) -> Value:
        return self.op("tmul", a, b, type, into)

    def shl(self, a: Value, b: Operand, into: Value | None = None) -> Value:
        return self.op("tshl", a, b, "uint32", into)

    def shr(self, a: Value, b: Operand, into: Value | None = None) -> Value:
        return self.op("tshr", a, b, "uint32", into)

    def fma(self, a: Value, b: Operand, c: Value, type: str = "int32",
            into: Value | None = None) -> Value:  # fmt: skip
        """a * b + c; fp32 is rounded once."""
        return self.put("tfma", into, type=type, a=a, b=b, c=c)

    def function(self, name: str, a: Operand, into: Value | None = None) -> Value:
        """``texp``, ``tsqrt`` and the other functions of one fp32."""
        return self.put(name, into, type="fp32", a=a)

    def convert(self, a: Value, type: str, to: str, into: Value | None = None) -> Value:
        return self.put("tcvt", into, type=type, to=to, a=a)

    def compare(self, cond: str, a: Value, b: Operand, type: str = "int32") -> Predicate:
        """A predicate: a cond b."""
        q = self.predicate()
        self("tcmp", cond=cond, type=type, dst=q, a=a, b=b)
        return q

    def select(self, c: Predicate, a: Value, b: Operand, into: Value | None = None) -> Value:
        """a where the predicate holds, else b."""
        return self.put("tsel", into, a=a, b=b, c=c)

    # ---- memory ----------------------------------------------------------------------------------

    def load(
        self, base: Reg, index: Value | None = None, offset: int = 0, *, width: str = "b32",
        space: str = "gm", cache: str = "keep", into: Value | None = None,
    ) -> Value:  # fmt: skip
        """The word (byte, half) at base + index + offset; index and offset count bytes."""
        return self.put("tld", into, space=space, width=width, base=base, index=index,
                        offset=offset, cache=cache)  # fmt: skip

    def load_row(self, base: Reg, index: Value | None = None, offset: int = 0, *,
                 width: str = "b128", space: str = "gm") -> list[Value]:  # fmt: skip
        """2 or 4 words in registers one after another."""
        run = self.row(WORDS[width])
        self.load(base, index, offset, width=width, space=space, into=run[0])
        return run

    def store(self, value: Value, base: Reg, index: Value | None = None, offset: int = 0, *,
              width: str = "b32", space: str = "gm") -> None:  # fmt: skip
        self("tst", space=space, width=width, src=value, base=base, index=index, offset=offset)

    def atomic(self, op: str, b: Value, base: Reg, index: Value | None = None, offset: int = 0, *,
               type: str = "int32", space: str = "gm") -> None:  # fmt: skip
        """memory = memory op b, whole; the old value is not wanted."""
        self("tatom", space=space, op=op, type=type, dst=None, base=base, index=index, b=b,
             offset=offset)  # fmt: skip

    # ---- a warp, a block -------------------------------------------------------------------------

    def shuffle(self, mode: str, a: Value, b: Operand) -> Value:
        """a of lane b, lane - b, lane + b or lane ^ b: ``idx``, ``up``, ``down``, ``xor``."""
        return self.put("tshfl", None, mode=mode, a=a, b=b)

    def reduce(self, op: str, a: Value, type: str = "int32", into: Value | None = None) -> Value:
        """``sum``, ``max`` or ``min`` over the warp's active lanes, in each of them."""
        return self.put("tred", into, op=op, type=type, a=a)

    def barrier(self) -> None:
        """All threads of the block meet."""
        self("tbar")

    # ---- control ---------------------------------------------------------------------------------

    @contextmanager
    def only(self, q: Predicate, holds: bool = True) -> Iterator[None]:
        """The block under a guard: for a few instructions, at no cost of branches."""
        if self._guard is not None:
            raise ValueError(f"{self.name}: guards do not nest; use `when`")
        self._guard = Guard(q.index, not holds)
        with self.scope():
            yield
        self._guard = None

    @contextmanager
    def when(self, q: Predicate) -> Iterator[Callable[[], None]]:
        """The block for threads whose predicate holds; all meet again behind it.

        It gives a function: what stands behind its call is for the other threads.
        """
        other, meet = self.label(), self.label()
        self("tpush", target=meet)
        self("tbra", target=other, when=Guard(q.index, True))
        kept = list(self._r), list(self._q)
        turned = False

        def otherwise() -> None:
            nonlocal turned
            if turned:
                raise ValueError(f"{self.name}: a branch has two sides")
            turned = True
            self._r, self._q = list(kept[0]), list(kept[1])
            self("tbra", target=meet)
            self.bind(other)

        yield otherwise
        self._r, self._q = kept
        if not turned:
            self.bind(other)
        self.bind(meet)
        self("tpop")

    @contextmanager
    def loop(self, condition: Callable[[], Predicate]) -> Iterator[None]:
        """While `condition()`, asked before every turn; threads leave one by one and meet behind.

        The condition is emitted once; its predicate is free again after the loop.
        """
        top, out = self.label(), self.label()
        with self.scope():
            self("tpush", target=out)
            self.bind(top)
            self("tbra", target=out, when=Guard(condition().index, True))
            yield
            self("tbra", target=top)
            self.bind(out)
            self("tpop")

    @contextmanager
    def each_from(self, i: Value, stop: Operand, step: Operand) -> Iterator[None]:
        """``for i in range(i, stop, step)``, for every thread its own."""
        with self.loop(lambda: self.compare("lt", i, stop)):
            yield
            self.add(i, step, into=i)
