"""``presil compare``: the same work on several chips, or several programs, in one table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from tools.options import compare_options
from tools.problem import Problem

EXAMPLES = (
    "presil compare attention --chip lpu-lp30 --chip npu-950pr --chip npu-950dt",
    "presil compare matmul --timing --chip npu-950pr --chip npu-950dt --set m=1 --dtype mxfp8",
)


@click.command(short_help="Run the same work on several chips, side by side.")
@compare_options
@click.option("--timing", is_flag=True, help="Cycles only; no values are computed.")
@click.pass_context
def compare(
    ctx: click.Context, /, targets: tuple[str, ...], chips: tuple[str, ...], timing: bool,
    json_to: str | None, **options: Any,
) -> None:  # fmt: skip
    """Run each kernel or program on each chip, on the same tensors, and show them side by side.

    A figure a row, a run a column: time, cycles, what bounds it, bytes by memory level, use of the
    peaks, and the error against float64. --with and --set hold for all of them.
    """
    from tools.verbs.common import usage

    if not targets:
        usage(ctx, EXAMPLES)
    if len(targets) * max(1, len(chips)) < 2:
        raise Problem(
            "compare takes two runs or more", help="give --chip, or the kernel or file, repeatedly"
        )
    mode = "timing" if timing else "full"
    reports = _reports(targets, chips or (None,), mode, options)
    _write(reports, json_to)


def _reports(
    targets: Iterable[str], chips: Iterable[str | None], mode: str, options: dict[str, Any]
) -> list[Any]:
    from tools.comparison import same_shape, same_tensors
    from tools.jobs import open_job
    from tools.progress import Progress
    from tools.session import execute_job
    from tools.verbs.common import Line

    lines = [
        Line(target=target, chip=chip, outs=(), json_to=None, **options)
        for target in targets
        for chip in chips
    ]
    requests = [line.request(mode, None, ()) for line in lines]
    requests = same_shape(requests)
    jobs = [open_job(request) for request in requests]
    if mode == "full":
        same_tensors(jobs)
    reports = []
    for request, job in zip(requests, jobs, strict=True):
        with Progress(f"{job.title} on {job.chip.name}") as progress:
            reports.append(execute_job(job, request, progress))
    return reports


def _write(reports: list[Any], json_to: str | None) -> None:
    from tools.comparison import comparison_page, to_json
    from tools.verbs.output import put_json

    if json_to is not None:
        put_json(to_json(reports), json_to)
    if json_to != "-":
        from tools.page import show

        show(comparison_page(reports))
