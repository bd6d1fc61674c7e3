"""What ``run`` and ``cycles`` share: a command line becomes a request, a report becomes files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import click

from tools.arrayfiles import read_array
from tools.files import check_writable, write_arrays, write_bytes
from tools.hazards import hazards_text
from tools.jobs import Request
from tools.options import pairs
from tools.problem import Problem
from tools.progress import Progress
from tools.runreport import RunReport
from tools.session import execute


@dataclass(frozen=True, kw_only=True)
class Line:
    """The options of a run as they were typed."""

    target: str
    chip: str | None
    dtype: str | None
    settings: Iterable[str]
    overrides: Iterable[str]
    inputs: Iterable[str]
    outs: Iterable[str]
    seed: int
    json_to: str | None
    hazards: str
    accumulate: str | None
    scale: str | None
    warm_l2: bool
    timeline: tuple[int, int] | None = None
    core: int | None = None

    def request(self, mode: str, check: bool | None, wanted: Iterable[str]) -> Request:
        """The request, with every file read that it names."""
        files = pairs("--in", self.inputs, "name=file")
        return Request(
            target=self.target,
            chip=self.chip,
            dtype=self.dtype,
            settings=pairs("--set", self.settings, "name=value"),
            overrides=pairs("--with", self.overrides, "key=value"),
            inputs={name: read_array(name, path) for name, path in files.items()},
            wanted=tuple(wanted),
            seed=self.seed,
            mode=mode,
            hazards=self.hazards,
            check=check,
            accumulate=self.accumulate,
            scale=self.scale,
            warm_l2=self.warm_l2,
            timeline=self.timeline,
            core=self.core,
        )

    def out_files(self) -> dict[str, str]:
        """``--out`` as name -> path, refused before the run if one could not be written."""
        files = pairs("--out", self.outs, "name=file.npy")
        targets = {f"--out {name}": path for name, path in files.items()}
        if self.json_to not in (None, "-"):
            targets["--json"] = str(self.json_to)
        taken: dict[str, str] = {}
        for option, path in targets.items():
            check_writable(option, path)
            first = taken.setdefault(os.path.realpath(path), option)
            if first != option and path != os.devnull:
                raise Problem(f"{option}: '{path}' is already written by {first}")
        return files

    def execute(self, mode: str, check: bool | None = None) -> RunReport:
        """Run, write the files, and say on stderr which hazards were passed over."""
        outs = self.out_files()
        request = self.request(mode, check, outs)
        with Progress(self.target) as progress:
            report = execute(request, progress)
        write_arrays(report.outputs, outs)
        if self.json_to not in (None, "-"):
            write_bytes(str(self.json_to), report.to_json().encode() + b"\n")
        if report.result.hazards:
            click.echo(hazards_text(report.result.hazards, report.program), err=True)
        return report

    @property
    def to_stdout(self) -> bool:
        """Whether stdout is for JSON alone."""
        return self.json_to == "-"


def usage(ctx: click.Context, examples: Iterable[str]) -> None:
    """Without arguments: the usage and two examples, exit code 2."""
    lines = [ctx.get_usage(), "", "Examples:", *(f"  {line}" for line in examples), ""]
    lines.append(f"All options: {ctx.command_path} --help")
    click.echo("\n".join(lines), err=True)
    ctx.exit(2)


def line_of(options: dict[str, Any]) -> Line:
    return Line(**{name: options[name] for name in Line.__dataclass_fields__ if name in options})
