"""Tensors in SRAM: against the layout's definition, element by element, and what does not fit."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.layout import Geometry, LayoutError, Plan, code_dtype
from emulator.lpu import _bulk_values
from isa.program import Digit, Layout, Program, Tensor

SLICES = tuple(f"{side}{i}" for side in "we" for i in range(6))
GEOMETRY = Geometry(SLICES, 64, 32)
WORDS, LANES = GEOMETRY.words, GEOMETRY.lanes


def place(layout: Layout, index: tuple[int, ...], byte: int) -> tuple[int, list[int]]:
    """Row and lanes of one element's byte, straight from the docstring of `Layout`."""
    position = address = 0
    for digit in layout.digits:
        value = index[digit.axis] // digit.div % digit.mod
        position += value * digit.slice
        address += value * digit.addr
    name = layout.slices[position + byte * layout.plane]
    row = SLICES.index(name) * WORDS + layout.base + address
    if layout.lane_axis is None:
        return row, list(range(LANES))
    lane = index[layout.lane_axis] // layout.lane_div % layout.lane_mod * layout.lane_repeat
    return row, list(range(lane, lane + layout.lane_repeat))


def by_definition(tensor: Tensor, codes: np.ndarray[Any, Any]) -> dict[int, np.ndarray[Any, Any]]:
    """Row -> lanes, for the first layout."""
    found: dict[int, np.ndarray[Any, Any]] = {}
    raw = codes.reshape(*codes.shape, 1).view(np.uint8)
    for index in itertools.product(*map(range, tensor.shape)):
        for byte in range(tensor.element_bytes):
            row, lanes = place(tensor.layouts[0], index, byte)
            vector = found.setdefault(row, np.full(LANES, tensor.pad, np.uint8))
            vector[lanes] = raw[(*index, byte)]
    return found


def plan_of(*tensors: Tensor) -> Plan:
    return Plan(Program("lpu", "lpu-tiny", (), tensors), GEOMETRY)


