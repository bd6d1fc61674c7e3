"""Values of a resolved program: every step is one operation on an array of vectors.

The bulk engine's second half. The steps of a `Flow` are followed once per run. Vectors are rows of
bytes: a result of the VXM or a plane is [n, lanes * bytes of an element], one of a slice or an SXM
a byte plane [n, lanes] per stream. Weight passes are made in chains, on all CPUs (`passes`).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.lpu import _bulk_values as rows
from emulator.lpu.flow import FEED, Flow, Link, Op, Step
from emulator.lpu.passes import Chain, Pass, Planes, Weights, is_scaled, settled
from emulator.lpu.prepare import TRANSPOSED
from isa.lpu import LPU, TYPES
from isa.table import BYTES_OF

Bytes = NDArray[np.uint8]
_BYTES = {code: BYTES_OF[name] for name, code in TYPES.items()}
_NO_MAP, _NO_ENTRIES = np.zeros(1, np.uint16), np.zeros(16, np.int8)


def run(flow: Flow, sram: Bytes) -> None:
    """Follow `flow` on a filled `sram` [slices * words, lanes], which changes."""
    with Planes(flow.chip, flow.macs) as planes:
        Run(flow, sram, planes).run()


class Run:
    """One run: results that are still wanted, and the state of the units."""

    def __init__(self, flow: Flow, sram: Bytes, planes: Planes) -> None:
        self.flow, self.sram, self.chip, self.planes = flow, sram, flow.chip, planes
        self.lanes = self.chip.lanes
        self.results: list[Any] = [None] * len(flow.uses)  # bytes, or a list of byte planes
        self.uses = list(flow.uses)
        self.running: dict[int, NDArray[np.uint32]] = {}
        self.maps: dict[int, NDArray[np.uint16]] = {}
        self.loads: dict[int, Any] = {}  # Weights or scale codes, by segment
        self.load_uses = dict(flow.load_uses)
        self.collected: dict[int, list[Pass]] = {}  # of chains that are not fixed
        self.next_ahead = 0
        self.ahead: dict[int, Future[Bytes] | Bytes] = {}  # by the segment that emits them

    def run(self) -> None:
        ops, uses, results = self.flow.ops, self.uses, self.results
        for step in self.flow.steps:
            op = ops[step.op]
            results[step.number] = _METHODS[op.code](self, step, op)
            for link in step.links:
                uses[link.producer] -= 1
                if not uses[link.producer]:
                    results[link.producer] = None

    # ---- operands ----------------------------------------------------------------------------

    def result(self, number: int) -> Any:
        """A segment's result, waited for if need be."""
        result = self.results[number]
        if isinstance(result, Future):
            result = self.results[number] = settled(result)
        return result

    def source(self, link: Link) -> tuple[Bytes, int, int]:
        """Rows that hold a link's bytes, which byte of their elements, of how many."""
        place = self.flow.places[link.producer]
        if place is not None:
            first, stride = place
            by = link.ks * stride
            return _rows(self.sram, first + link.k0 * stride, link.n, by), 0, 1
        result = self.result(link.producer)
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
        result = self.result(first.producer)
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
        self.loads[step.number] = self.weights(step)

    def load_scales(self, step: Step, op: Op) -> None:
        self.loads[step.number] = self.weight_scales(step)

    def weights(self, step: Step) -> Weights:
        """What an ``lw`` loads: codes [output lanes, input lanes], or where SRAM has them."""
        op = self.flow.ops[step.op]
        size = _BYTES[op.type]
        table = self.flow.gathers.get(step.number)
        if table is not None:
            return Weights(op.rows, op.lanes, self.sram, table)
        codes = np.empty((op.rows, op.lanes * size), np.uint8)
        per_cycle = FEED // size
        for link in step.links:
            data, source, width = self.source(link)
            lane, byte = divmod(link.part, size)
            out = codes[per_cycle * link.i0 + lane :: per_cycle][: link.n]
            rows.move(out, byte, size, data, source, width)
        return Weights(op.rows, op.lanes, codes, None)

    def weight_scales(self, step: Step) -> Bytes:
        """Scale codes [blocks, output lanes]."""
        codes = np.empty((1 + max(link.part for link in step.links), self.lanes), np.uint8)
        for link in step.links:
            data, source, width = self.source(link)
            rows.move(codes[link.part : link.part + 1], 0, 1, data, source, width)
        return codes

    def loaded(self, number: int) -> Any:
        """What segment `number`, an lw or lws, loads or has loaded."""
        if number not in self.load_uses:
            step = self.flow.step_of[number]
            return (
                self.weights(step) if self.flow.ops[step.op].name == "lw"
                else self.weight_scales(step)
            )  # fmt: skip
        self.load_uses[number] -= 1
        return self.loads[number] if self.load_uses[number] else self.loads.pop(number)

    def product(self, step: Step) -> Pass:
        """One pass with its operands."""
        op, scales, weight_scales = self.flow.ops[step.op], None, None
        if is_scaled(op.type):
            of = [[link for link in step.links if link.part == k] for k in (0, 1)]
            x, scales = self.plane(of[0], step.n), self.plane(of[1], step.n)
            weight_scales = self.loaded(step.load_scales)
        else:
            whole = self.operand(step, 0, _BYTES[op.type])
            assert whole is not None
            x = whole
        return Pass(op.type, x, scales, self.loaded(step.load), weight_scales, bool(op.start))

    def multiply(self, step: Step, op: Op) -> Bytes | Future[Bytes] | None:
        chain = self.flow.chain_of.get(step.number)
        if chain is None:
            one = self.product(step)
            return self.planes.add(step.queue, one, step.value, step.stride, bool(op.emit))
        first = chain.passes[0]
        if first in self.flow.fixed:
            return self.made_ahead(chain)
        passes = self.collected.setdefault(first, [])
        passes.append(self.product(step))
        if not op.emit:
            return None
        del self.collected[first]
        return self.planes.later([passes])[0]

    def made_ahead(self, chain: Chain) -> Bytes | Future[Bytes]:
        """The rows of a chain whose operands never change; starts some that come after it."""
        every, wanted = self.flow.ahead, chain.passes[-1]
        while self.next_ahead < len(every) and (
            len(self.ahead) <= self.planes.ahead or wanted not in self.ahead
        ):
            group = every[self.next_ahead]
            self.next_ahead += 1
            made = self.planes.later([self.passes_of(one) for one in group])
            self.ahead.update(zip((one.passes[-1] for one in group), made, strict=True))
        return self.ahead.pop(wanted)

    def passes_of(self, chain: Chain) -> Iterator[Pass]:
        """The passes of a chain whose operands never change."""
        return (self.product(self.flow.step_of[number]) for number in chain.passes)


_METHODS: dict[int, Any] = {
    row.code: Run.vxm if row.unit == "vxm" else Run.move
    for row in LPU.rows
    if row.unit in ("vxm", "sxm")
}
for _name, _method in (
    ("read", Run.read), ("write", Run.write), ("lw", Run.load), ("lws", Run.load_scales),
    ("mm", Run.multiply), ("setmap", Run.setmap), ("transpose", Run.transpose),
    ("runmax", Run.accumulate), ("runsum", Run.accumulate),
):  # fmt: skip
    _METHODS[LPU.by_name[_name].code] = _method


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
