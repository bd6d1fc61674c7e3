"""A resolved program as steps: what a run with values (`values`) follows.

`_bulk.Bulk` has found which values feed which operands and an order in which producers come first.
Here that becomes a list of steps without those that need no doing: reads and loads of words that
never change are looked up by whoever uses them, and passes over such words are made ahead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from emulator.distinct import distinct
from emulator.layout import Plan
from emulator.lpu._bulk import Bulk
from emulator.lpu.passes import Burst, Chain, find_chains, grouped, is_scaled
from emulator.lpu.prepare import Prepared
from isa.lpu import LPU, TYPES
from isa.table import BYTES_OF

Bytes = NDArray[np.uint8]
FEED = 16  # streams of lw
_BYTES = {code: BYTES_OF[name] for name, code in TYPES.items()}
_MATRIX = ("lw", "lws", "mm")
_NO_VALUE = ("iw", "notify", "sync")


class Link(NamedTuple):
    """Vectors i0 .. i0+n-1 of an operand's stream `part` are k0, k0 + ks, ... of a producer's."""

    i0: int
    n: int
    k0: int
    ks: int
    producer: int
    operand: int
    part: int
    source: int
    chained: int


class Step(NamedTuple):
    """One segment: issues with strided operands value, value + stride, ..."""

    number: int
    op: int
    n: int
    value: int
    stride: int
    queue: int
    load: int
    load_scales: int
    links: list[Link]


class Op(NamedTuple):
    """The fields of an instruction that values depend on."""

    code: int
    type: int
    to: int
    width: int
    sat: int
    start: int
    emit: int
    wrap: int
    rows: int
    lanes: int
    value: int
    entries: int

    @property
    def name(self) -> str:
        return LPU.by_code[self.code].name


Row = TypeVar("Row", Link, Op)


class Flow:
    """The steps of a program, made once; `run` computes what they leave in SRAM."""

    def __init__(self, prepared: Prepared, bulk: Bulk, plan: Plan) -> None:
        self.prepared, self.chip = prepared, prepared.chip
        self.ops = _tuples(Op, prepared.ops)
        segments, links = bulk.segments(), bulk.links()
        self.macs = self._multiplications(segments)
        # Reads of words that never change are no steps: their readers look into SRAM themselves.
        fixed = segments["constant"] != 0
        first = (segments["queue"] >> 1).astype(np.int64) * self.chip.mem.words + segments["value"]
        stride = segments["stride"]
        first, self.unused = self._one_copy(segments, first, plan)
        places = zip(fixed.tolist(), first.tolist(), stride.tolist(), strict=True)
        self.places = [(at, by) if constant else None for constant, at, by in places]
        # Loads from such words alone are one gather each.
        consumer, producer = links["seg"], links["producer"]
        code = prepared.ops["code"][segments["op"]]
        loads = code == LPU.by_name["lw"].code
        loads[consumer[~fixed[producer]]] = False
        gathered = loads[consumer]
        self.gathers = self._gathers(segments, links[gathered], first, stride)
        # How often each result is used.
        self.uses = np.bincount(producer, minlength=len(segments)).tolist()
        every = _tuples(Link, links[~gathered])
        before = np.cumsum(~gathered) - ~gathered
        start = np.append(before, len(every))[segments["first_link"]]
        columns = (segments[c].tolist() for c in Step._fields[1:-1])
        table = list(zip(*columns, strict=True))
        ends = (start + np.where(loads, 0, segments["links"])).tolist()
        starts = start.tolist()
        order = bulk.order()
        every_step = [
            Step._make((number, *table[number], every[starts[number] : ends[number]]))
            for number in order[~fixed[order]].tolist()
        ]
        self._divide(every_step)

    def _one_copy(
        self, segments: NDArray[Any], first: NDArray[np.int64], plan: Plan
    ) -> tuple[NDArray[np.int64], set[tuple[str, int]]]:
        """First words of segments, where reads of words that never change take the first copy of a
        tensor, and the copies that nobody reads then: (tensor, number of its layout)."""
        homes = plan.homes()
        reads = np.flatnonzero(
            self.prepared.ops["code"][segments["op"]] == LPU.by_name["read"].code
        )
        if homes is None or not len(reads):
            return first, set()
        n = segments["n"][reads].astype(np.int64)
        start = np.cumsum(n) - n
        words = np.arange(n.sum()) - np.repeat(start, n)
        words *= np.repeat(segments["stride"][reads], n)
        words += np.repeat(first[reads], n)
        shift = homes[words] - words
        low, high = (pick.reduceat(shift, start) for pick in (np.minimum, np.maximum))
        moved = (segments["constant"][reads] != 0) & (low == high)
        first = first.copy()
        first[reads[moved]] += low[moved]
        read = np.zeros(len(homes), np.bool_)
        read[words[np.repeat(~moved, n)]] = True
        return first, {
            (name, number)
            for name, copies in plan.rows.items()
            for number, rows in enumerate(copies)
            if number and not read[rows].any() and (homes[rows] != rows).all()
        }

    def _divide(self, steps: list[Step]) -> None:
        """What a run follows step by step, and what is made ahead or when it is needed."""
        ops = self.ops
        self.step_of = {step.number: step for step in steps if ops[step.op].name in _MATRIX}
        products = [step for step in steps if ops[step.op].name == "mm"]
        chains = find_chains(
            [
                Burst(step.number, step.queue, step.value, step.n, step.stride,
                      bool(ops[step.op].start), bool(ops[step.op].emit))
                for step in products
            ],
            self.chip.mxm.acc_rows,
        )  # fmt: skip
        self.chain_of = {number: chain for chain in chains for number in chain.passes}
        ahead = [
            chain for chain in chains
            if all(self._is_fixed(self.step_of[number]) for number in chain.passes)
        ]  # fmt: skip
        self.fixed = {chain.passes[0] for chain in ahead}
        self.ahead = grouped(ahead, [self._weights_of(chain) for chain in ahead])
        lazy = {
            number for number, step in self.step_of.items()
            if ops[step.op].name != "mm" and self._is_fixed(step)
        }  # fmt: skip
        # How many products each load serves that is made when its step comes.
        self.load_uses = Counter(
            load for step in products for load in (step.load, step.load_scales) if load not in lazy
        )
        skip = lazy | {number for chain in ahead for number in chain.passes[:-1]}
        self.steps = [s for s in steps if s.number not in skip and ops[s.op].name not in _NO_VALUE]

    def _is_fixed(self, step: Step) -> bool:
        """Whether all operands of a step, weights among them, are words that never change."""
        op, loads = self.ops[step.op], []
        if op.name == "mm":
            loads = [step.load, step.load_scales] if is_scaled(op.type) else [step.load]
        return all(self.places[link.producer] is not None for link in step.links) and all(
            self._is_fixed(self.step_of[load]) for load in loads
        )

    def _weights_of(self, chain: Chain) -> Hashable:
        """What is equal where all passes of chains have the same weights, in words that never
        change."""
        found: list[Hashable] = []
        for number in chain.passes:
            step = self.step_of[number]
            load = self.step_of[step.load]
            op = self.ops[load.op]
            found += [op.type, op.rows, op.lanes, self.gathers[step.load].tobytes()]
            if is_scaled(op.type):
                scales = self.step_of[step.load_scales].links
                places = (self.places[link.producer] for link in scales)
                found += [
                    (link.part, place and place[0] + link.k0 * place[1])
                    for link, place in zip(scales, places, strict=True)
                ]
        return tuple(found)

    def _multiplications(self, segments: NDArray[Any]) -> int:
        """Multiply-adds of all products."""
        lanes = self.chip.lanes
        products = self.prepared.ops["code"][segments["op"]] == LPU.by_name["mm"].code
        return int(segments["n"][products].sum()) * lanes * lanes

    def _gathers(
        self, segments: NDArray[Any], links: NDArray[Any], first: NDArray[Any],
        stride: NDArray[Any],
    ) -> dict[int, NDArray[np.int64]]:  # fmt: skip
        """Tables of `_bulk_values.gather` by segment number."""
        if not len(links):
            return {}
        sizes = np.zeros(1 + max(_BYTES), np.int64)
        sizes[list(_BYTES)] = list(_BYTES.values())
        size = sizes[self.prepared.ops["type"][segments["op"][links["seg"]]]]
        producer, per_cycle = links["producer"], FEED // size
        table = np.stack([
            per_cycle * links["i0"] + links["part"] // size, per_cycle, links["part"] % size,
            first[producer] + links["k0"] * stride[producer], links["ks"] * stride[producer],
            links["n"],
        ], 1).astype(np.int64)  # fmt: skip
        at = distinct(links["seg"])
        numbers = links["seg"][at].tolist()
        return dict(zip(numbers, np.split(table, at[1:]), strict=True))


def _tuples(kind: type[Row], records: NDArray[Any]) -> list[Row]:
    """The rows of a record array as named tuples of the fields that those have."""
    columns = (records[field].tolist() for field in kind._fields)
    return [kind(*row) for row in zip(*columns, strict=True)]
