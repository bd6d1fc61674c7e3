from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.lpu.prepare import Prepared

SEGMENT: np.dtype[Any]
LINK: np.dtype[Any]

class Charges:
    op_issued: NDArray[np.int64]
    op_busy: NDArray[np.int64]
    op_waits: NDArray[np.int64]
    op_first: NDArray[np.int64]
    op_last: NDArray[np.int64]
    unit_busy: NDArray[np.int64]
    unit_waits: NDArray[np.int64]
    unit_idle: NDArray[np.int64]

class Bulk:
    def __init__(self, prepared: Prepared, written: NDArray[np.uint64]) -> None: ...
    @property
    def why(self) -> str | None: ...
    @property
    def last_cycle(self) -> int: ...
    @property
    def totals(self) -> dict[str, int]: ...
    def segments(self) -> NDArray[Any]: ...
    def links(self) -> NDArray[Any]: ...
    def order(self) -> NDArray[np.int64]: ...
    def bursts(self) -> NDArray[Any]: ...
    def accounts(
        self,
        *,
        cycles: int,
        queue_unit: Sequence[int],
        unit_count: Sequence[int],
        plane_unit: Sequence[int],
    ) -> Charges: ...
