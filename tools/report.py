"""The page of a run, read from the top: what it was, how long, what bounds it, where cycles went.

Each section is a function from a report to renderables, empty where it has nothing to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from emulator.result import InstructionUse, UnitUse
from tools import advice
from tools.hazards import hazard_text, place
from tools.machines import word_text
from tools.page import clip, clip_start, heading, indent, paragraph, plain, sections, table
from tools.runreport import RunReport
from tools.text import bar, count, figures, hertz, plural, rate, seconds, size, tenths

Section = list[RenderableType]
TOP_INSTRUCTIONS = 10
TEXT_WIDTH = 40


def header(report: RunReport) -> Section:
    choices = [report.dtype or "", report.accumulate or ""]
    title = [report.kernel, report.chip, *choices, report.data]
    title += ["warm L2"] if report.warm_l2 else []
    shape = shape_text(report.shape)
    lines: Section = [heading("  ".join(part for part in title if part))]
    return [*lines, paragraph(shape)] if shape else lines


def shape_text(shape: Mapping[str, Any]) -> str:
    """
    >>> shape_text({"m": 3, "tile": (4, 5)})
    'm=3  tile=4x5'
    """
    return "  ".join(
        f"{name}={'x'.join(map(str, v)) if isinstance(v, list | tuple) else v}"
        for name, v in shape.items()
    )


def summary(report: RunReport) -> Section:
    result = report.result
    clock = f"{seconds(result.time_s)} at {hertz(result.clock_hz)}"
    if result.launch_s:
        clock += f", {seconds(result.launch_s)} of it task launch"
    rows = [["cycles", count(result.cycles), clock]]
    per_cycle = report.instructions / max(1, result.cycles)
    rows.append(["instructions", count(report.instructions), f"{figures(per_cycle)} per cycle"])
    best = advice.best_case(result)
    if best:
        above = f"at the peak of {result.bound}; this run is {result.cycles / best:.2f}x above it"
        rows.append(["best case", count(best), above])
    return [table(["", "", ""], indent(rows), left=(0, 2))] if rows else []


def light(report: RunReport) -> Section:
    shares = sorted(report.result.speed_of_light.items(), key=lambda item: -item[1])
    rows = [[name, f"{100 * share:.1f}", bar(share)] for name, share in shares]
    return [table(["Speed of light", "% of peak", ""], indent(rows), left=(0, 2))] if rows else []


def bound(report: RunReport) -> Section:
    meaning, change = advice.explanation(report.result)
    lines: Section = [heading(f"Bound by {report.result.bound}"), paragraph(f"{meaning} {change}")]
    unit = advice.critical_unit(report.result)
    if unit is None:
        return lines
    for factor, reason, lost in advice.gains(report.result)[:3]:
        share = 100 * lost / (report.result.cycles * unit.count)
        gain = "all of it" if factor == float("inf") else f"{factor:.2f}x"
        loss = f"{unit.name} loses {plural(lost, 'cycle')} ({share:.1f} %) to {reason}"
        lines.append(Text(f"  up to {gain}: {loss}"))
    return lines


# What the named cycle counts of a result are; the first two are lengths, the others cycle numbers.
PHASES = {
    "fill": "before the first weights are loaded",
    "drain": "after the last weights are loaded",
    "first_mm": "cycle of the first product",
    "last_mm": "cycle of the last product",
}


def phases(report: RunReport) -> Section:
    rows = [
        [name, count(cycles), PHASES.get(name, "")]
        for name, cycles in report.result.phases.items()
        if cycles
    ]
    rows += [
        [name.removesuffix("_cycles"), count(cycles), "counted by the kernel itself"]
        for name, cycles in report.measured.items()
    ]
    return [table(["Phases", "cycles", ""], indent(rows), left=(0, 2))] if rows else []


def units(report: RunReport) -> Section:
    reasons = _reasons(report)
    rows = []
    for unit in report.units:
        busy = _shares(unit, reasons, report.cycles)[0]
        rows.append([unit.name, str(unit.count), count(unit.busy), f"{busy:.1f}", bar(busy / 100)])
    return [table(["Units", "count", "busy", "%", ""], indent(rows), left=(0, 4))] if rows else []


def _reasons(report: RunReport) -> list[str]:
    """Busy, every wait that occurs, idle."""
    waits = [reason for unit in report.units for reason, lost in unit.waits.items() if lost]
    return ["busy", *dict.fromkeys(waits), "idle"]


def waits(report: RunReport) -> Section:
    """Shares of every unit's cycles by reason: a column per unit, each adding up to 100.0."""
    reasons = _reasons(report)
    parts: Section = []
    for group in _groups(report.units):
        columns = [_shares(unit, reasons, report.cycles) for unit in group]
        rows = [
            [reason, *(f"{column[i]:.1f}" for column in columns)]
            for i, reason in enumerate(reasons)
        ]
        rows.append(["total", *("100.0" for _ in group)])
        title = "Cycles in %" if not parts else ""
        parts.append(table([title, *(unit.name for unit in group)], indent(rows)))
    return parts


