"""What every SXM instruction does to lanes, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emulator.lpu.chip import LpuChip
from isa.lpu import LPU
from tests.emulator.lpu.lpu_programs import START, Bench, east, easts, planes_of, wests, wide

LANES = 32
WIDTHS = {1: np.uint8, 2: np.uint16, 4: np.uint32}


def data(width: int, seed: int = 0, rows: int = 3) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 1 << (8 * width), (rows, LANES), dtype=np.uint64).astype(WIDTHS[width])


def lane_op(
    mnemonic: str, width: int, operands: dict[str, Any], stride: int = 0, **fields: Any
) -> np.ndarray[Any, Any]:
    """Run one SXM instruction on the rows of its operands."""
    chip = wide()
    bench = Bench(chip)
    column = chip.sxm_column("e")
    place = {"a": (east(0), wests(0, 4)), "b": (east(4), wests(4, 4)), "c": (east(8), wests(8, 1))}
    rows = 1
    for name, value in operands.items():
        stream, slices = place[name]
        bench.feed(planes_of(value), slices, stream, column, START)
        fields[name], rows = stream, len(value)
    repeat = {"n": rows - 1, "d": 1, "stride": stride} if rows > 1 else None
    bench.at("sxm.e.1", START, mnemonic, width=width, dst=WEST, repeat=repeat, **fields)
    bench.drain(
        rows, easts(0, width), WEST, column, START + chip.latency[LPU.by_name[mnemonic].timing]
    )
    result = bench.run()
    assert not result.hazards
    return bench.values(result, WIDTHS[width])


WEST = east(12)._replace(direction="w")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("amount", [0, 1, -1, 17, -20, 31, -31])
def test_shift_fills_with_zero(width: int, amount: int) -> None:
    a = data(width)
    wanted = np.zeros_like(a)
    if amount >= 0:
        wanted[:, amount:] = a[:, : LANES - amount]
    else:
        wanted[:, :amount] = a[:, -amount:]
    np.testing.assert_array_equal(lane_op("shift", width, {"a": a}, amount=amount), wanted)


@pytest.mark.parametrize("amount", [1, -1, 16, 31])
def test_shift_wraps(amount: int) -> None:
    a = data(2)
    got = lane_op("shift", 2, {"a": a}, amount=amount, wrap=True)
    np.testing.assert_array_equal(got, np.roll(a, amount, 1))


def test_shift_amount_is_strided() -> None:
    a = data(1, rows=5)
    got = lane_op("shift", 1, {"a": a}, stride=-3, amount=6, wrap=True)
    wanted = np.stack([np.roll(row, 6 - 3 * i) for i, row in enumerate(a)])
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("amount", [0, 1, -15, 7])
def test_rotate_stays_in_the_superlane(amount: int) -> None:
    a = data(4)
    wanted = np.roll(a.reshape(3, 2, 16), amount, 2).reshape(3, LANES)
    np.testing.assert_array_equal(lane_op("rotate", 4, {"a": a}, amount=amount), wanted)


def test_broadcast() -> None:
    a = data(2)
    got = lane_op("broadcast", 2, {"a": a}, stride=5, lane=20)
    wanted = np.stack([np.full(LANES, row[20 + 5 * i]) for i, row in enumerate(a)])
    np.testing.assert_array_equal(got, wanted)


def test_choose() -> None:
    a, b, c = data(4, 1), data(4, 2), data(1, 3) % 2
    got = lane_op("choose", 4, {"a": a, "b": b, "c": c})
    np.testing.assert_array_equal(got, np.where(c != 0, a, b))


def test_distribute() -> None:
    a = data(1)
    entries = (15, 14, 0, 0, 16, 3, 3, 3, 8, 9, 10, 11, 16, 12, 1, 2)
    blocks = np.concatenate([a.reshape(3, 2, 16), np.zeros((3, 2, 1), np.uint8)], 2)
    wanted = blocks[:, :, entries].reshape(3, LANES)
    np.testing.assert_array_equal(lane_op("distribute", 1, {"a": a}, entries=entries), wanted)


def test_transpose() -> None:
    chip = wide()
    bench = Bench(chip)
    column = chip.sxm_column("e")
    a = np.random.default_rng(0).integers(0, 256, (2, 16, LANES)).astype(np.uint8)
    bench.feed(a, wests(0, 16), east(16), column, START)
    bench.at("sxm.e.0", START, "transpose", a=east(16), dst=WEST._replace(index=0),
             repeat={"n": 1, "d": 1})  # fmt: skip
    end = START + chip.latency["sxm.transpose"]
    bench.drain(2, easts(0, 16), WEST._replace(index=0), column, end)
    result = bench.run()
    got = np.stack([result.outputs[f"y.{i}"] for i in range(16)], 1)
    wanted = a.reshape(2, 16, 2, 16).transpose(0, 3, 2, 1).reshape(2, 16, LANES)
    np.testing.assert_array_equal(got, wanted)
    assert not result.hazards


def permuting(
    chip: LpuChip, gap: int, maps: list[np.ndarray[Any, Any]], queue: str = "sxm.e.0"
) -> Bench:
    """Load maps `gap` cycles before a permute on sxm.e.0 each."""
    bench = Bench(chip)
    column, a = chip.sxm_column("e"), data(1, rows=len(maps))
    far = START + 80
    for i, entries in enumerate(maps):
        at = far + 40 * i
        bench.feed(planes_of(entries[None]), wests(2 * i, 2), east(0), column, at - gap)
        bench.at(queue, at - gap, "setmap", a=east(0))
        bench.feed(a[i : i + 1, None], [f"w{4 + i}"], east(3), column, at, base=9)
        bench.at("sxm.e.0", at, "permute", width=1, dst=WEST, a=east(3))
        bench.drain(1, [f"e{i}"], WEST, column, at + chip.latency["sxm.permute"], name=f"y{i}")
    return bench


def test_permute_by_a_map() -> None:
    chip = wide()
    rng = np.random.default_rng(5)
    maps = [rng.integers(0, 40, LANES).astype(np.uint16), rng.permutation(LANES).astype(np.uint16)]
    result = permuting(chip, chip.latency["sxm.setmap"], maps).run()
    a = np.concatenate([data(1, rows=2), np.zeros((2, 500), np.uint8)], 1)
    for i, entries in enumerate(maps):
        np.testing.assert_array_equal(result.outputs[f"y{i}.0"][0], a[i, entries])
    assert not result.hazards


def test_permute_before_its_map_works() -> None:
    chip = wide()
    identity = np.arange(LANES, dtype=np.uint16)
    hazard = permuting(chip, chip.latency["sxm.setmap"] - 1, [identity]).fails("map")
    assert f"works: from cycle {START + 80 + 1} on" in hazard.message
    assert hazard.other == ("sxm.e.0", 1)


def test_a_map_belongs_to_its_queue() -> None:
    chip = wide()
    identity = np.arange(LANES, dtype=np.uint16)
    hazard = permuting(chip, 10, [identity], queue="sxm.e.1").fails("map")
    assert "never loaded" in hazard.message
