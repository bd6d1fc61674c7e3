from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.npu.models import CubeSums

def op_size() -> int: ...
def uop_size() -> int: ...

class Engine:
    def __init__(
        self,
        spec: Mapping[str, Any],
        ops: NDArray[Any],
        functions: Sequence[tuple[int, int, int, int, int, int]],
        uops: NDArray[Any],
        sections: tuple[tuple[int, int], tuple[int, int]],
        tensors: Sequence[
            tuple[int, NDArray[np.uint8] | None, int, NDArray[np.uint8] | None, bool]
        ],
        blocks: int,
        kind: int,
        values: bool,
        strict: bool,
        warm: bool,
        threads: int,
        most_work: int,
        sums: CubeSums | None = None,
    ) -> None: ...
    def run(self) -> None: ...
    def watch(self, first: int, last: int, start: int, stop: int) -> None: ...
    def spans(self) -> NDArray[np.int64]: ...
    def faults(self) -> list[tuple[int, ...]]: ...
    def accounts(self) -> NDArray[np.int64]: ...
    def uses(self) -> NDArray[np.int64]: ...
    def simt(self) -> NDArray[np.int64]: ...
    def stalls(self) -> NDArray[np.int64]: ...
    def totals(self) -> dict[str, int]: ...