def _groups(units: Sequence[UnitUse], width: int = 84) -> list[list[UnitUse]]:
    """Units that fit side by side on the page."""
    groups: list[list[UnitUse]] = [[]]
    used = 0
    for unit in units:
        need = max(5, len(unit.name)) + 2
        if used + need > width and groups[-1]:
            groups.append([])
            used = 0
        groups[-1].append(unit)
        used += need
    return [group for group in groups if group]


def _shares(unit: UnitUse, reasons: Sequence[str], cycles: int) -> list[float]:
    lost = {"busy": unit.busy, "idle": unit.idle, **unit.waits}
    return tenths([lost.get(reason, 0) for reason in reasons], cycles * unit.count)


def unit_account(report: RunReport) -> Section:
    """Where the cycles of the critical unit went, in cycles and percent."""
    unit = advice.critical_unit(report.result)
    if unit is None:
        return []
    account = {"busy": unit.busy}
    account |= {f"wait {reason}": lost for reason, lost in unit.waits.items() if lost}
    account |= {"idle": unit.idle}
    shares = tenths(list(account.values()), report.cycles * unit.count)
    rows = [
        [name, count(lost), f"{share:.1f}"]
        for (name, lost), share in zip(account.items(), shares, strict=True)
    ]
    rows.append(["total", count(report.cycles * unit.count), "100.0"])
    return [table([f"Where the cycles of {unit.name} went", "cycles", "%"], indent(rows))]


def memory(report: RunReport) -> Section:
    rows = []
    for level, use in report.memory.items():
        share = use.achieved_bytes_per_s / use.peak_bytes_per_s if use.peak_bytes_per_s else 0.0
        rows.append([
            level, size(use.read_bytes), size(use.write_bytes), rate(use.achieved_bytes_per_s),
            rate(use.peak_bytes_per_s), f"{100 * share:.1f}",
        ])  # fmt: skip
    head = ["Memory", "read", "written", "achieved", "peak", "%"]
    return [table(head, indent(rows))] if rows else []


def accuracy(report: RunReport) -> Section:
    item = report.accuracy
    if item is None:
        return []
    lines: Section = [heading(f"Accuracy of {item.output} against float64")]
    if item.exact is not None:
        lines.append(Text(f"  every integer equal: {_yes(item.exact)}"))
        return lines
    rows = [["max error", _error(item.max_abs)], ["mean error", _error(item.mean_abs)],
            ["RMSE", _error(item.rmse)], ["max relative", _error(item.max_rel)]]  # fmt: skip
    if item.sqnr_db is not None:
        rows.append(["SQNR", f"{item.sqnr_db:.1f} dB"])
    if item.nonfinite:
        rows.append(["NaN or Inf", plural(item.nonfinite, "element")])
    if item.naive_max_abs is not None:
        rows.append(["naive max error", _error(item.naive_max_abs)])
    lines.append(table(["", ""], indent(rows)) if rows else Text(""))
    if item.naive_max_abs is not None:
        ratio = "" if item.ratio_to_naive is None else f" ({item.ratio_to_naive:.2f}x)"
        lines.append(
            Text(f"  max error <= {item.limit:g} x naive: {_yes(bool(item.within))}{ratio}")
        )
    return lines


