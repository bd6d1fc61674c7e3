"""What must hold of any prediction, whatever the numbers in the chip files are."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import presil
from programs.registry import find
from tools.machines import load_chip

PR, DT = "npu-950pr", "npu-950dt"


def timed(kernel: str, chip: str, dtype: str | None = None, overrides=None, **params):
    return presil.run(kernel, chip, dtype, mode="timing", overrides=overrides, **params)


def floor_s(kernel: str, chip: str, dtype: str, report) -> float:
    """Seconds that no machine of that chip can beat: multiply-adds, and bytes through HBM."""
    spec = load_chip(chip)
    if spec.chip_class == "lpu":
        mode = spec.mode(dtype)
        peak = spec.mxm.planes // mode.planes * mode.k * mode.n / mode.cycles_per_mm
        traffic = 0.0
    else:
        peak = spec.peak_macs(dtype)
        hbm = report.memory["hbm"]
        traffic = (hbm.read_bytes + hbm.write_bytes) / spec.hbm.bandwidth
    macs = find(kernel, spec.chip_class).macs(report.shape)
    return max(macs / peak / spec.clock, traffic)


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([("lpu-lp30", "int8"), ("lpu-tsp1", "fp16"), (PR, "mxfp8"), (DT, "fp16"),
                     ("npu-910b", "int8")]),
    st.tuples(*[st.integers(1, 700)] * 3),
)  # fmt: skip
def test_no_matmul_beats_its_roofline(machine, shape) -> None:
    chip, dtype = machine
    report = timed("matmul", chip, dtype, **dict(zip("mnk", shape, strict=True)))
    assert report.time_s >= floor_s("matmul", chip, dtype, report)
    assert max(report.result.speed_of_light.values()) <= 1


@pytest.mark.parametrize(
    ("kernel", "chip", "dtype", "params"),
    [
        ("attention", "lpu-lp30", "bf16", {"heads": 4, "seq": 320, "head_dim": 64}),
        ("attention", PR, "bf16", {"heads": 64, "seq": 512, "head_dim": 128}),
        ("attention", DT, "e4m3", {"heads": 8, "seq": 1, "kv": 4096, "head_dim": 128}),
        ("matmul", PR, "mxfp4", {"m": 2048, "n": 2048, "k": 2048}),
        ("matmul", PR, "mxfp8", {"m": 1, "n": 8192, "k": 8192}),
    ],
)
def test_no_kernel_beats_its_roofline(kernel, chip, dtype, params) -> None:
    report = timed(kernel, chip, dtype, **params)
    assert report.time_s >= floor_s(kernel, chip, dtype, report)
    assert max(report.result.speed_of_light.values()) <= 1


CASES = [
    ("matmul", "fp16", {"m": 1, "n": 4096, "k": 4096}),
    ("matmul", "mxfp8", {"m": 512, "n": 1024, "k": 4096}),
    ("attention", "bf16", {"heads": 32, "seq": 256, "head_dim": 64}),
    ("softmax", None, {"rows": 2048, "cols": 2048}),
]


@pytest.mark.parametrize(("kernel", "dtype", "params"), CASES)
def test_more_hbm_bandwidth_never_slows_a_kernel(kernel, dtype, params) -> None:
    # The builder's choices are those of the chip as it is, so that only the memory differs.
    program = find(kernel, "npu")
    resolved = program.resolve(params)
    chips = [load_chip(PR, {"hbm.bandwidth": f"{1.8 * factor} TB/s"}) for factor in (1, 2, 4)]
    built = program.build(load_chip(PR), dtype or "fp32", resolved)
    from emulator.npu.machine import Machine

    cycles = [Machine(chip).run(built, mode="timing").cycles for chip in chips]
    # Where HBM no longer bounds a run, requests arrive in another order: a few tenths of a percent.
    assert all(after <= 1.01 * before for before, after in pairwise(cycles)), cycles


def test_the_other_chip_moves_a_kernel_by_what_bounds_it() -> None:
    def ratio(dtype: str, **params: int) -> float:
        before, after = (timed("matmul", chip, dtype, **params).cycles for chip in (PR, DT))
        return before / after

    spec, other = load_chip(PR), load_chip(DT)
    bandwidth = other.hbm.bandwidth / spec.hbm.bandwidth
    by_hbm = ratio("mxfp8", m=1, n=16384, k=8192)
    assert by_hbm == pytest.approx(bandwidth, rel=0.15)
    by_cube = ratio("fp16", m=18 * 256, n=16 * 256, k=4096)
    assert by_cube == pytest.approx(other.cores / spec.cores, rel=0.08)


@pytest.mark.parametrize(
    ("chip", "dtype", "params"),
    [
        (PR, "mxfp8", {"tile": "128x256x128", "blocks": "4x8"}),
        (PR, "fp16", {"tile": "128x256x64", "blocks": "4x8"}),
        ("lpu-lp30", "int8", {}),
    ],
)
@pytest.mark.parametrize(("axis", "step"), [("m", 160), ("n", 256), ("k", 512)])
def test_a_larger_matmul_does_not_take_less(chip, dtype, params, axis, step) -> None:
    # Rows of whole L2 lines: others cost more than the next size that is whole (docs/fidelity.md).
    sizes = {"m": 1024, "n": 1024, "k": 1024}
    cycles = [
        timed("matmul", chip, dtype, **{**sizes, axis: 1024 + i * step}, **params).cycles
        for i in range(6)
    ]
    assert all(after >= 0.99 * before for before, after in pairwise(cycles)), cycles


# ---- what kernel authors report, as ratios -------------------------------------------------------


def test_short_rows_make_a_copy_several_times_slower() -> None:
    """128-byte tiles against large ones: 4.7 times on silicon."""
    size = {"rows": 4096, "cols": 4096}
    short = timed("copy", PR, tile_rows=1, tile_cols=64, **size).cycles
    long = timed("copy", PR, tile_rows=64, tile_cols=1024, **size).cycles
    assert 3.8 < short / long < 5.6


def test_pieces_that_l2_keeps_make_repeated_reads_faster() -> None:
    """Four passes over 302 MB, or over each of four pieces: 2.1 times on silicon."""
    size = {"rows": 4096, "cols": 4096, "passes": 4, "tile_rows": 64, "tile_cols": 1024}
    small = {"l2.capacity": "16 MiB"}  # the matrix has 33.6 MB
    whole = timed("copy", PR, overrides=small, **size).cycles
    pieces = timed("copy", PR, overrides=small, piece_mb=8.4, **size).cycles
    assert 1.7 < whole / pieces < 2.6


def test_bank_conflicts_slow_loads_from_ub() -> None:
    """32 rows of one sub-bank against none: 3.4 times on silicon."""
    chain = {
        pattern: presil.run("ub_load", PR, pattern=pattern).measured["chain_cycles"]
        for pattern in ("conflict_free", "conflict_32")
    }
    assert 3.1 < chain["conflict_32"] / chain["conflict_free"] < 3.7


def test_larger_tiles_and_squarer_blocks_are_faster() -> None:
    def cycles(tile: str, blocks: str) -> int:
        size = {"m": 2048, "n": 2048, "k": 2048}
        return timed("matmul", PR, "fp16", tile=tile, blocks=blocks, **size).cycles

    assert cycles("128x256x64", "4x8") < 0.8 * cycles("128x128x64", "4x8")
    assert cycles("128x128x64", "4x8") < 0.6 * cycles("64x64x64", "4x8")
    assert cycles("256x256x64", "4x8") < 0.6 * cycles("256x256x64", "32x1")
