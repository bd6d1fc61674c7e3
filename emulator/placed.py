"""One tensor in SRAM: which vectors its elements lie in, as `isa.program.Layout` says.

An element's slice, word and lane are sums of one term per axis, so whole tensors move in blocks of
vectors: these are the rows of `sram` [slices * words, lanes], and lanes run along one axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.distinct import distinct
from emulator.lpu._bulk_values import fetch, place
from isa.program import Layout, Tensor

Array = NDArray[Any]
Index = NDArray[np.int64]
Task = Callable[[], None]

# numpy types of codes; whatever is not here is kept as unsigned integers of its size.
_CODES = {"fp32": "f4", "fp16": "f2", "int32": "i4", "int8": "i1", "int4": "i1"}
BLOCK = 1024  # vectors that a thread moves at once
CHUNK = 1 << 22  # elements placed at once where lanes do not run along the tensor


class LayoutError(ValueError):
    """A tensor that does not fit its place, or an array that does not fit its tensor."""


def code_dtype(tensor: Tensor) -> np.dtype[Any]:
    """numpy type of a tensor's codes: float32, float16, int32, int8, else uint8 or uint16."""
    return np.dtype("<" + _CODES.get(tensor.dtype, f"u{tensor.element_bytes}"))


def codes_of(tensor: Tensor, array: Array) -> Array:
    """`array` checked against `tensor`, as codes in C order."""
    wanted = code_dtype(tensor)
    array = np.asarray(array)
    if array.shape != tensor.shape:
        raise LayoutError(
            f"tensor '{tensor.name}' has shape {list(tensor.shape)}, not {list(array.shape)}"
        )
    unsigned = np.dtype(f"u{wanted.itemsize}")
    # ml_dtypes arrays are codes of their own kind ('V'); plain ones must be of the right kind.
    if array.dtype != wanted and array.dtype != unsigned:
        foreign = array.dtype.kind == "V" and array.dtype.itemsize == wanted.itemsize
        if not foreign:
            raise LayoutError(
                f"tensor '{tensor.name}' takes {tensor.dtype} codes ({wanted.name}),"
                f" not {array.dtype.name}"
            )
    return np.ascontiguousarray(array).view(wanted)


@dataclass(frozen=True)
class Geometry:
    """The SRAM that layouts are placed in."""

    slices: Sequence[str]  # names in order of their rows
    words: int
    lanes: int


@dataclass(frozen=True)
class Span:
    """Lanes 0..`lanes`-1 of some vectors and the elements that lie in them.

    `rows` [vectors] are their numbers; `part` indexes the tensor (its lane axis moved last) and
    gives [vectors, lanes / repeat] elements.
    """

    rows: Index
    part: tuple[Any, ...]
    lanes: int


