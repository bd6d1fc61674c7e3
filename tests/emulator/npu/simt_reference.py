"""A plain interpreter of SIMT functions: one block, thread by thread, every write on record.

It knows the rows of `isa.npu_simt` and nothing of the engine. The order of warps is a parameter: it
changes nothing for programs without races.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emulator import numerics
from isa.npu import NPU, Reg
from isa.npu_fields import Guard
from isa.table import Instruction
from tests.emulator.npu import simt_arithmetic as arithmetic
from tests.emulator.npu.simt_arithmetic import WORD

LANES = 32
SIZES = {"b8": 1, "b16": 2, "b32": 4, "b64": 8, "b128": 16}
FUNCTIONS = {
    "texp": numerics.exp, "texp2": numerics.exp2, "tln": numerics.ln, "tsqrt": numerics.sqrt,
    "trsqrt": numerics.rsqrt, "ttanh": numerics.tanh, "terf": numerics.erf,
}  # fmt: skip
IDENTITY = {
    "fp32": {"sum": 0, "max": 0xFF800000, "min": 0x7F800000},
    "int32": {"sum": 0, "max": 0x80000000, "min": 0x7FFFFFFF},
    "uint32": {"sum": 0, "max": 0, "min": WORD},
}


class Trap(Exception):
    """A fault of the program."""


@dataclass
class Region:
    """Bytes from `base` on; `known` says which of them somebody has written."""

    base: int
    data: bytearray
    known: bytearray

    @classmethod
    def of(cls, base: int, raw: bytes | int) -> Region:
        """Memory with contents, or so many bytes that nobody has written."""
        if isinstance(raw, int):
            return cls(base, bytearray(raw), bytearray(raw))
        return cls(base, bytearray(raw), bytearray(b"\1" * len(raw)))


@dataclass(frozen=True)
class Write:
    """What one warp instruction wrote: lane -> value of a register, or address -> bytes."""

    warp: int
    word: int
    target: str  # r3, q0, gm, ub
    values: dict[int, Any]


@dataclass
class Warp:
    number: int
    active: set[int]
    done: set[int] = field(default_factory=set)
    pc: int = 0
    # (threads that wait, their word), or (threads of a push, None)
    stack: list[tuple[set[int], int | None]] = field(default_factory=list)
    at_barrier: bool = False

    @property
    def finished(self) -> bool:
        return not self.active

    @property
    def ready(self) -> bool:
        return bool(self.active) and not self.at_barrier


class Block:
    """One block's launch of a function."""

    def __init__(
        self,
        words: Sequence[int],
        threads: int,
        args: Sequence[int] = (),
        gm: Sequence[Region] = (),
        ub: int = 0,
        *,
        block: int = 0,
        blocks: int = 1,
        sub: int = 0,
    ) -> None:
        self.code: list[Instruction] = [NPU.decode(word) for word in words]
        self.threads = threads
        self.u = [*args, *[0] * (16 - len(args))]
        self.r = [[0] * 127 for _ in range(threads)]
        self.q = [[False] * 7 for _ in range(threads)]
        self.spaces = {"gm": list(gm), "ub": [Region.of(0, ub)]}
        self.special = {"threads": threads, "block": block, "blocks": blocks, "sub": sub}
        self.writes: list[Write] = []
        self.issued = 0
        self.warps = [
            Warp(w, set(range(w * LANES, min((w + 1) * LANES, threads))))
            for w in range(-(-threads // LANES))
        ]

    def run(self, *, turn: int = 0, backwards: bool = False, limit: int = 1_000_000) -> None:
        """To the end; `Trap` for a fault or after `limit` warp instructions.

        A warp runs `turn` instructions (0: up to the next barrier) before the next one does.
        """
        warps = self.warps[::-1] if backwards else self.warps
        while not all(warp.finished for warp in warps):
            while any(warp.ready for warp in warps):
                for warp in warps:
                    left = turn or limit
                    while warp.ready and left:
                        self.step(warp)
                        left -= 1
                    if self.issued > limit:
                        raise Trap(f"more than {limit} warp instructions")
            for warp in warps:
                warp.at_barrier = False

    # ---- one warp instruction --------------------------------------------------------------------

    def step(self, warp: Warp) -> None:
        if warp.pc >= len(self.code):
            self._leave(warp, warp.active)
            return
        op = self.code[warp.pc]
        self.issued += 1
        guard = op["when"] if "when" in op.row.by_name else None
        chosen = sorted(t for t in warp.active if self._passes(t, guard))
        word = warp.pc
        warp.pc += 1
        if op.name in ("tpush", "tbra", "tpop", "texit", "tbar"):
            self._control(warp, op, set(chosen))
        elif chosen:
            getattr(self, f"_{_KIND[op.name]}")(warp, word, op, chosen)

    def _passes(self, thread: int, guard: Guard | None) -> bool:
        return guard is None or self.q[thread][guard.index] != guard.negated

    def _control(self, warp: Warp, op: Instruction, chosen: set[int]) -> None:
        if op.name == "tpush":
            warp.stack.append((set(warp.active), None))
        elif op.name == "tbra":
            rest = warp.active - chosen
            if chosen and rest:
                warp.stack.append((rest, warp.pc))
                warp.active = chosen
            if chosen:
                warp.pc = op["target"]
        elif op.name == "tpop":
            if not warp.stack:
                raise Trap("tpop without a push")
            self._resume(warp)
        elif op.name == "texit":
            self._leave(warp, chosen)
        else:
            everyone = range(warp.number * LANES, min((warp.number + 1) * LANES, self.threads))
            if warp.active != set(everyone) - warp.done:
                raise Trap("a barrier while threads of the warp wait elsewhere")
            warp.at_barrier = True

    def _leave(self, warp: Warp, threads: set[int]) -> None:
        warp.done |= threads
        warp.active = warp.active - threads
        while not warp.active and warp.stack:
            self._resume(warp)

    def _resume(self, warp: Warp) -> None:
        threads, word = warp.stack.pop()
        warp.active = threads - warp.done
        if word is not None:
            warp.pc = word

    # ---- operands --------------------------------------------------------------------------------

    def _value(self, thread: int, operand: Any, kind: str | None) -> int:
        if isinstance(operand, Reg):
            return (self.r[thread] if operand.file == "r" else self.u)[operand.index] & WORD
        return arithmetic.number(operand, kind)

    def _values(self, op: Instruction, name: str, threads: list[int]) -> list[int]:
        """A source operand in every thread, as the operation's type has it."""
        kind = str(op["type"]) if "type" in op.row.by_name else None
        return [self._value(t, op[name], kind) for t in threads]

    def _put(self, warp: Warp, word: int, reg: Reg, values: dict[int, Any]) -> None:
        for thread, value in values.items():
            (self.r if reg.file == "r" else self.q)[thread][reg.index] = value
        self.writes.append(Write(warp.number, word, str(reg), values))

    # ---- lane by lane ----------------------------------------------------------------------------

    def _each(self, warp: Warp, word: int, op: Instruction, threads: list[int]) -> None:
        names = [n for n in ("a", "b", "c") if n in op.row.by_name]
        sources = [self._values(op, name, threads) for name in names]
        made = [self._one(op, lane) for lane in zip(*sources, strict=True)]
        self._put(warp, word, op["dst"], dict(zip(threads, made, strict=True)))

    def _one(self, op: Instruction, source: tuple[int, ...]) -> Any:
        match op.name:
            case "tmov":
                return source[0]
            case "tnot":
                return ~source[0] & WORD
            case "tneg" | "tabs":
                return arithmetic.unary(op.name, op["type"], source[0])
            case "tfma":
                return arithmetic.fused(op["type"], *source)
            case "tcvt":
                return arithmetic.convert(op["type"], op["to"], source[0])
            case "tcmp":
                return arithmetic.compare(op["cond"], op["type"], *source)
        return arithmetic.binary(op.name, op["type"], *source)

    def _function(self, warp: Warp, word: int, op: Instruction, threads: list[int]) -> None:
        x = np.array(self._values(op, "a", threads), np.uint32).view(np.float32)
        made = FUNCTIONS[op.name](x).view(np.uint32).tolist()
        self._put(warp, word, op["dst"], dict(zip(threads, made, strict=True)))

    def _which(self, warp: Warp, word: int, op: Instruction, threads: list[int]) -> None:
        here = {"lane": lambda t: t % LANES, "warp": lambda t: t // LANES, "tid": lambda t: t,
                "cycle": lambda t: 0}  # fmt: skip
        name = op["which"]
        made = {t: here[name](t) if name in here else self.special[name] for t in threads}
        self._put(warp, word, op["dst"], made)

    def _select(self, warp: Warp, word: int, op: Instruction, threads: list[int]) -> None:
        a, b = (self._values(op, name, threads) for name in ("a", "b"))
        made = {t: a[i] if self.q[t][op["c"].index] else b[i] for i, t in enumerate(threads)}
        self._put(warp, word, op["dst"], made)

    def _predicate(self, warp: Warp, word: int, op: Instruction, threads: list[int]) -> None:
        made = {}
        for t in threads:
            a = self.q[t][op["a"].index]
            b = self.q[t][op["b"].index] if op.name != "qnot" else False
            made[t] = {"qand": a and b, "qor": a or b, "qnot": not a}[op.name]
        self._put(warp, word, op["dst"], made)

    # ---- across the warp -------------------------------------------------------------------------

    def _shuffle(self, warp: Warp, word: int, op: Instruction, threads: list[int]) -> None:
        a = dict(zip(threads, self._values(op, "a", threads), strict=True))
        b = dict(zip(threads, self._values(op, "b", threads), strict=True))
        made = {}
        for t in threads:
            lane, by = t % LANES, b[t]
            source = {"idx": by, "up": lane - by, "down": lane + by, "xor": lane ^ by}[op["mode"]]
            other = t - lane + source
            made[t] = a[other if 0 <= source < LANES and other in a else t]
        self._put(warp, word, op["dst"], made)

    def _vote(self, warp: Warp, word: int, op: Instruction, threads: list[int]) -> None:
        hold = [t % LANES for t in threads if self.q[t][op["a"].index]]
        value = {"any": int(bool(hold)), "all": int(len(hold) == len(threads)),
                 "ballot": sum(1 << lane for lane in hold)}[op["mode"]]  # fmt: skip
        self._put(warp, word, op["dst"], dict.fromkeys(threads, value))

    def _reduce(self, warp: Warp, word: int, op: Instruction, threads: list[int]) -> None:
        tree = [IDENTITY[op["type"]][op["op"]]] * LANES
        for t, value in zip(threads, self._values(op, "a", threads), strict=True):
            tree[t % LANES] = value
        name = {"sum": "tadd", "max": "tmax", "min": "tmin"}[op["op"]]
        while len(tree) > 1:
            tree = [
                arithmetic.binary(name, op["type"], tree[i], tree[i + 1])
                for i in range(0, len(tree), 2)
            ]
        self._put(warp, word, op["dst"], dict.fromkeys(threads, tree[0]))

    # ---- memory ----------------------------------------------------------------------------------

    def _bytes(self, space: str, address: int, size: int, read: bool) -> tuple[Region, int]:
        """The region of an access and its place there."""
        if address % size:
            raise Trap(f"{space} address {address:#x} is not a multiple of {size}")
        for region in self.spaces[space]:
            at = address - region.base
            if at >= 0 and at + size <= len(region.data):
                if read and not all(region.known[at : at + size]):
                    raise Trap(f"{space} bytes at {address:#x} that nobody has written")
                return region, at
        raise Trap(f"no {space} at {address:#x}")

    def _address(self, thread: int, op: Instruction) -> int:
        index = 0 if op["index"] is None else self.r[thread][op["index"].index]
        return (self.u[op["base"].index] + index + op["offset"]) & ((1 << 64) - 1)

    def _load(self, warp: Warp, word: int, op: Instruction, threads: list[int]) -> None:
        size = SIZES[op["width"]]
        raws = {}
        for t in threads:
            region, at = self._bytes(op["space"], self._address(t, op), size, True)
            raws[t] = bytes(region.data[at : at + size])
        for i in range(max(size // 4, 1)):
            reg = Reg("r", op["dst"].index + i)
            made = {t: int.from_bytes(raw[4 * i : 4 * i + 4], "little") for t, raw in raws.items()}
            self._put(warp, word, reg, made)

    def _store(self, warp: Warp, word: int, op: Instruction, threads: list[int]) -> None:
        size = SIZES[op["width"]]
        made = {}
        for t in threads:
            first = op["src"].index
            words = self.r[t][first : first + max(size // 4, 1)]
            raw = b"".join(w.to_bytes(4, "little") for w in words)[:size]
            address = self._address(t, op)
            self._write(op["space"], address, raw)
            made[address] = raw
        self.writes.append(Write(warp.number, word, op["space"], made))

    def _write(self, space: str, address: int, raw: bytes) -> None:
        region, at = self._bytes(space, address, len(raw), False)
        region.data[at : at + len(raw)] = raw
        region.known[at : at + len(raw)] = b"\1" * len(raw)

    def _atomic(self, warp: Warp, word: int, op: Instruction, threads: list[int]) -> None:
        made, before = {}, {}
        for t in threads:
            address = self._address(t, op)
            region, at = self._bytes(op["space"], address, 4, True)
            old = int.from_bytes(region.data[at : at + 4], "little")
            b = self.r[t][op["b"].index]
            if op["op"] == "cas":
                new = self.r[t][op["c"].index] if old == b else old
            elif op["op"] == "exch":
                new = b
            else:
                kind = op["type"] if op["op"] in ("add", "min", "max") else "uint32"
                new = arithmetic.binary(f"t{op['op']}", kind, old, b)
            before[t], made[address] = old, new.to_bytes(4, "little")
            self._write(op["space"], address, made[address])
        self.writes.append(Write(warp.number, word, op["space"], made))
        if op["dst"] is not None:
            self._put(warp, word, op["dst"], before)


# Which method runs a row; rows that move `pc` are in `_control`.
_KIND = {
    **dict.fromkeys(("tmov", "tadd", "tsub", "tmul", "tmulhi", "tdiv", "trem", "tmin", "tmax",
                     "tand", "tor", "txor", "tshl", "tshr", "tfma", "tneg", "tabs", "tnot",
                     "tcvt", "tcmp"), "each"),
    **dict.fromkeys(FUNCTIONS, "function"),
    **dict.fromkeys(("qand", "qor", "qnot"), "predicate"),
    "tsr": "which", "tsel": "select", "tshfl": "shuffle", "tvote": "vote", "tred": "reduce",
    "tld": "load", "tst": "store", "tatom": "atomic",
}  # fmt: skip
