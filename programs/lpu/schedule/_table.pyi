import numpy as np
from numpy.typing import NDArray

NO_ROOM: int

class Demand:
    def __init__(
        self,
        claims: NDArray[np.int64],
        words: NDArray[np.uint64],
        fixed: int,
        firsts: NDArray[np.int64],
        parts: NDArray[np.int64],
        shifts: NDArray[np.int64],
        rivals: NDArray[np.int64],
    ) -> None: ...

class Table:
    def __init__(self, count: int, origin: int) -> None: ...
    def place(
        self, demand: Demand, start: int
    ) -> tuple[int, tuple[int, ...], tuple[int, int] | None]: ...
