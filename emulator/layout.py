"""Tensors into SRAM and back: all those of a program."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.host import in_threads
from emulator.placed import (
    Array,
    Geometry,
    Index,
    LayoutError,
    Placed,
    Task,
    code_dtype,
    codes_of,
    storing,
)
from isa.program import Program, Tensor

__all__ = ["Geometry", "LayoutError", "Plan", "code_dtype", "codes_of"]


class Plan:
    """All tensors of a program placed in one SRAM: made once, used for every run."""

    def __init__(self, program: Program, geometry: Geometry) -> None:
        self.geometry = geometry
        self.placed: dict[str, list[Placed]] = {}
        self.rows: dict[str, list[Index]] = {}
        self.tensors = {t.name: t for t in program.tensors}
        if len(self.tensors) != len(program.tensors):
            raise LayoutError("two tensors share a name")
        self.consts = {t.name: _const(t) for t in program.tensors if t.role == "const"}
        for tensor in program.tensors:
            if tensor.role in ("in", "out", "const") and not tensor.layouts:
                raise LayoutError(f"tensor '{tensor.name}' has no place")
            if tensor.role != "scratch":
                self.placed[tensor.name] = [Placed(tensor, at, geometry) for at in tensor.layouts]
                self.rows[tensor.name] = [p.vectors() for p in self.placed[tensor.name]]
        self._check_overlaps()

    def _check_overlaps(self) -> None:
        places = [(name, rows) for name, every in self.rows.items() for rows in every]
        touched = np.zeros(len(self.geometry.slices) * self.geometry.words, np.bool_)
        for _, rows in places:
            if touched[rows].any():
                break
            touched[rows] = True
        else:
            return
        rows = np.concatenate([r for _, r in places])
        owner = np.repeat(np.arange(len(places)), [len(r) for _, r in places])
        order = np.argsort(rows, kind="stable")
        rows, owner = rows[order], owner[order]
        twice = np.flatnonzero(rows[1:] == rows[:-1])
        if len(twice):
            first, second = (places[owner[twice[0] + k]][0] for k in (0, 1))
            row = int(rows[twice[0]])
            words = self.geometry.words
            raise LayoutError(
                f"tensors '{first}' and '{second}' overlap in slice"
                f" {self.geometry.slices[row // words]}, word {row % words}"
            )

    def codes(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Codes of every tensor that is filled on load, checked."""
        inputs = {n: t for n, t in self.tensors.items() if t.role == "in"}
        for name in tensors:
            if name not in inputs:
                known = ", ".join(inputs) or "none"
                raise LayoutError(f"the program has no input '{name}'; inputs: {known}")
        for name in inputs:
            if name not in tensors:
                raise LayoutError(f"input '{name}' is missing")
        filled = {name: codes_of(t, tensors[name]) for name, t in inputs.items()}
        return {**filled, **self.consts}

    def homes(self) -> Index | None:
        """For every vector of the SRAM the one that stands for it: of a tensor that lies in several
        slices in the same way, its first copy. None: no tensor does."""
        homes: Index | None = None
        for name, copies in self.placed.items():
            first = copies[0]
            for placed, rows in zip(copies[1:], self.rows[name][1:], strict=True):
                alike = replace(placed.layout, slices=first.layout.slices) == first.layout
                if not alike or len(set(placed.layout.slices)) < len(placed.layout.slices):
                    continue
                if homes is None:
                    homes = np.arange(len(self.geometry.slices) * self.geometry.words)
                shift = np.zeros(len(self.geometry.slices), np.int64)
                shift[placed.first_row // self.geometry.words] = first.first_row - placed.first_row
                homes[rows] = rows + shift[rows // self.geometry.words]
        return homes

    def fill(
        self, sram: NDArray[np.uint8], codes: Mapping[str, Array],
        unused: Collection[tuple[str, int]] = (),
    ) -> None:  # fmt: skip
        """Place the codes in every layout but the `unused`, `pad` in the lanes beyond them."""
        tasks: list[Task] = []
        for name, values in codes.items():
            together: dict[tuple[Any, ...], list[Placed]] = {}  # copies with the same lanes
            for i, (placed, rows) in enumerate(
                zip(self.placed[name], self.rows[name], strict=True)
            ):
                if (name, i) in unused:
                    continue
                if self.tensors[name].pad:
                    sram[rows] = self.tensors[name].pad
                if placed.runs:
                    at = placed.layout
                    lanes = (at.lane_axis, at.lane_mod, at.lane_repeat, placed.each_apart(rows))
                    together.setdefault(lanes, []).append(placed)
                else:
                    placed.scatter(sram, values)
            for (*_, apart), copies in together.items():
                found = storing(sram, copies, values)
                if apart:
                    tasks += found
                else:  # elements that share a place: the last one stays
                    for task in found:
                        task()
        in_threads(tasks)

    def mark(self, written: NDArray[np.uint64], full: int) -> None:
        """Note the vectors that the host fills as written."""
        for name, tensor in self.tensors.items():
            if tensor.role in ("in", "const"):
                for rows in self.rows[name]:
                    written[rows] = full

    def unwritten(self, written: NDArray[np.uint64], superlane: int) -> dict[str, tuple[int, int]]:
        """Outputs of which some vector was never written: how many vectors, and the first row."""
        found = {}
        for name, tensor in self.tensors.items():
            if tensor.role == "out":
                rows = self.rows[name][0]
                reach = -(-self.placed[name][0].lanes // superlane)
                needed = np.uint64((1 << reach) - 1)
                missing = rows[(written[rows] & needed) != needed]
                if len(missing):
                    found[name] = (len(missing), int(missing[0]))
        return found

    def outputs(self, sram: NDArray[np.uint8]) -> dict[str, Array]:
        """Codes of every output, read from its first layout."""
        found, tasks = {}, []
        for name, tensor in self.tensors.items():
            if tensor.role == "out":
                found[name], more = self.placed[name][0].load(sram)
                tasks += more
        in_threads(tasks)
        return found


def _const(tensor: Tensor) -> Array:
    if tensor.data is None:
        raise LayoutError(f"constant '{tensor.name}' has no data")
    if len(tensor.data) != tensor.size * tensor.element_bytes:
        raise LayoutError(
            f"constant '{tensor.name}' has {len(tensor.data)} bytes of data;"
            f" its shape takes {tensor.size * tensor.element_bytes}"
        )
    return np.frombuffer(tensor.data, code_dtype(tensor)).reshape(tensor.shape)
