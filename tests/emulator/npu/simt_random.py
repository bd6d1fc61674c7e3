"""Random SIMT programs out of the instruction table: divergent, with barriers, free of races.

``Writer(seed, size)`` writes a function for one block. What keeps it legal whatever is drawn:

- data registers r0 to r9 and predicates q0 to q5 are anybody's; the others hold addresses,
  counters and conditions;
- every thread has 64 bytes of its own in global memory and in UB, and reads a common table that
  nobody writes; every warp has 16 bytes of its own for atomics that give back what was there;
- words that several warps change by atomics are changed by one commutative operation each and
  never read;
- threads exchange words only between two barriers, and barriers stand where all threads come by;
- loops count to a small number.

With ``logged=True`` every result goes to the thread's log as well, so that two machines can be
compared write by write.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from emulator.npu.globals import ALIGNMENT, at
from isa.fields import EnumField, Field, IntField
from isa.npu import NPU
from isa.npu_fields import Guard, GuardField, MaybeRegField, Reg, RegField, ValueField
from isa.npu_simt import ROWS
from isa.program import Program, Tensor
from isa.table import Row
from programs.npu.emit import Code

DATA, PREDICATES = 10, 6  # registers that anything may change
LOG, OWN, SLOT, TEMP, WARP, ONE = (Reg("r", i) for i in range(10, 16))
COUNTERS = [Reg("r", i) for i in range(16, 20)]  # of loops, by depth
COND = Reg("q", 6)
U = {name: Reg("u", i) for i, name in enumerate(
    ("table", "own", "shared", "warps", "log", "final", "zero", "swap", "ub_warps", "ub_shared",
     "some"))}  # fmt: skip
TABLE, SHARED, OWN_BYTES, LOG_WORDS = 4096, 32, 64, 700
SOME = 0xFEDCBA9876543210  # a uniform argument: its low half counts
INTEGERS = (0, 1, 2, 3, 5, 31, 32, 33, 255, 65535, 1 << 30, (1 << 31) - 1, -1, -2, -31, -(1 << 31))
REALS = (0.0, -0.0, 0.5, 1.0, -1.0, 1.5, 3.0, 1e-3, 1e10, -7.25, 1e-40, 3.4e38, -0.1)
WIDE = float("inf")

CONTROL = tuple(r for r in ROWS if r.timing in ("simt.branch", "simt.barrier"))
MEMORY = tuple(r for r in ROWS if "space" in r.by_name)
PLAIN = tuple(r for r in ROWS if r not in CONTROL and r not in MEMORY)


@dataclass(frozen=True)
class Case:
    """A program and what it runs on."""

    program: Program
    threads: int
    args: tuple[int, ...]
    inputs: dict[str, np.ndarray[Any, Any]]
    logged: bool

    @property
    def words(self) -> list[int]:
        return list(self.program.section("simt.f"))


class Writer:
    """Writes one program."""

    def __init__(self, seed: int, size: int, logged: bool = False) -> None:
        self.random = random.Random(seed)
        self.size, self.logged = size, logged
        self.threads = self.random.choice((1, 7, 32, 33, 64, 96, 100))
        self.code = Code("simt.f")
        self.depth = 0  # of loops
        self.trips = 1  # how often the words here run, at most
        self.spent = 0  # log words of a thread, at most
        self.uniform = True  # all threads come by

    # ---- the program -----------------------------------------------------------------------------

    def case(self) -> Case:
        self._prologue()
        self._statements(self.size)
        self._epilogue()
        return self._case()

    def _prologue(self) -> None:
        """Registers that stay, values from the table, and memory that has been written."""
        code = self.code
        code("tsr", which="tid", dst=OWN)
        code("tshl", type="uint32", dst=LOG, a=OWN, b=2)
        code("tmov", dst=SLOT, a=LOG)
        code("tshl", type="uint32", dst=OWN, a=OWN, b=6)
        code("tsr", which="warp", dst=WARP)
        code("tshl", type="uint32", dst=WARP, a=WARP, b=4)
        code("tmov", dst=ONE, a=1)
        code("tand", type="uint32", dst=TEMP, a=OWN, b=TABLE - 64)
        for i in range(0, 8, 4):
            code("tld", space="gm", width="b128", dst=Reg("r", i), base=U["table"], index=TEMP,
                 offset=4 * i)  # fmt: skip
        code("tld", space="gm", width="b64", dst=Reg("r", 8), base=U["table"], index=TEMP,
             offset=40)  # fmt: skip
        for i in range(PREDICATES):  # about half of the threads have it
            code("tcmp", cond="lt", type="int32", dst=Reg("q", i), a=Reg("r", i), b=Reg("r", i + 4))
        for space, base in (("gm", U["own"]), ("ub", U["zero"])):
            for i in range(4):
                code("tst", space=space, width="b128", src=Reg("r", i), base=base, index=OWN,
                     offset=16 * i)  # fmt: skip
        for space, shared, warps in (("gm", U["shared"], U["warps"]),
                                     ("ub", U["ub_shared"], U["ub_warps"])):  # fmt: skip
            code("tst", space=space, width="b128", src=Reg("r", 4), base=warps, index=WARP)
            code("tcmp", cond="eq", type="int32", dst=COND, a=SLOT, b=0)
            for i in range(0, 4 * SHARED, 4):
                code("tst", space=space, width="b32", src=Reg("r", i // 4 % DATA), base=shared,
                     index=None, offset=i, when=Guard(COND.index, False))  # fmt: skip
        code("tst", space="ub", width="b32", src=Reg("r", 1), base=U["swap"], index=SLOT)
        code("tbar")

    def _epilogue(self) -> None:
        """Every register and predicate to memory."""
        code = self.code
        for i in range(DATA):
            code("tst", space="gm", width="b32", src=Reg("r", i), base=U["final"], index=SLOT,
                 offset=4 * self.threads * i)  # fmt: skip
        for i in range(PREDICATES):
            code("tsel", dst=TEMP, a=ONE, b=0, c=Reg("q", i))
            code("tst", space="gm", width="b32", src=TEMP, base=U["final"], index=SLOT,
                 offset=4 * self.threads * (DATA + i))  # fmt: skip
        code("texit")

    def _statements(self, count: int) -> None:
        for _ in range(count):
            if self.spent + 8 * self.trips > LOG_WORDS:
                return
            self._statement()

    def _statement(self) -> None:
        kinds: list[tuple[int, Callable[[], None]]] = [
            (10, self._plain), (4, self._memory), (2, self._atomic),
            (4 if self.depth < 3 else 0, self._branch), (2 if self.depth < 3 else 0, self._loop),
            (2 if self.uniform else 0, self._exchange), (1, self._cycle),
            (1 if self.depth == 0 else 0, self._exit),
        ]  # fmt: skip
        weights = [w for w, _ in kinds]
        self.random.choices([k for _, k in kinds], weights)[0]()

    # ---- operands --------------------------------------------------------------------------------

    def data(self, last: int = 0) -> Reg:
        """A data register with `last` more behind it."""
        return Reg("r", self.random.randrange(DATA - last))

    def predicate(self) -> Reg:
        return Reg("q", self.random.randrange(PREDICATES))

    def guard(self) -> Guard | None:
        if self.random.random() < 0.7:
            return None
        return Guard(self.predicate().index, self.random.random() < 0.5)

    def number(self, kind: str | None) -> int | float:
        if kind in (None, "fp32", "fp16", "bf16") and self.random.random() < 0.5:
            return self.random.choice((*REALS, WIDE, -WIDE))
        if self.random.random() < 0.1:
            return self.random.choice((2.5, -2.5, 7.0))
        small = self.random.randrange(-40, 40)
        return self.random.choice((*INTEGERS, small, small))

    def operand(self, f: Field, kind: str | None) -> Any:
        """Any value of a field that keeps the program legal."""
        match f:
            case IntField():
                return f.default
            case GuardField():
                return self.guard()
            case EnumField():
                return self.random.choice([c for c in f.choices if c != "cycle"])
            case MaybeRegField() if self.random.random() < 0.2:
                return None
            case MaybeRegField() | RegField():
                return self.data() if f.file == "r" else self.predicate()
            case ValueField():
                pick = self.random.random()
                if pick < 0.6:
                    return self.data()
                return U["some"] if pick < 0.65 else self.number(kind)
        raise AssertionError(f"no value for {f}")

    def instruction(self, row: Row) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for f in row.fields:
            values[f.name] = self.operand(f, values.get("type"))
        return values

    # ---- statements ------------------------------------------------------------------------------

    def _plain(self) -> None:
        row = self.random.choice(PLAIN)
        values = self.instruction(row)
        self.code(row.name, **values)
        self._log(values["dst"], values["when"])

    def _cycle(self) -> None:
        """Time may be asked for; what it is nobody compares."""
        self.code("tsr", which="cycle", dst=TEMP)
        self.code("tand", type="int32", dst=TEMP, a=TEMP, b=0)
        self._log(TEMP, None)

    def _memory(self) -> None:
        """A load of the table or of the thread's own bytes, or a store there."""
        choose, guard = self.random.choice, self.guard()
        size, width = choice_of_width(self.random)
        words = max(size // 4, 1)
        space = choose(("gm", "ub"))
        offset = self.random.randrange(OWN_BYTES // size) * size
        hint = choose(("keep", "stream", "bypass"))
        if choose((True, False, False)):
            if choose((True, False)):  # anywhere in the table
                where = self.data()
                self.code("tand", type="uint32", dst=TEMP, a=where, b=TABLE - 16)
                place = {"base": U["table"], "index": TEMP,
                         "offset": self.random.randrange(16 // size) * size}  # fmt: skip
            else:  # the same for all
                place = {"base": U["table"], "index": None,
                         "offset": self.random.randrange(TABLE // size) * size}  # fmt: skip
            space = "gm"
        else:
            place = {"base": U["own"] if space == "gm" else U["zero"], "index": OWN,
                     "offset": offset}  # fmt: skip
            if choose((True, False)):
                self.code("tst", space=space, width=width, src=self.data(words - 1), cache=hint,
                          when=guard, **place)  # fmt: skip
        dst = self.data(words - 1)
        self.code("tld", space=space, width=width, dst=dst, cache=hint, when=guard, **place)
        for i in range(words):
            self._log(Reg("r", dst.index + i), guard)

    def _atomic(self) -> None:
        choose, guard = self.random.choice, self.guard()
        row = NPU.row("tatom")
        values = self.instruction(row) | {"when": guard, "offset": 4 * choose(range(4))}
        space = values["space"]
        kind = choose(("own", "warp", "shared"))
        if kind == "own":
            values |= {"base": U["own"] if space == "gm" else U["zero"], "index": OWN}
        elif kind == "warp":
            values |= {"base": U["warps"] if space == "gm" else U["ub_warps"], "index": WARP}
        else:
            names = [n for n in row.by_name["op"].choices if n not in ("exch", "cas")]  # type: ignore[attr-defined]
            counter = choose(range(SHARED))
            # One operation and type for each word.
            values |= {"op": names[counter % len(names)], "type": ("int32", "uint32")[counter % 2]}
            values |= {"base": U["shared"] if space == "gm" else U["ub_shared"], "index": None,
                       "offset": 4 * counter, "dst": None}  # fmt: skip
        values["c"] = self.data() if values["op"] == "cas" else None
        self.code("tatom", **values)
        if values["dst"] is not None:
            self._log(values["dst"], guard)

    def _branch(self) -> None:
        code, outer = self.code, self.uniform
        self.uniform = False
        q = self.predicate()
        otherwise, end = code.label(), code.label()
        both = self.random.random() < 0.5
        code("tpush", target=end)
        target = otherwise if both else end
        code("tbra", target=target, when=Guard(q.index, self.random.random() < 0.5))
        self.depth += 1
        self._statements(self.random.randrange(1, 4))
        if both:
            code("tbra", target=end)
            code.bind(otherwise)
            self._statements(self.random.randrange(0, 3))
        self.depth -= 1
        code.bind(end)
        code("tpop")
        self.uniform = outer

    def _loop(self) -> None:
        """Up to three times, for each thread its own number or the same for all; with a break."""
        code, outer = self.code, self.uniform
        same = self.random.random() < 0.5
        counter = COUNTERS[self.depth]
        if same:
            code("tmov", dst=counter, a=self.random.randrange(4))
        else:
            code("tand", type="uint32", dst=counter, a=self.data(), b=3)
        self.uniform = outer and same
        top, end = code.label(), code.label()
        code("tpush", target=end)
        code.bind(top)
        code("tcmp", cond="eq", type="int32", dst=COND, a=counter, b=0)
        code("tbra", target=end, when=Guard(COND.index, False))
        self.depth, self.trips = self.depth + 1, self.trips * 3
        self._statements(self.random.randrange(1, 4))
        if not same and self.random.random() < 0.5:
            code("tbra", target=end, when=Guard(self.predicate().index, False))
            self._statements(1)
        self.depth, self.trips = self.depth - 1, self.trips // 3
        code("tsub", type="int32", dst=counter, a=counter, b=1)
        code("tbra", target=top)
        code.bind(end)
        code("tpop")
        self.uniform = outer

    def _exchange(self) -> None:
        """Everybody writes a word, meets everybody, reads another's word, meets again."""
        code = self.code
        code("tst", space="ub", width="b32", src=self.data(), base=U["swap"], index=SLOT)
        code("tbar")
        code("tadd", type="uint32", dst=TEMP, a=SLOT,
             b=4 * self.random.randrange(self.threads))  # fmt: skip
        code("trem", type="uint32", dst=TEMP, a=TEMP, b=4 * self.threads)
        dst = self.data()
        code("tld", space="ub", width="b32", dst=dst, base=U["swap"], index=TEMP)
        self._log(dst, None)
        code("tbar")

    def _exit(self) -> None:
        """Some threads are done."""
        if self.random.random() < 0.3:
            self.code("texit", when=Guard(self.predicate().index, False))

    # ---- the log ---------------------------------------------------------------------------------

    def _log(self, dst: Reg, guard: Guard | None) -> None:
        """Append a result to the thread's log."""
        if not self.logged:
            return
        self.spent += self.trips
        # A predicate may have been its own guard: then all threads write it down.
        if dst.file == "q":
            self.code("tsel", dst=TEMP, a=ONE, b=0, c=dst)
            dst, guard = TEMP, None
        self.code("tst", space="gm", width="b32", src=dst, base=U["log"], index=LOG, when=guard)
        self.code("tadd", type="uint32", dst=LOG, a=LOG, b=4 * self.threads, when=guard)

    def _case(self) -> Case:
        threads = self.threads
        rng = np.random.default_rng(self.random.randrange(1 << 32))
        table = rng.integers(0, 1 << 32, TABLE // 4, dtype=np.uint32)
        floats = rng.standard_normal(TABLE // 4).astype(np.float32).view(np.uint32)
        small = rng.integers(0, 64, TABLE // 4).astype(np.uint32)
        kind = rng.integers(0, 3, TABLE // 4)
        table = np.choose(kind, (table, floats, small)).astype(np.uint32)
        sizes = {"table": TABLE, "own": threads * OWN_BYTES, "shared": 4 * SHARED,
                 "warps": 16 * -(-threads // 32), "log": 4 * threads * LOG_WORDS,
                 "final": 4 * threads * (DATA + PREDICATES)}  # fmt: skip
        tensors, place = [], 0
        for name, size in sizes.items():
            role = "in" if name == "table" else "out"
            tensors.append(Tensor(name, "uint32", (size // 4,), role, at(place)))
            place = -(-(place + size) // ALIGNMENT) * ALIGNMENT
        own = threads * OWN_BYTES  # in UB from byte 0 on, then what is exchanged, then atomics
        swap = own + 4 * threads + (-4 * threads) % 16
        args = [t.layouts[0].base for t in tensors] + [
            0, own, swap, swap + 16 * -(-threads // 32), SOME,
        ]  # fmt: skip
        caller = Code("core.vector")
        registers = [caller.reg(value if value < 1 << 63 else value - (1 << 64)) for value in args]
        caller("vcall", fn=0, first=registers[0], count=len(args), threads=threads, dcache=32)
        caller("end")
        program = Program(
            "npu", "npu-950pr", (caller.section(), self.code.section()), tuple(tensors),
            meta={"blocks": 1},
        )  # fmt: skip
        return Case(program, threads, tuple(args), {"table": table}, self.logged)


def choice_of_width(rng: random.Random) -> tuple[int, str]:
    """Bytes and name of an access."""
    return rng.choice(((1, "b8"), (2, "b16"), (4, "b32"), (8, "b64"), (16, "b128")))
