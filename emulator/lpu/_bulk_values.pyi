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

class Multiplier:
    def multiply(
        self,
        type_: int,
        depth: int,
        columns: int,
        x: Bytes,
        x_scales: Bytes | None,
        weights: Bytes,
        table: NDArray[np.int64] | None,
        weight_scales: Bytes | None,
        acc: NDArray[np.int32],
        start: bool,
        again: bool,
    ) -> None: ...

def place(sram: Bytes, rows: NDArray[np.int64], block: Bytes, repeat: int) -> None: ...
def fetch(sram: Bytes, rows: NDArray[np.int64], repeat: int, out: Bytes) -> None: ...
