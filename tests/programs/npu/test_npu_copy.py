"""copy on the NPU: values, what it says of wrong sizes, and published times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.npu.chip import load
from emulator.npu.machine import Machine
from emulator.result import Result
from programs.kernel import KernelError
from programs.npu.copy import KERNEL

TINY, PR, DT = load("npu-tiny"), load("npu-950pr"), load("npu-950dt")


def timed(chip: Any = PR, **given: Any) -> Result:
    params = KERNEL.resolve(given)
    return Machine(chip).run(KERNEL.build(chip, "fp16", params), mode="timing")


@settings(max_examples=25, deadline=None)
@given(
    dtype=st.sampled_from(KERNEL.dtypes(TINY)),
    rows=st.integers(1, 70),
    cols=st.integers(1, 150),
    tile_rows=st.one_of(st.just("auto"), st.integers(1, 20)),
    tile_cols=st.integers(1, 200),
    passes=st.integers(1, 2),
    piece=st.one_of(st.just("auto"), st.floats(1e-6, 0.02)),
)
def test_y_is_x(
    dtype: str, rows: int, cols: int, tile_rows: Any, tile_cols: int, passes: int, piece: Any
) -> None:
    params = KERNEL.resolve({
        "rows": rows, "cols": cols, "tile_rows": tile_rows, "tile_cols": tile_cols,
        "passes": passes, "piece_mb": piece, "write": 1,
    })  # fmt: skip
    arrays = KERNEL.inputs(params, 0)
    encoded = KERNEL.encode(dtype, params, arrays)
    result = Machine(TINY).run(KERNEL.build(TINY, dtype, params), encoded.tensors)
    y = KERNEL.decode(dtype, params, result.outputs, encoded)["y"]
    naive = KERNEL.naive(dtype, params, arrays)
    assert naive is not None
    scale = np.float32(KERNEL.accuracy_scale(dtype, encoded)["y"])
    assert np.array_equal(y.astype(np.float32) * scale, naive["y"])


def test_reads_write_nothing() -> None:
    params = KERNEL.resolve({"rows": 100, "cols": 100})
    encoded = KERNEL.encode("fp16", params, KERNEL.inputs(params, 0))
    result = Machine(TINY).run(KERNEL.build(TINY, "fp16", params), encoded.tensors)
    assert result.outputs == {}
    assert result.memory["l2"].write_bytes == 0
    assert result.memory["l2"].read_bytes == 20_000


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tile_rows": 64}, "a tile of 64x1024 needs 131,072 bytes of UB, it has 32,768"),
        ({"piece_mb": 0}, "piece_mb is at least"),
        ({"tile_rows": "many"}, "tile_rows is an integer, not 'many'"),
        ({"passes": 0}, "passes is at least 1"),
    ],
)
def test_wrong_sizes(given: dict[str, Any], message: str) -> None:
    with pytest.raises(KernelError, match=message):
        KERNEL.build(TINY, "fp16", KERNEL.resolve(given))


@pytest.mark.parametrize(
    ("given", "published"),
    [
        ({}, 188.5),
        ({"passes": 4, "piece_mb": 302}, 741.6),
        ({"passes": 4, "piece_mb": 75.5}, 355.0),
        pytest.param({"tile_rows": 1, "tile_cols": 64}, 884.1, marks=pytest.mark.slow),
    ],
)
def test_published_times(given: dict[str, Any], published: float) -> None:
    assert timed(**given).time_s * 1e6 == pytest.approx(published, rel=0.05)


def test_small_tiles_are_slow() -> None:
    """Instructions of 128 bytes: about 4.5 times slower than large ones."""
    rows = {"rows": 1536, "cols": 12288}
    ratio = timed(**rows, tile_rows=1, tile_cols=64).cycles / timed(**rows).cycles
    assert 4 < ratio < 5.2


def test_pieces_that_fit_l2_are_fast() -> None:
    four = {"rows": 6144, "passes": 4}
    assert timed(**four).cycles / timed(**four, piece_mb=37.7).cycles > 1.8


def test_faster_memory_is_faster() -> None:
    assert 1.8 < timed(PR, rows=3072).cycles / timed(DT, rows=3072).cycles < 2.6


def test_warm_l2() -> None:
    params = KERNEL.resolve({"rows": 3072})
    program = KERNEL.build(PR, "fp16", params)
    warm = Machine(PR).run(program, mode="timing", warm_l2=True)
    assert warm.memory["hbm"].read_bytes == 0
    assert warm.cycles < 0.7 * timed(rows=3072).cycles
