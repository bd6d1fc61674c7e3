from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.lpu.models import PlaneSums
from emulator.lpu.prepare import Prepared

ISSUE: np.dtype[Any]
USE: np.dtype[Any]
VALUE: np.dtype[Any]
BURST: np.dtype[Any]
SYNC: np.dtype[Any]
ELEMENTS: dict[str, str]

class HazardKind(IntEnum):
    OPERAND_MISSING = 0
    CHAIN_MISSING = 1
    CHAIN_WIDTH = 2
    REGISTER_COLLISION = 3
    ALU_COLLISION = 4
    BANK_CONFLICT = 5
    WEIGHTS_IN_USE = 6
    WEIGHTS_EARLY = 7
    WEIGHTS_INCOMPLETE = 8
    WEIGHTS_SCALES = 9
    WEIGHTS_TYPE = 10
    WEIGHTS_NONE = 11
    WEIGHTS_PAIR = 12
    MEMORY_UNWRITTEN = 13
    ACCUMULATOR_UNSTARTED = 14
    RUNNING_UNSTARTED = 15
    POISON = 16
    OTHER_PRODUCER = 17
    PARTNER_BUSY = 18
    MAP_MISSING = 19
    MAP_EARLY = 20
    ADDRESS_RANGE = 21
    DEADLOCK = 22
    OVERWRITTEN = 23
    UNCONSUMED = 24
    ACCUMULATOR_TYPE = 25

class Engine:
    def __init__(
        self,
        prepared: Prepared,
        sram: NDArray[np.uint8],
        written: NDArray[np.uint64],
        writer: NDArray[np.int32],
        values: bool,
        warn: bool,
        sums: PlaneSums | None = None,
    ) -> None: ...
    def run(self) -> None: ...
    @property
    def last_cycle(self) -> int: ...
    @property
    def totals(self) -> dict[str, int]: ...
    def log(self) -> dict[str, NDArray[Any]]: ...
    def hazards(self) -> list[tuple[int, int, int, int, int, bool, int, int, int, int]]: ...
