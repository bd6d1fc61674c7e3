from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from emulator.numerics.blocks import BlockFormat

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

class Fmt(IntEnum):
    FP32 = 0
    TF32 = 1
    BF16 = 2
    FP16 = 3
    E4M3 = 4
    E5M2 = 5
    E2M3 = 6
    E3M2 = 7
    E2M1 = 8
    E8M0 = 9
    HIF8 = 10
    INT8 = 11
    INT4 = 12
    INT32 = 13
    UINT8 = 14

class Rounding(IntEnum):
    NEAREST_EVEN = 0
    TOWARD_ZERO = 1
    TIES_AWAY = 2
    STOCHASTIC = 3

def encode32(
    fmt: int,
    x: Floats,
    out: Bytes,
    saturate: bool,
    rounding: int = 0,
    seed: int = 0,
    first: int = 0,
) -> None: ...
def encode64(
    fmt: int,
    x: Doubles,
    out: Bytes,
    saturate: bool,
    rounding: int = 0,
    seed: int = 0,
    first: int = 0,
) -> None: ...
def decode32(fmt: int, codes: Bytes, out: Floats) -> None: ...
def decode64(fmt: int, codes: Bytes, out: Doubles) -> None: ...
def elementary(name: str, x: Floats, out: Floats) -> None: ...
def exact_dot_direct(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats: ...
def exact_dot_wide(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats: ...
def row_stats(a: Doubles, norm: Doubles, grain: Doubles) -> None: ...
def column_stats(b: Doubles, norm: Doubles, grain: Doubles) -> None: ...
def certify(
    s: Doubles,
    a: Doubles,
    b: Doubles,
    norm_a: Doubles,
    grain_a: Doubles,
    norm_b: Doubles,
    grain_b: Doubles,
    out: Floats,
    add: bool,
) -> int: ...
def quantize(
    row: BlockFormat,
    mode: int,
    tensor: float,
    x: npt.NDArray[Any],
    codes: Bytes,
    scales: Bytes,
) -> None: ...
def dequantize(
    row: BlockFormat, tensor: float, codes: Bytes, scales: Bytes, out: Floats
) -> None: ...
def finite_amax(x: npt.NDArray[Any]) -> float: ...
def divide(x: npt.NDArray[Any], factor: float, clamp: float, out: Floats) -> None: ...
def largest_exact_k(fmt_a: int, fmt_b: int) -> int: ...
def random_word(seed: int, index: int) -> int: ...
def add_saturating(acc: npt.NDArray[np.int32], x: npt.NDArray[np.int32]) -> None: ...
def kernel_names() -> list[str]: ...
def use_kernel(level: int) -> None: ...
def chunk_arithmetic(fmt: int, K: int, chunk: int) -> str: ...
def multiply_by_rows(
    fmt: int,
    a: Bytes,
    a_scale: Bytes | None,
    b: Bytes,
    b_scale: Bytes | None,
    K: int,
    acc: Bytes,
    start: bool,
) -> None: ...
def multiply_chunks(
    fmt: int,
    packed: bool,
    M: int,
    N: int,
    K: int,
    chunk: int,
    a: Bytes,
    a_scale: Bytes | None,
    b: Bytes,
    b_scale: Bytes | None,
    acc: Bytes,
) -> None: ...
