from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

REASONS: tuple[str, ...]

def by_place(values: NDArray[Any]) -> NDArray[np.int64]: ...

class Accounts:
    op_issued: NDArray[np.int64]
    op_busy: NDArray[np.int64]
    op_waits: NDArray[np.int64]
    op_first: NDArray[np.int64]
    op_last: NDArray[np.int64]
    unit_busy: NDArray[np.int64]
    unit_waits: NDArray[np.int64]
    unit_idle: NDArray[np.int64]
    def __init__(
        self,
        ops: NDArray[Any],
        issues: NDArray[Any],
        uses: NDArray[Any],
        values: NDArray[Any],
        syncs: NDArray[Any],
        *,
        cycles: int,
        queue_unit: Sequence[int],
        unit_count: Sequence[int],
        plane_unit: Sequence[int],
        first_mxm: int,
        first_mem_end: int,
        columns: int,
        iw_latency: int,
    ) -> None: ...