class Placed:
    """One layout of one tensor, checked against an SRAM."""

    def __init__(self, tensor: Tensor, layout: Layout, geometry: Geometry) -> None:
        self.tensor, self.layout, self.geometry = tensor, layout, geometry
        numbers = {name: i for i, name in enumerate(geometry.slices)}
        for name in layout.slices:
            if name not in numbers:
                raise LayoutError(f"tensor '{tensor.name}': no slice '{name}'")
        self.first_row = np.array([numbers[n] * geometry.words for n in layout.slices], np.int64)
        rank = len(tensor.shape)
        self.slice_terms = [np.zeros(n, np.int64) for n in tensor.shape]
        self.addr_terms = [np.zeros(n, np.int64) for n in tensor.shape]
        for digit in layout.digits:
            if not 0 <= digit.axis < rank or digit.div < 1 or digit.mod < 1:
                raise LayoutError(f"tensor '{tensor.name}': a digit of axis {digit.axis}")
            value = np.arange(tensor.shape[digit.axis]) // digit.div % digit.mod
            self.slice_terms[digit.axis] += value * digit.slice
            self.addr_terms[digit.axis] += value * digit.addr
        self._check()

    @property
    def lanes(self) -> int:
        """Lanes of a vector that hold elements: 0 to this."""
        layout = self.layout
        if layout.lane_axis is None:
            return self.geometry.lanes
        n = self.tensor.shape[layout.lane_axis]
        return min(-(-n // layout.lane_div), layout.lane_mod) * layout.lane_repeat

    def _check(self) -> None:
        tensor, layout, geometry = self.tensor, self.layout, self.geometry
        if 0 in tensor.shape:
            raise LayoutError(f"tensor '{tensor.name}' is empty: shape {list(tensor.shape)}")
        low, high = (
            layout.base + sum(int(pick(t)) for t in self.addr_terms) for pick in (np.min, np.max)
        )
        if low < 0 or high >= geometry.words:
            raise LayoutError(
                f"tensor '{tensor.name}' needs {max(high + 1, high - low + 1):,} words of"
                f" {layout.slices[0]} and its fellows; a slice has {geometry.words:,}"
            )
        planes = (tensor.element_bytes - 1) * layout.plane
        low, high = (sum(int(pick(t)) for t in self.slice_terms) for pick in (np.min, np.max))
        low, high = low + min(planes, 0), high + max(planes, 0)
        if low < 0 or high >= len(layout.slices):
            raise LayoutError(
                f"tensor '{tensor.name}' needs {high - low + 1} slices; its layout names"
                f" {len(layout.slices)}"
            )
        if layout.lane_axis is not None:
            if not 0 <= layout.lane_axis < len(tensor.shape):
                raise LayoutError(f"tensor '{tensor.name}': no axis {layout.lane_axis} for lanes")
            if self.lanes > geometry.lanes:
                raise LayoutError(
                    f"tensor '{tensor.name}' needs {self.lanes} lanes;"
                    f" a vector has {geometry.lanes}"
                )

    # ---- vectors -----------------------------------------------------------------------------

    def _rows(self, slices: Sequence[Index], addrs: Sequence[Index], byte: int) -> Index:
        """Row numbers of all combinations of the axes' terms, flat in C order."""
        position: Index = np.zeros(1, np.int64)
        address: Index = np.zeros(1, np.int64)
        for s, a in zip(slices, addrs, strict=True):
            position = np.add.outer(position, s).ravel()
            address = np.add.outer(address, a).ravel()
        position += byte * self.layout.plane
        address += self.first_row[position]
        address += self.layout.base
        return address

    def vectors(self) -> Index:
        """Every row that the tensor touches, sorted, once each."""
        terms = [
            (s[first], a[first])
            for s, a in zip(self.slice_terms, self.addr_terms, strict=True)
            for first in [distinct(s, a)]
        ]
        slices, addrs = [s for s, _ in terms], [a for _, a in terms]
        every = [self._rows(slices, addrs, byte) for byte in range(self.tensor.element_bytes)]
        touched = np.zeros(1 + max(int(rows.max()) for rows in every), np.bool_)
        for rows in every:
            touched[rows] = True
        return np.flatnonzero(touched)

    def each_apart(self, rows: Index) -> bool:
        """Whether no two runs of lanes share a vector; `rows` as from `vectors`."""
        tensor, layout = self.tensor, self.layout
        assert layout.lane_axis is not None
        n = tensor.shape[layout.lane_axis]
        return len(rows) == tensor.size // n * -(-n // layout.lane_mod) * tensor.element_bytes

    @property
    def runs(self) -> bool:
        """Whether consecutive elements of the lane axis lie in consecutive lanes of one vector."""
        layout = self.layout
        if layout.lane_axis is None or layout.lane_div != 1:
            return False
        n, run = self.tensor.shape[layout.lane_axis], layout.lane_mod
        start = np.arange(n) // run * run
        terms = (self.slice_terms[layout.lane_axis], self.addr_terms[layout.lane_axis])
        return all(bool((t == t[start]).all()) for t in terms)

    def spans(self, byte: int) -> Iterator[Span]:
        """The tensor as runs of lanes; only where `runs` holds."""
        axis = self.layout.lane_axis
        assert axis is not None
        order = [a for a in range(len(self.tensor.shape)) if a != axis]
        slices, addrs = [self.slice_terms[a] for a in order], [self.addr_terms[a] for a in order]
        n, run = self.tensor.shape[axis], self.layout.lane_mod
        everything = tuple(slice(None) for _ in order)
        for start in range(0, n, run):
            here = slice(start, min(start + run, n))
            s, a = (terms[axis][start : start + 1] for terms in (self.slice_terms, self.addr_terms))
            rows = self._rows([*slices, s], [*addrs, a], byte)
            yield Span(rows, (*everything, here), (here.stop - start) * self.layout.lane_repeat)

    def _scattered(self, byte: int) -> Iterator[tuple[Index, slice]]:
        """Flat SRAM bytes of the elements in C order, a chunk of the first axis at a time."""
        shape, lanes = self.tensor.shape, self.geometry.lanes
        layout = self.layout
        lane_terms = [np.zeros(n, np.int64) for n in shape]
        if layout.lane_axis is not None:
            n = shape[layout.lane_axis]
            lane_terms[layout.lane_axis] += (
                np.arange(n) // layout.lane_div % layout.lane_mod * layout.lane_repeat
            )
        step = max(1, CHUNK // max(1, self.tensor.size // max(1, shape[0]))) if shape else 1
        for start in range(0, shape[0] if shape else 1, step):
            part = slice(start, start + step)
            cut = [part] + [slice(None)] * (len(shape) - 1)
            slices = [t[c] for t, c in zip(self.slice_terms, cut, strict=False)]
            addrs = [t[c] for t, c in zip(self.addr_terms, cut, strict=False)]
            lane: Index = np.zeros(1, np.int64)
            for t, c in zip(lane_terms, cut, strict=False):
                lane = np.add.outer(lane, t[c]).ravel()
            yield self._rows(slices, addrs, byte) * lanes + lane, part

    # ---- moving ------------------------------------------------------------------------------

    def moved(self, codes: Array) -> Array:
        """[..., lanes, bytes] with the lane axis last."""
        planes = codes.reshape(-1).view(np.uint8)
        planes = planes.reshape(*self.tensor.shape, self.tensor.element_bytes)
        assert self.layout.lane_axis is not None
        return np.moveaxis(planes, self.layout.lane_axis, -2)

    def scatter(self, sram: NDArray[np.uint8], codes: Array) -> None:
        """Place the codes element by element; lanes that none reaches are left alone."""
        layout, size = self.layout, self.tensor.element_bytes
        flat = sram.reshape(-1)
        planes = np.ascontiguousarray(codes).reshape(-1).view(np.uint8).reshape(-1, size)
        per_row = self.tensor.size // self.tensor.shape[0] if self.tensor.shape else 1
        for byte in range(size):
            for index, part in self._scattered(byte):
                values = planes[part.start * per_row : part.stop * per_row, byte]
                if layout.lane_axis is None:
                    sram[index // self.geometry.lanes] = values[:, None]
                    continue
                for lane in range(layout.lane_repeat):
                    flat[index + lane] = values

    def load(self, sram: NDArray[np.uint8]) -> tuple[Array, list[Task]]:
        """Room for the tensor's codes, and what fills it from SRAM; of repeated lanes the first."""
        tensor, size = self.tensor, self.tensor.element_bytes
        out = np.empty(tensor.shape, code_dtype(tensor))
        if self.runs:
            moved, repeat = self.moved(out), self.layout.lane_repeat
            tasks: list[Task] = []
            for spans in zip(*(self.spans(byte) for byte in range(size)), strict=True):
                rows = np.stack([span.rows for span in spans])
                for part, target in _blocks(moved[spans[0].part], 2):
                    tasks.append(partial(fetch, sram, _near(rows[:, part]), repeat, target))
            return out, tasks
        flat = sram.reshape(-1)
        planes = out.reshape(-1).view(np.uint8).reshape(-1, size)
        per_row = tensor.size // tensor.shape[0] if tensor.shape else 1
        for byte in range(size):
            for index, part in self._scattered(byte):
                planes[part.start * per_row : part.stop * per_row, byte] = flat[index]
        return out, []


def storing(sram: NDArray[np.uint8], copies: Sequence[Placed], codes: Array) -> list[Task]:
    """What places the codes in all `copies`, which have the same lanes; only where they `runs`."""
    first = copies[0]
    moved, repeat = first.moved(codes), first.layout.lane_repeat
    tasks: list[Task] = []
    for byte in range(first.tensor.element_bytes):
        for spans in zip(*(placed.spans(byte) for placed in copies), strict=True):
            rows = np.stack([span.rows for span in spans])
            for part, block in _blocks(moved[(*spans[0].part, byte)], 1):
                tasks.append(partial(place, sram, _near(rows[:, part]), block, repeat))
    return tasks


def _near(rows: Index) -> Index:
    return np.ascontiguousarray(rows)


def _blocks(array: Array, own: int) -> Iterator[tuple[slice, Array]]:
    """Views of some rows each: the last `own` axes make a row, the others count rows in C order."""
    flat, start = array.reshape(-1, *array.shape[-own:]), 0
    whole = np.may_share_memory(flat, array)
    for part in [flat] if whole else (array[i] for i in np.ndindex(array.shape[: -own - 1])):
        for at in range(0, len(part), BLOCK):
            rows = part[at : at + BLOCK]
            yield slice(start + at, start + at + len(rows)), rows
        start += len(part)
