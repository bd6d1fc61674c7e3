"""What runs of one kernel on one set of arrays are compared with, made once for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from programs.kernel import Arrays, Encoded

if TYPE_CHECKING:
    from tools.jobs import KernelJob


@dataclass(frozen=True)
class Yardstick:
    """The float64 reference, the naive run (None where the kernel has none), and whether all inputs
    are integers, which a result can equal exactly.
    """

    reference: Arrays
    naive: Arrays | None
    integers: bool


class Yardsticks:
    """Remembers references and naive runs; the jobs differ in format, not in kernel or arrays."""

    def __init__(self) -> None:
        self._references: dict[str, Arrays] = {}
        self._naive: dict[str, Arrays | None] = {}

    def of(self, job: KernelJob, encoded: Encoded | None = None) -> Yardstick:
        """`encoded`: the job's inputs where they have been encoded, which spares doing it again."""
        from tools.tensors import as_numbers

        dtype, kernel = str(job.dtype), job.kernel
        numbers = as_numbers(dtype, job.arrays)
        integers = all(array.dtype.kind in "iu" for array in numbers.values())
        # Floats are the same numbers whatever format they become; codes are not.
        floats = all(array.dtype.kind == "f" for array in job.arrays.values())
        key = "" if floats else dtype
        if key not in self._references:
            self._references[key] = kernel.reference(job.params, numbers)
        if dtype not in self._naive:
            usual = floats and job.scale == kernel.scales(dtype)[0]
            if integers:
                self._naive[dtype] = None
            elif encoded is not None and usual:
                self._naive[dtype] = kernel.naive_of(dtype, job.params, numbers, encoded)
            else:
                self._naive[dtype] = kernel.naive(dtype, job.params, numbers)
        return Yardstick(self._references[key], self._naive[dtype], integers)
