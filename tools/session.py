"""The one path from a request to a report, for the command line and for Python alike."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from isa.collector import no_collection
from programs.kernel import Encoded
from tools import machines
from tools.hazards import hazards_text
from tools.jobs import Job, Request, open_job
from tools.problem import ProgramFault
from tools.runreport import RunReport

if TYPE_CHECKING:
    from emulator.result import Result
    from isa.program import Program
    from programs.kernel import Arrays
    from tools.accuracy import Accuracy

ENCODED_AHEAD = 1 << 26  # multiply-adds, which are at least the elements of every input

Stage = Callable[[str], None]  # told what begins now, for a progress line


def silent(stage: str) -> None:
    """No progress line."""


def execute(request: Request, stage: Stage = silent) -> RunReport:
    """Open, build, encode, run, decode, compare."""
    started = time.perf_counter()
    return execute_job(open_job(request), request, stage, started)


def execute_job(
    job: Job, request: Request, stage: Stage = silent, started: float | None = None
) -> RunReport:
    """The same for a job that is open already; `started` is when its time began."""
    started = time.perf_counter() if started is None else started
    stage("building the program")
    values_too = job.needs_values(request.mode)
    with no_collection(), _encoding(job if values_too else None) as encoding:
        program = job.program()
        machines.machine(job.chip)  # imports it
        encoded = Encoded({})
        if values_too:
            stage("encoding the inputs")
            encoded = encoding.result() if encoding is not None else job.encode()
    stage("running")
    result = _run(job, program, encoded, request)
    values = job.decode(result.outputs, encoded) if request.mode == "full" else {}
    wall_s = time.perf_counter() - started
    stage("comparing with float64")
    return RunReport(
        kernel=job.title,
        chip=job.chip.name,
        dtype=job.dtype,
        shape=job.shape,
        data=job.data,
        seed=request.seed,
        program=program,
        result=result,
        outputs=values,
        scales=encoded.scales,
        accumulate=request.accumulate,
        scale=job.scale,
        warm_l2=request.warm_l2,
        accuracy=_accuracy(job, request, values, encoded),
        wall_s=wall_s,
        peak_rss_bytes=peak_rss_bytes(),
        measured=job.measured(values),
    )


@contextmanager
def _encoding(job: Job | None) -> Iterator[Future[Encoded] | None]:
    """The job's inputs are drawn and encoded on another CPU, where they cannot be too much for the
    chip: that is for the builder to find out before any memory is spent.
    """
    if job is None or not 0 < (job.macs() or 0) <= ENCODED_AHEAD:
        yield None
        return
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(job.encode)


def _run(job: Job, program: Program, encoded: Encoded, request: Request) -> Result:
    machine = machines.machine(job.chip)
    # What only an NPU has: an L2 to be warm, units whose work is kept only on request.
    more: dict[str, Any] = {"warm_l2": True} if request.warm_l2 else {}
    if request.timeline is not None and job.chip.chip_class == "npu":
        from emulator.npu.spans import Watch

        more["watch"] = Watch(request.core or 0, *request.timeline)
    try:
        return cast(
            "Result",
            machine.Machine(job.chip).run(
                program,
                encoded.tensors,
                mode=request.mode,
                hazards=request.hazards,
                accumulate=request.accumulate,
                **more,
            ),
        )
    except machine.HazardError as error:
        raise ProgramFault(hazards_text(error.hazards, program), error.hazards) from None


def _accuracy(job: Job, request: Request, values: Arrays, encoded: Encoded) -> Accuracy | None:
    macs = job.macs()
    if request.mode != "full" or macs is None or request.check is False:
        return None
    from tools.accuracy import MACS_BY_DEFAULT

    if request.check is None and macs > MACS_BY_DEFAULT:
        return None
    return job.accuracy(values, encoded)


def peak_rss_bytes() -> int:
    """The largest resident memory of this process; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
