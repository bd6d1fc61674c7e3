"""HBM: closed forms by the referee, and the model that the engine uses against the referee."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emulator.chip import chip_names
from emulator.npu.chip import NpuChip, load
from emulator.npu.memory._system import MemorySystem
from emulator.npu.memory.numbers import numbers

NS = 1e9  # a clock at which cycles are ns
PEAK = "1638.4GB/s"  # 64 pseudo-channels at 25.6 GB/s
CHIPS = [name for name in chip_names() if name.startswith("npu")]


def channels(name: str = "npu-950pr", **overrides: str) -> tuple[MemorySystem, NpuChip]:
    chip = load(name, {key.replace("__", "."): value for key, value in overrides.items()})
    return MemorySystem(numbers(chip.hbm, chip.l2, NS, 1)), chip


def requests(
    addresses: NDArray[np.int64], sizes: Any, times: Any = 0.0, writes: Any = 0
) -> tuple[Any, ...]:
    n = len(addresses)
    return (
        np.ascontiguousarray(np.broadcast_to(times, n), np.float64),
        np.ascontiguousarray(addresses, np.int64),
        np.ascontiguousarray(np.broadcast_to(sizes, n), np.int64),
        np.ascontiguousarray(np.broadcast_to(writes, n), np.uint8),
    )


def of_channel(memory: MemorySystem, addresses: NDArray[np.int64], number: int = 0) -> Any:
    """Those addresses that lie in one channel, so that all figures are about one bus."""
    return addresses[memory.spots(addresses)[:, 0] == number]


def test_unloaded_row_miss() -> None:
    """RP + RCD + CL, with a row open that is not the wanted one: 77 clocks of 0.625 ns."""
    memory, chip = channels(hbm__bandwidth=PEAK)
    addresses = np.arange(1 << 20, dtype=np.int64) * 128
    spots = memory.spots(addresses)
    bank = np.flatnonzero((spots[:, 0] == spots[0, 0]) & (spots[:, 2] == spots[0, 2]))
    other = bank[spots[bank, 3] != spots[0, 3]][0]
    pair = requests(addresses[[0, other]], 32, [0.0, 1000.0])
    burst = chip.hbm.burst_seconds * NS
    for ends in (memory.referee(*pair), memory.model(*pair)):
        assert ends[0] == pytest.approx((chip.hbm.rcd_read + chip.hbm.cl) * NS + burst)
        assert ends[1] - 1000 - burst == pytest.approx(48.125)


def test_one_bank_group_reaches_half() -> None:
    memory, _ = channels(hbm__bandwidth=PEAK, hbm__rfc="2ns")
    addresses = np.arange(1 << 18, dtype=np.int64) * 256
    mine = of_channel(memory, addresses)
    mine = mine[memory.spots(mine)[:, 1] == 0]
    ends = memory.referee(*requests(mine, 256))
    assert len(mine) * 256 / ends.max() / 25.6 == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("size", "share"), [(32, 1 / 3), (64, 2 / 3), (128, 0.95)], ids=["32 B", "64 B", "128 B"]
)
def test_random_reads(size: int, share: float) -> None:
    """Four activates per FAW bound 32 and 64 bytes; 128 bytes use the bus before that."""
    memory, _ = channels(hbm__bandwidth=PEAK, hbm__rfc="2ns")
    rng = np.random.default_rng(1)
    mine = of_channel(memory, rng.integers(0, (1 << 35) // size, 100_000) * size)
    ends = memory.referee(*requests(mine, size))
    assert len(mine) * size / ends.max() / 25.6 == pytest.approx(share, rel=0.05)


def test_refresh_ceiling() -> None:
    """Of a bus that otherwise never idles, refreshes leave 90 to 92 %."""
    memory, _ = channels(hbm__bandwidth=PEAK)
    mine = of_channel(memory, np.arange(1 << 18, dtype=np.int64) * 512)
    for ends in (memory.referee(*requests(mine, 512)), memory.model(*requests(mine, 512))):
        assert 0.90 < len(mine) * 512 / ends.max() / 25.6 < 0.92


@pytest.mark.parametrize("name", CHIPS)
def test_long_streams(name: str) -> None:
    """76 to 95 % of the raw rate, as measured on real HBM."""
    memory, chip = channels(name)
    size = 256 * chip.hbm.pseudo_channels
    stream = requests(np.arange(size, dtype=np.int64) * 512, 512)
    for ends in (memory.referee(*stream), memory.model(*stream)):
        assert 0.76 < size * 512 / (ends.max() / NS) / chip.hbm.bandwidth < 0.95


def test_addresses_spread() -> None:
    """A matrix column's lines use all channels, whatever power of two the pitch is."""
    memory, chip = channels()
    for pitch in (512, 4096, 16384, 65536, 1 << 20):
        spots = memory.spots(np.arange(4096, dtype=np.int64) * pitch)
        count = np.bincount(spots[:, 0], minlength=chip.hbm.pseudo_channels)
        assert count.min() > 0.5 * count.mean()


def test_every_byte_has_its_place() -> None:
    """The map is one to one: no two sectors share channel, bank, row and column."""
    memory, chip = channels("npu-tiny")
    hbm = chip.hbm
    sectors = np.arange(1 << 16, dtype=np.int64) * 128
    _, counts = np.unique(memory.spots(sectors)[:, [0, 2, 3]], axis=0, return_counts=True)
    assert set(counts) == {int(hbm.page) // 128}


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    mix=st.sampled_from(
        [
            (512, 0.0),
            (512, 0.1),
            (512, 0.3),
            (512, 0.5),
            (1024, 0.5),
            (4096, 0.3),
            (32768, 0.0),
            (32768, 0.1),
        ]
    ),
    load=st.sampled_from([0.4, 0.8, 1.0, 1.5]),
)
def test_model_agrees_with_referee(seed: int, mix: tuple[int, float], load: float) -> None:
    """Random pieces of some bytes, a part of them written, at some share of the raw rate.

    Four channels, so that a short run is long enough to be about rates: 20 refreshes.
    """
    size, writes = mix
    memory, chip = channels("npu-tiny")
    rng = np.random.default_rng(seed)
    total = 8 << 20
    n = total // size
    times = np.sort(rng.random(n)) * total / (chip.hbm.bandwidth / NS * load)
    addresses = rng.integers(0, (1 << 29) // size, n) * size
    asked = requests(addresses, size, times, rng.random(n) < writes)
    end = max(memory.model(*asked).max(), memory.busy_until())
    assert end == pytest.approx(memory.referee(*asked).max(), rel=0.03)
