"""Values of a resolved program: every segment is one operation on an array of vectors.

The bulk engine's second half. `_bulk.Bulk` has found which values feed which operands and an order
in which producers come first; here that order is followed once per run. Vectors are rows of bytes:
a result of the VXM or a plane is [n, lanes * bytes of an element], one of a slice or an SXM a byte
plane [n, lanes] per stream. Weight passes go to BLAS where its sums are provably exact.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from emulator.lpu import _bulk_values as rows
from emulator.lpu._bulk import Bulk
from emulator.lpu.passes import Pass, Passes, is_scaled
from emulator.lpu.prepare import TRANSPOSED, Prepared
from isa.lpu import LPU, TYPES
from isa.table import BYTES_OF

Bytes = NDArray[np.uint8]
FEED = 16  # streams of lw
_BYTES = {code: BYTES_OF[name] for name, code in TYPES.items()}
_NO_MAP, _NO_ENTRIES = np.zeros(1, np.uint16), np.zeros(16, np.int8)


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

    def __init__(self, prepared: Prepared, bulk: Bulk) -> None:
        self.prepared, self.chip = prepared, prepared.chip
        self.ops = _tuples(Op, prepared.ops)
        segments, links = bulk.segments(), bulk.links()
        self.macs = self._multiplications(segments)
        # Reads of words that never change are no steps: their readers look into SRAM themselves.
        fixed = segments["constant"] != 0
        first = (segments["queue"] >> 1).astype(np.int64) * self.chip.mem.words + segments["value"]
        stride = segments["stride"]
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
        self.steps = [
            Step._make((number, *table[number], every[starts[number] : ends[number]]))
            for number in order[~fixed[order]].tolist()
        ]

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
        numbers, at = np.unique(links["seg"], return_index=True)
        return dict(zip(numbers.tolist(), np.split(table, at[1:]), strict=True))

    def run(self, sram: Bytes) -> None:
        """Run on a filled `sram` [slices * words, lanes], which changes."""
        with Passes(self.chip, self.macs) as passes:
            _Run(self, sram, passes).run()


class _Run:
    """One run: results that are still wanted, and the state of the units."""

    def __init__(self, flow: Flow, sram: Bytes, passes: Passes) -> None:
        self.flow, self.sram, self.chip, self.passes = flow, sram, flow.chip, passes
        self.lanes = self.chip.lanes
        self.results: list[Any] = [None] * len(flow.uses)  # bytes, or a list of byte planes
        self.uses = list(flow.uses)
        self.running: dict[int, NDArray[np.uint32]] = {}
        self.maps: dict[int, NDArray[np.uint16]] = {}
        vector = {row.name: self.vxm for row in LPU.rows if row.unit == "vxm"}
        methods = {
            "read": self.read, "write": self.write, "lw": self.load, "lws": self.load_scales,
            "mm": self.multiply, "setmap": self.setmap, "transpose": self.transpose,
            **{row.name: self.move for row in LPU.rows if row.unit == "sxm"
               and row.name not in ("setmap", "transpose")},
            **vector, "runmax": self.accumulate, "runsum": self.accumulate,
        }  # fmt: skip
        self.methods = {LPU.by_name[name].code: method for name, method in methods.items()}

    def run(self) -> None:
        ops, uses, results = self.flow.ops, self.uses, self.results
        for step in self.flow.steps:
            op = ops[step.op]
            method = self.methods.get(op.code)
            if method is None:  # iw, notify
                continue
            results[step.number] = method(step, op)
            for link in step.links:
                uses[link.producer] -= 1
                if not uses[link.producer]:
                    results[link.producer] = None

    # ---- operands ----------------------------------------------------------------------------

    def source(self, link: Link) -> tuple[Bytes, int, int]:
        """Rows that hold a link's bytes, which byte of their elements, of how many."""
        place = self.flow.places[link.producer]
        if place is not None:
            first, stride = place
            by = link.ks * stride
            return _rows(self.sram, first + link.k0 * stride, link.n, by), 0, 1
        result = self.results[link.producer]
        if isinstance(result, list):
            return _rows(result[link.source], link.k0, link.n, link.ks), 0, 1
        source = 0 if link.chained else link.source
        return _rows(result, link.k0, link.n, link.ks), source, result.shape[1] // self.lanes

    def plane(self, links: list[Link], n: int) -> Bytes:
        """One stream of an operand: bytes [n, lanes]."""
        if len(links) == 1:
            data, source, width = self.source(links[0])
            if width == 1:
                return data
        out = np.empty((n, self.lanes), np.uint8)
        for link in links:
            data, source, width = self.source(link)
            rows.move(out[link.i0 : link.i0 + link.n], 0, 1, data, source, width)
        return out

    def operand(self, step: Step, which: int, width: int) -> Bytes | None:
        """An operand as elements of `width` bytes [n, lanes * width]; None: the immediate."""
        links = [link for link in step.links if link.operand == which]
        if not links:
            return None
        first = links[0]
        if first.chained:
            parts = [self.source(link)[0] for link in links]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)
        result = self.results[first.producer]
        if len(links) == width and isinstance(result, np.ndarray):
            whole = result.shape[1] == width * self.lanes and all(
                link.producer == first.producer and link.source == link.part
                and link.k0 == first.k0 and link.ks == first.ks and link.n == step.n
                for link in links
            )  # fmt: skip
            if whole:
                return _rows(result, first.k0, first.n, first.ks)
        planes = [
            self.plane([link for link in links if link.part == k], step.n) for k in range(width)
        ]
        if width == 1:
            return planes[0]
        out = np.empty((step.n, width * self.lanes), np.uint8)
        rows.join(out, planes)
        return out

    # ---- memory ------------------------------------------------------------------------------

    def read(self, step: Step, op: Op) -> Bytes:
        """A copy, for a later write may change the words."""
        first = (step.queue >> 1) * self.chip.mem.words + step.value
        return _rows(self.sram, first, step.n, step.stride).copy()

    def write(self, step: Step, op: Op) -> None:
        base = (step.queue >> 1) * self.chip.mem.words + step.value
        for link in step.links:
            data, source, width = self.source(link)
            first, n = base + link.i0 * step.stride, link.n
            if step.stride == 0:  # the last one stays
                data, n = data[-1:], 1
            rows.move(self.sram[_span(first, n, step.stride)], 0, 1, data, source, width)

    # ---- vector unit -------------------------------------------------------------------------

    def vxm(self, step: Step, op: Op) -> Bytes:
        width, result = _BYTES[op.type], _BYTES[op.to] if op.name == "cast" else _BYTES[op.type]
        if op.name in ("lt", "le", "gt", "ge", "eq", "ne"):
            result = 1
        out = np.empty((step.n, result * self.lanes), np.uint8)
        a, b, c = (self.operand(step, i, w) for i, w in ((0, width), (1, width), (2, 1)))
        rows.vxm(op.code, op.type, op.to, bool(op.sat), op.value, step.value - op.value,
                 step.stride, a, b, c, out, self.lanes)  # fmt: skip
        return out

    def accumulate(self, step: Step, op: Op) -> Bytes | None:
        acc = self.running.setdefault(step.queue, np.zeros(self.lanes, np.uint32))
        out = np.empty((step.n, self.lanes), np.uint32) if op.emit else None
        a = self.operand(step, 0, _BYTES[op.type])
        rows.running(op.code, op.type, bool(op.start), op.value, step.value - op.value,
                     step.stride, a, step.n, acc, out)  # fmt: skip
        return None if out is None else out.view(np.uint8)

    # ---- lanes that move ---------------------------------------------------------------------

    def setmap(self, step: Step, op: Op) -> None:
        map_ = self.operand(step, 0, 2)
        assert map_ is not None
        self.maps[step.queue] = np.ascontiguousarray(map_[-1]).view(np.uint16)

    def move(self, step: Step, op: Op) -> list[Bytes]:
        by = [link for link in step.links if link.operand == 2]
        chosen = self.plane(by, step.n) if by else None
        entries = self.flow.prepared.entries[op.entries] if op.entries >= 0 else _NO_ENTRIES
        planes = []
        for k in range(op.width):
            a, b = (
                [link for link in step.links if link.operand == i and link.part == k]
                for i in (0, 1)
            )
            x = self.plane(a, step.n)
            y = self.plane(b, step.n) if b else x
            out = np.empty((step.n, self.lanes), np.uint8)
            rows.sxm(op.code, step.value, step.stride, bool(op.wrap), self.chip.superlane,
                     self.maps.get(step.queue, _NO_MAP), entries, x, y,
                     x if chosen is None else chosen, out)  # fmt: skip
            planes.append(out)
        return planes

    def transpose(self, step: Step, op: Op) -> list[Bytes]:
        block = self.chip.superlane
        planes = [
            self.plane([link for link in step.links if link.part == k], step.n)
            for k in range(TRANSPOSED)
        ]
        cubes = np.stack(planes).reshape(TRANSPOSED, step.n, self.lanes // block, block)
        turned = np.ascontiguousarray(cubes.transpose(3, 1, 2, 0))
        return list(turned.reshape(TRANSPOSED, step.n, self.lanes))

    # ---- matrix unit -------------------------------------------------------------------------

    def load(self, step: Step, op: Op) -> None:
        """Weight codes [output lanes, input lanes]."""
        size = _BYTES[op.type]
        codes = np.empty((op.rows, op.lanes * size), np.uint8)
        table = self.flow.gathers.get(step.number)
        if table is not None:
            rows.gather(codes, size, self.sram, table)
        per_cycle = FEED // size
        for link in step.links:
            data, source, width = self.source(link)
            lane, byte = divmod(link.part, size)
            out = codes[per_cycle * link.i0 + lane :: per_cycle][: link.n]
            rows.move(out, byte, size, data, source, width)
        self.passes.load(step.number, op.type, codes)

    def load_scales(self, step: Step, op: Op) -> None:
        """Scale codes [blocks, output lanes]."""
        codes = np.empty((1 + max(link.part for link in step.links), self.lanes), np.uint8)
        for link in step.links:
            data, source, width = self.source(link)
            rows.move(codes[link.part : link.part + 1], 0, 1, data, source, width)
        self.passes.load(step.number, op.type, codes)

    def multiply(self, step: Step, op: Op) -> Bytes | None:
        scales = None
        if is_scaled(op.type):
            of = [[link for link in step.links if link.part == k] for k in (0, 1)]
            x, scales = self.plane(of[0], step.n), self.plane(of[1], step.n)
        else:
            whole = self.operand(step, 0, _BYTES[op.type])
            assert whole is not None
            x = whole
        return self.passes.multiply(Pass(
            step.queue, op.type, step.load, step.load_scales, x, scales, step.value, step.stride,
            bool(op.start), bool(op.emit),
        ))  # fmt: skip


def _tuples(kind: type[Row], records: NDArray[Any]) -> list[Row]:
    """The rows of a record array as named tuples of the fields that those have."""
    columns = (records[field].tolist() for field in kind._fields)
    return [kind(*row) for row in zip(*columns, strict=True)]


def _span(first: int, n: int, step: int) -> slice:
    """Indices first, first + step, ... (n of them) as a slice; `step` 0 counts as one index."""
    if step == 0:
        return slice(first, first + 1)
    stop = first + (n - 1) * step + (1 if step > 0 else -1)
    return slice(first, stop if stop >= 0 else None, step)


def _rows(data: Bytes, first: int, n: int, step: int) -> Bytes:
    """The rows first, first + step, ... of an array, without a copy."""
    if step == 0 and n > 1:
        return np.broadcast_to(data[first], (n, data.shape[1]))
    return data[_span(first, n, step)]
