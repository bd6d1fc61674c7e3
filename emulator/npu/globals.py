"""Global memory: tensors as packed bytes at their addresses, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isa.npu import BITS_OF, row_bytes
from isa.program import Layout, Program, Tensor

Bytes = NDArray[np.uint8]
ALIGNMENT = 512  # bytes between tensors: one L2 line

STORAGE = {
    "fp32": np.uint32, "int32": np.int32, "uint32": np.uint32, "fp16": np.uint16, "bf16": np.uint16,
    "int16": np.int16, "uint16": np.uint16, "int8": np.int8,
}  # fmt: skip


class LayoutError(ValueError):
    """A tensor that is missing, has another shape or type, or lies where it cannot."""


def at(address: int) -> tuple[Layout, ...]:
    """The layout of a tensor in global memory: rows of its last axis, one after another."""
    return (Layout((), address, (), None),)


def tensor_bytes(tensor: Tensor) -> int:
    """Bytes in global memory; each row of a 4-bit tensor takes whole bytes."""
    last = tensor.shape[-1] if tensor.shape else 1
    rows = tensor.size // last if last else 0
    return rows * row_bytes(tensor.dtype, last)


def pack(codes: NDArray[Any], dtype: str) -> Bytes:
    """Codes as the chip stores them: 4-bit types two in a byte, low nibble first.

    >>> pack(np.array([[1, 2, 3]], np.uint8), "e2m1").tolist()
    [33, 3]
    """
    if BITS_OF.get(dtype, 8) != 4:
        return np.ascontiguousarray(codes).reshape(-1).view(np.uint8)
    rows = np.asarray(codes).astype(np.uint8).reshape(-1, codes.shape[-1]) & np.uint8(15)
    if rows.shape[1] % 2:
        rows = np.pad(rows, ((0, 0), (0, 1)))
    packed = rows[:, ::2] | rows[:, 1::2] << np.uint8(4)
    return packed.astype(np.uint8).reshape(-1)


def unpack(raw: Bytes, tensor: Tensor) -> NDArray[Any]:
    """Inverse of `pack`, in the tensor's shape."""
    if BITS_OF.get(tensor.dtype, 8) == 4:
        last = tensor.shape[-1]
        rows = raw.reshape(-1, (last + 1) // 2)
        both = np.stack([rows & 15, rows >> 4], -1).reshape(len(rows), -1)
        return both[:, :last].reshape(tensor.shape)
    return raw.view(STORAGE.get(tensor.dtype, np.uint8)).reshape(tensor.shape)


@dataclass
class Placed:
    """A tensor in global memory; without values `raw` and `valid` are None."""

    tensor: Tensor
    base: int
    size: int
    raw: Bytes | None
    valid: Bytes | None  # a byte per byte, None where all of it is

    def row(self) -> tuple[int, Bytes | None, int, Bytes | None, bool]:
        """As the engine takes it."""
        return self.base, self.raw, self.size, self.valid, self.tensor.role in ("out", "scratch")


def place(
    program: Program, capacity: int, tensors: Mapping[str, NDArray[Any]], values: bool
) -> list[Placed]:
    """All tensors of a program in ascending order of address."""
    placed = []
    for tensor in program.tensors:
        if len(tensor.layouts) != 1:
            raise LayoutError(f"tensor '{tensor.name}' needs one place in global memory")
        size, base = tensor_bytes(tensor), tensor.layouts[0].base
        if base % 32 or base + size > capacity:
            raise LayoutError(
                f"tensor '{tensor.name}' at {base:#x} with {size:,} bytes: addresses are multiples"
                f" of 32 up to {capacity:,}"
            )
        raw, valid = _contents(tensor, tensors, size) if values else (None, None)
        if size:
            placed.append(Placed(tensor, base, size, raw, valid))
    placed.sort(key=lambda p: p.base)
    for one, two in pairwise(placed):
        if one.base + one.size > two.base:
            raise LayoutError(f"tensors '{one.tensor.name}' and '{two.tensor.name}' overlap")
    return placed


def _contents(
    tensor: Tensor, tensors: Mapping[str, NDArray[Any]], size: int
) -> tuple[Bytes, Bytes | None]:
    if tensor.role == "const":
        codes = np.frombuffer(tensor.data or b"", STORAGE.get(tensor.dtype, np.uint8))
        return pack(codes.reshape(tensor.shape), tensor.dtype).copy(), None
    if tensor.role != "in":
        return np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    if tensor.name not in tensors:
        raise LayoutError(f"input '{tensor.name}' is missing")
    codes = np.asarray(tensors[tensor.name])
    wanted = np.dtype(STORAGE.get(tensor.dtype, np.uint8))
    if codes.shape != tensor.shape:
        raise LayoutError(f"input '{tensor.name}' is {tensor.shape}, not {codes.shape}")
    if codes.dtype.itemsize != wanted.itemsize:
        raise LayoutError(
            f"input '{tensor.name}' holds {tensor.dtype} codes ({wanted}), not {codes.dtype}"
        )
    return pack(codes, tensor.dtype), None
