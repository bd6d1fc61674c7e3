"""Chip files of the NPU class: valid, with a source beside every value, and refused when wrong."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from emulator.chip import ChipError, chip_names, chip_path, provenance
from emulator.npu.chip import load

CHIPS = [name for name in chip_names() if name.startswith("npu-")]


def keys(tables: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in tables.items():
        found += keys(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
    return found


@pytest.mark.parametrize("name", CHIPS)
def test_every_value_has_a_source(name: str) -> None:
    tables = tomllib.loads(chip_path(name).read_text())
    sources = provenance(name)
    for key in keys(tables):
        if key in ("extends", "class", "name", "title"):
            continue
        assert re.match(r"(published|derived|calibrated|assumed): \S", sources.get(key, "")), key


def test_names() -> None:
    assert CHIPS == ["npu-910b", "npu-950dt", "npu-950pr", "npu-tiny"]


@pytest.mark.parametrize(
    ("name", "dtype", "tera"),
    [("npu-950pr", "fp16", 432), ("npu-950pr", "mxfp8", 865), ("npu-950pr", "mxfp4", 1730),
     ("npu-950dt", "e4m3", 973), ("npu-910b", "fp16", 354)],
)  # fmt: skip
def test_published_peaks(name: str, dtype: str, tera: float) -> None:
    chip = load(name)
    assert 2 * chip.peak_macs(dtype) * chip.clock / 1e12 == pytest.approx(tera, rel=2e-3)


def test_what_the_910b_lacks() -> None:
    chip = load("npu-910b")
    assert chip.simt is None
    assert chip.cube.l0c_ub is None
    assert chip.dma.ub_l1 is None
    assert chip.dtypes == ("fp16", "bf16", "fp32", "int8")
    with pytest.raises(ValueError, match=r"does not multiply mxfp8; it grants fp16, bf16"):
        chip.k0("mxfp8")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("cores", "0", "cores"), ("hbm.bandwidth", "3.2", "needs a unit"),
     ("cube.k0.fp16", "-1", "cube.k0.fp16"), ("l2.line", "100 B", "a power of two"),
     ("vector.ub", "1000 B", "same in every bank"), ("queue.m", "0", "queue.m")],
)  # fmt: skip
def test_impossible_values_name_the_key(key: str, value: str, message: str) -> None:
    with pytest.raises(ChipError, match=message):
        load("npu-tiny", {key: value})


def test_unknown_key_has_a_hint() -> None:
    with pytest.raises(ChipError, match=r"did you mean 'cube\.l0a'"):
        load("npu-tiny", {"cube.l0aa": "4 KiB"})