def filled(tensor: Tensor, codes: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    plan = plan_of(tensor)
    sram = np.zeros((len(SLICES) * WORDS, LANES), np.uint8)
    plan.fill(sram, plan.codes({tensor.name: codes}))
    return sram


def random_codes(tensor: Tensor) -> np.ndarray[Any, Any]:
    raw = np.random.default_rng(0).integers(0, 256, tensor.size * tensor.element_bytes, np.uint8)
    return raw.view(code_dtype(tensor)).reshape(tensor.shape)


CASES = {
    "rows in words": ((5, 20), Layout(("w0",), 3, (Digit(0, 1, 5, addr=2),), 1, 1, 32)),
    "striped over slices": (
        (10, 32), Layout(("w1", "e2", "w3"), 0,
                         (Digit(0, 1, 3, slice=1), Digit(0, 3, 4, addr=1)), 1, 1, 32)),
    "transposed, in passes of 16": (
        (40, 6), Layout(("e0", "e1"), 7,
                        (Digit(1, 1, 2, slice=1), Digit(1, 2, 3, addr=1), Digit(0, 16, 3, addr=3)),
                        0, 1, 16)),
    "every element in every lane": (
        (6,), Layout(("w0",), 0, (Digit(0, 1, 6, addr=1),), None)),
    "repeated in blocks of 4": (
        (3, 8), Layout(("w0",), 0, (Digit(0, 1, 3, addr=1),), 1, 1, 8, 4)),
    "lanes of every second": (
        (4, 16), Layout(("w0",), 0, (Digit(0, 1, 4, addr=2), Digit(1, 1, 2, addr=1)), 1, 2, 8)),
    "a scalar": ((), Layout(("w0",), 5, (), None)),
    "downwards": ((4, 8), Layout(("w0",), 9, (Digit(0, 1, 4, addr=-3),), 1, 1, 8)),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["int8", "bf16", "fp32"])
@pytest.mark.parametrize("case", CASES)
def test_fill_follows_the_definition(case: str, dtype: str) -> None:
    shape, layout = CASES[case]
    size = {"int8": 1, "bf16": 2, "fp32": 4}[dtype]
    if size > 1:  # byte planes side by side in slices of their own
        slices = tuple(SLICES[i] for i in range(size * len(layout.slices)))
        digits = tuple(Digit(d.axis, d.div, d.mod, d.slice * size, d.addr) for d in layout.digits)
        layout = Layout(slices, layout.base, digits, layout.lane_axis, layout.lane_div,
                        layout.lane_mod, layout.lane_repeat)  # fmt: skip
    tensor = Tensor("x", dtype, shape, "in", (layout,), pad=7)
    codes = random_codes(tensor)
    sram = filled(tensor, codes)
    wanted = by_definition(tensor, codes)
    for row, vector in wanted.items():
        np.testing.assert_array_equal(sram[row], vector)
    others = np.setdiff1d(np.arange(len(sram)), list(wanted))
    assert not sram[others].any()
    out = Tensor("x", dtype, shape, "out", (layout,))
    back = plan_of(out).outputs(sram)["x"]
    assert back.shape == shape
    assert back.tobytes() == codes.tobytes()


@st.composite
def layouts(draw: st.DrawFn) -> tuple[tuple[int, ...], Layout]:
    """A shape and a layout in which every element has a place of its own."""
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    lane_axis = draw(st.sampled_from([None, *range(len(shape))]))
    run = draw(st.integers(1, 8)) if lane_axis is not None else 1
    digits, addr, position = [], 1, 1
    for axis, n in enumerate(shape):
        left, div = n, 1
        if axis == lane_axis:
            left, div = -(-n // run), run
        while left > 1:
            mod = draw(st.integers(2, left)) if left > 2 else 2
            if draw(st.booleans()) and position * mod <= len(SLICES):
                digits.append(Digit(axis, div, mod, slice=position))
                position *= mod
            else:
                digits.append(Digit(axis, div, mod, addr=addr))
                addr *= mod
            left, div = -(-left // mod), div * mod
    if addr > WORDS:
        return draw(st.just(CASES["rows in words"]))
    layout = Layout(SLICES, 0, tuple(digits), lane_axis, 1, run, draw(st.integers(1, 4)))
    return shape, layout


@settings(max_examples=150, deadline=None)
@given(layouts())
def test_random_layouts_hold_what_they_are_given(case: tuple[tuple[int, ...], Layout]) -> None:
    shape, layout = case
    tensor = Tensor("x", "uint8", shape, "in", (layout,))
    codes = random_codes(tensor)
    sram = filled(tensor, codes)
    for row, vector in by_definition(tensor, codes).items():
        np.testing.assert_array_equal(sram[row], vector)


def test_all_layouts_are_filled() -> None:
    shape, layout = CASES["rows in words"]
    copies = (layout, Layout(("e3",), 0, layout.digits, 1, 1, 32))
    tensor = Tensor("x", "uint8", shape, "in", copies)
    codes = random_codes(tensor)
    sram = filled(tensor, codes)
    np.testing.assert_array_equal(sram[[3, 5, 7, 9, 11], :20], codes)
    np.testing.assert_array_equal(sram[9 * WORDS + np.arange(0, 10, 2), :20], codes)


def test_constants_bring_their_data() -> None:
    shape, layout = CASES["rows in words"]
    data = np.arange(100, dtype=np.uint8)
    plan = plan_of(Tensor("k", "uint8", shape, "const", (layout,), data=data.tobytes()))
    sram = np.zeros((len(SLICES) * WORDS, LANES), np.uint8)
    plan.fill(sram, plan.codes({}))
    np.testing.assert_array_equal(sram[[3, 5, 7, 9, 11], :20], data.reshape(5, 20))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 200), lanes=st.integers(1, 40), repeat=st.integers(1, 3),
    copies=st.integers(1, 3), turned=st.booleans(), apart=st.integers(1, 3), seed=st.integers(0, 9),
)  # fmt: skip
def test_blocks_are_placed(
    n: int, lanes: int, repeat: int, copies: int, turned: bool, apart: int, seed: int
) -> None:
    """Lanes side by side, far apart as in a transposed tensor, or neither."""
    rng = np.random.default_rng(seed)
    shape = (lanes, n * apart) if turned else (n, lanes * apart)
    codes = rng.integers(0, 256, shape, np.uint8)[:, ::apart]
    block = codes.T if turned else codes
    rows = rng.permutation(copies * n).reshape(copies, n)
    sram = np.zeros((copies * n, lanes * repeat + 2), np.uint8)
    _bulk_values.place(sram, rows, block, repeat)
    wanted = np.zeros_like(sram)
    wanted[rows, :-2] = np.repeat(block, repeat, axis=1)
    np.testing.assert_array_equal(sram, wanted)
    if repeat == 1:
        found = np.empty((n, lanes, copies), np.uint8)
        _bulk_values.fetch(sram, rows, 1, found)
        np.testing.assert_array_equal(found, np.moveaxis(sram[rows, :lanes], 0, -1))


def test_tensors_of_many_blocks() -> None:
    """Heads of a batch transposed: neither the vectors nor the lanes follow each other."""
    shape = (2, 2, 40, 7)
    digits = (Digit(0, 1, 2, addr=14), Digit(1, 1, 2, addr=7), Digit(3, 1, 7, addr=1),
              Digit(2, 32, 2, addr=28))  # fmt: skip
    layouts = [Layout((name,), 0, digits, 2, 1, 32) for name in SLICES[:2]]
    tensor = Tensor("x", "uint8", shape, "in", tuple(layouts))
    codes = random_codes(tensor)
    sram = filled(tensor, codes)
    for slice_ in range(2):
        for at in np.ndindex(shape):
            word = 14 * at[0] + 7 * at[1] + at[3] + 28 * (at[2] // 32)
            assert sram[slice_ * WORDS + word, at[2] % 32] == codes[at]
    plan = plan_of(replace(tensor, role="out"))
    np.testing.assert_array_equal(plan.outputs(sram)["x"], codes)


# ---- what does not fit -------------------------------------------------------------------------


def simple(name: str = "x", slice_name: str = "w0", base: int = 0, rows: int = 4, role: str = "in",
           dtype: str = "uint8", **more: Any) -> Tensor:  # fmt: skip
    layout = Layout((slice_name,), base, (Digit(0, 1, rows, addr=1),), 1, 1, 32)
    return Tensor(name, dtype, (rows, 32), role, (layout,), **more)


MISFITS: list[tuple[str, tuple[Tensor, ...]]] = [
    ("needs 66 words of w0 and its fellows; a slice has 64", (simple(base=62),)),
    ("no slice 'w9'", (simple(slice_name="w9"),)),
    ("'x' and 'y' overlap in slice w0, word 3", (simple(), simple("y", base=3, role="out"))),
    ("two tensors share a name", (simple(), simple(base=10))),
    ("has no place", (Tensor("x", "uint8", (3,), "in", ()),)),
    ("needs 2 slices; its layout names 1", (simple(dtype="fp16"),)),
    ("has 3 bytes of data; its shape takes 128", (simple(role="const", data=b"abc"),)),
    ("constant 'x' has no data", (simple(role="const"),)),
    ("needs 64 lanes; a vector has 32",
     (Tensor("x", "uint8", (64,), "in", (Layout(("w0",), 0, (), 0, 1, 64),)),)),
    ("is empty", (Tensor("x", "uint8", (0, 3), "in", (Layout(("w0",), 0, (), 1, 1, 32),)),)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "tensors"), MISFITS)
def test_tensors_that_do_not_fit(text: str, tensors: tuple[Tensor, ...]) -> None:
    with pytest.raises(LayoutError, match=text):
        plan_of(*tensors)


def test_scratch_reserves_nothing() -> None:
    plan_of(simple(), simple("tmp", role="scratch"))


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((4, 31), np.uint8), r"has shape \[4, 32\], not \[4, 31\]"),
        (np.zeros((4, 32), np.float32), r"takes uint8 codes \(uint8\), not float32"),
        (np.zeros((4, 32), np.int16), "not int16"),
    ],
)
def test_arrays_that_do_not_fit(array: np.ndarray[Any, Any], text: str) -> None:
    with pytest.raises(LayoutError, match=text):
        plan_of(simple()).codes({"x": array})


def test_missing_and_unknown_inputs() -> None:
    plan = plan_of(simple())
    with pytest.raises(LayoutError, match="input 'x' is missing"):
        plan.codes({})
    with pytest.raises(LayoutError, match="no input 'z'; inputs: x"):
        plan.codes({"x": np.zeros((4, 32), np.uint8), "z": np.zeros(3)})


@pytest.mark.parametrize("dtype", ["bf16", "e4m3"])
def test_ml_dtypes_arrays_are_codes(dtype: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    kind = {"bf16": ml_dtypes.bfloat16, "e4m3": ml_dtypes.float8_e4m3fn}[dtype]
    size = np.dtype(kind).itemsize
    layout = Layout(SLICES[:size], 0, (), 0, 1, 32)
    plan = plan_of(Tensor("x", dtype, (8,), "in", (layout,)))
    x = np.linspace(-2, 2, 8).astype(kind)
    np.testing.assert_array_equal(plan.codes({"x": x})["x"], x.view(f"u{size}"))
