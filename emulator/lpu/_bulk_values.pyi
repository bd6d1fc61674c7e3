import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

def move(out: Bytes, part: int, width: int, x: Bytes, source: int, in_width: int) -> None: ...
def join(out: Bytes, parts: list[Bytes]) -> None: ...
def vxm(
    code: int,
    type_: int,
    to: int,
    sat: bool,
    value: int,
    by: int,
    stride: int,
    a: Bytes | None,
    b: Bytes | None,
    c: Bytes | None,
    out: Bytes,
    lanes: int,
) -> None: ...
def running(
    code: int,
    type_: int,
    start: bool,
    value: int,
    by: int,
    stride: int,
    a: Bytes | None,
    n: int,
    acc: NDArray[np.uint32],
    out: NDArray[np.uint32] | None,
) -> None: ...
def sxm(
    code: int,
    amount: int,
    stride: int,
    wrap: bool,
    block: int,
    map_: NDArray[np.uint16],
    entries: NDArray[np.int8],
    a: Bytes,
    b: Bytes,
    c: Bytes,
    out: Bytes,
) -> None: ...
def gather(codes: Bytes, width: int, sram: Bytes, table: NDArray[np.int64]) -> None: ...
def decode(type_: int, codes: Bytes, out: NDArray[np.float64]) -> None: ...
def decode_scales(codes: Bytes, out: NDArray[np.float64]) -> None: ...
def decode_int8(codes: Bytes, out: NDArray[np.float32]) -> None: ...
def sums_are_exact(type_: int, k: int) -> bool: ...
def finite(x: NDArray[np.float64]) -> bool: ...
def add_integers(
    sums: NDArray[np.float32],
    acc: NDArray[np.int32],
    row: int,
    stride: int,
    start: bool,
    out: NDArray[np.int32] | None,
) -> None: ...
def add_floats(
    sums: NDArray[np.float32],
    acc: NDArray[np.float32],
    row: int,
    stride: int,
    start: bool,
    out: NDArray[np.float32] | None,
) -> None: ...
def round_sums(x: NDArray[np.float64], out: NDArray[np.float32]) -> None: ...
