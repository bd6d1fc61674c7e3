from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

class MemorySystem:
    def __init__(self, numbers: Mapping[str, Any], size: int = 0) -> None: ...
    def model(
        self,
        times: NDArray[np.float64],
        addresses: NDArray[np.int64],
        sizes: NDArray[np.int64],
        writes: NDArray[np.uint8],
    ) -> NDArray[np.float64]: ...
    def busy_until(self) -> float: ...
    def sectors(
        self,
        times: NDArray[np.float64],
        addresses: NDArray[np.int64],
        kinds: NDArray[np.int32],
    ) -> NDArray[np.float64]: ...
    def spots(self, addresses: NDArray[np.int64]) -> NDArray[np.int64]: ...
    def referee(
        self,
        times: NDArray[np.float64],
        addresses: NDArray[np.int64],
        sizes: NDArray[np.int64],
        writes: NDArray[np.uint8],
    ) -> NDArray[np.float64]: ...