def _error(value: float | None) -> str:
    return "not finite" if value is None else figures(value)


def _yes(verdict: bool) -> str:
    return "yes" if verdict else "NO"


def outputs(report: RunReport) -> Section:
    """A short look at every output: format, shape, range and first values."""
    rows = []
    for name, array in report.outputs.items():
        flat = array.reshape(-1)
        ends = [_value(flat.min()), _value(flat.max())] if flat.size else ["", ""]
        first = " ".join(_value(value) for value in flat[:6])
        rows.append([name, str(array.dtype), "x".join(map(str, array.shape)) or "1", *ends,
                     first + (" ..." if flat.size > 6 else "")])  # fmt: skip
    head = ["Outputs", "type", "shape", "min", "max", "first values"]
    return [table(head, indent(rows), left=(0, 1, 5))] if rows else []


def _value(value: Any) -> str:
    return figures(float(value)) if value.dtype.kind == "f" else count(int(value))


def instructions(report: RunReport, most: int | None = TOP_INSTRUCTIONS) -> Section:
    """The instructions that cost their queues most: those of the critical unit, or (None) all."""
    uses = sorted(report.result.instructions, key=lambda u: (-_cost(u), u.section, u.word))
    unit = advice.critical_unit(report.result)
    title = "Instructions"
    if most is not None and unit is not None:
        own = [use for use in uses if use.section.startswith(unit.name)]
        title, uses = (f"{title} of {unit.name}", own) if own else (title, uses)
    rows = []
    for use in uses[:most]:
        at = str(place(report.program, (use.section, use.word)))
        rows.append([
            clip_start(at, 24), clip(word_text(report.program, use.section, use.word), TEXT_WIDTH),
            count(use.issued), count(use.busy), count(sum(use.waits.values())),
        ])  # fmt: skip
    if not rows:
        return []
    return [table([title, "", "issued", "busy", "wait"], indent(rows), left=(0, 1))]


def _cost(use: InstructionUse) -> int:
    return use.busy + sum(use.waits.values())


def hazards(report: RunReport) -> Section:
    found = report.result.hazards
    if not found:
        return []
    lines: Section = [heading("Hazards")]
    for hazard in found:
        lines += [Text(f"  {line}") for line in hazard_text(hazard, report.program).splitlines()]
    return lines


def provenance(report: RunReport) -> Section:
    """How many of the chip's numbers are assumptions."""
    from emulator.chip import ChipError
    from emulator.chip import provenance as comments

    try:
        notes = comments(report.chip)
    except ChipError:
        return []
    assumed = sum(note.startswith("assumed") for note in notes.values())
    ratio = f"{assumed} of {len(notes)} values of {report.chip}"
    return [Text(f"{ratio} are assumed: presil chips {report.chip}")]


def host(report: RunReport) -> Section:
    wall, peak = seconds(report.wall_s), size(report.peak_rss_bytes)
    return [Text(f"host  {wall} wall, {peak} peak memory", style="dim")]


RUN_PAGE: tuple[Callable[[RunReport], Section], ...] = (
    header, summary, light, bound, units, waits, memory, accuracy, host,
)  # fmt: skip


def run_page(report: RunReport) -> list[Any]:
    """The page of ``presil run``; file programs, which have no reference, show their outputs."""
    page = [section(report) for section in RUN_PAGE]
    if report.accuracy is None and report.outputs:
        page.insert(-1, outputs(report))
    return sections(*page)


def run_text(report: RunReport) -> str:
    return plain(run_page(report))
