"""The registry: derived limits against what other libraries say, and lookups."""

import ast
from pathlib import Path
from types import ModuleType

import en_dtypes
import gfloat.formats
import ml_dtypes
import numpy as np
import pytest

from emulator.numerics import (
    FORMATS,
    Fmt,
    _accumulate,
    _core,
    decode,
    formats,
    get_format,
    largest_exact_k,
)

FINFO = ["bf16", "fp16", "e4m3", "e5m2", "e2m3", "e3m2", "e2m1", "e8m0"]
GFLOAT = {
    "fp32": "binary32",
    "bf16": "bfloat16",
    "fp16": "binary16",
    "e4m3": "ocp_e4m3",
    "e5m2": "ocp_e5m2",
    "e2m3": "ocp_e2m3",
    "e3m2": "ocp_e3m2",
    "e2m1": "ocp_e2m1",
    "e8m0": "ocp_e8m0",
}


@pytest.mark.parametrize("name", FINFO)
def test_limits_against_ml_dtypes(name: str) -> None:
    row = get_format(name)
    info = ml_dtypes.finfo(row.ml_dtypes)
    assert row.max_finite == float(info.max)
    assert row.min_normal == float(info.smallest_normal)
    if name != "e8m0":  # ml_dtypes calls 0 the smallest subnormal of a format that has neither
        assert row.min_subnormal == float(info.smallest_subnormal)
    assert (row.bits, row.mantissa) == (info.bits, info.nmant)


@pytest.mark.parametrize("name", GFLOAT)
def test_limits_against_gfloat(name: str) -> None:
    row = get_format(name)
    info = getattr(gfloat.formats, f"format_info_{GFLOAT[name]}")
    assert row.max_finite == info.max
    assert row.min_subnormal == info.smallest
    assert row.has_inf == (info.num_posinfs > 0)
    assert (row.nan_code is not None) == (info.num_nans > 0)
    assert row.bits == info.k


def test_limits_of_hif8() -> None:
    row, info = get_format("hif8"), en_dtypes.finfo("hifloat8")
    assert row.max_finite == float(info.max)
    values = decode(np.arange(256, dtype=np.uint8), "hif8")
    assert values[values > 0].min() == row.min_subnormal
    assert values[row.max_code] == row.max_finite
    assert np.isinf(values[[0x6F, 0xEF]]).all()
    assert np.isnan(values[0x80])


def test_tf32_limits() -> None:
    row = get_format("tf32")
    assert row.min_subnormal == 2.0**-136
    assert row.max_finite == (2 - 2.0**-10) * 2.0**127


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.name)
def test_codes_of_limits_decode_to_them(row) -> None:  # type: ignore[no-untyped-def]
    code = np.array([row.max_code << row.code_shift]).astype(row.storage)
    assert decode(code, row)[0] == np.float32(row.max_finite)
    for special, check in ((row.inf_code, np.isposinf), (row.nan_code, np.isnan)):
        if special is not None:
            assert check(decode(np.array([special << row.code_shift]).astype(row.storage), row))[0]


def test_enum_and_registry_agree() -> None:
    assert [f.name.lower() for f in Fmt] == [row.name for row in FORMATS]
    assert [int(f) for f in Fmt] == [row.index for row in FORMATS] == list(range(len(FORMATS)))


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"unknown format 'e4m4'; known: fp32, tf32, .*int32"):
        get_format("e4m4")


@pytest.mark.parametrize(
    ("a", "b", "k"),
    [
        ("e4m3", "e4m3", 171_196),
        ("e5m2", "e5m2", 0),
        ("e2m3", "e2m3", 2**53 // 60**2),
        ("int8", "int8", 2**53 // 2**14),
        ("bf16", "bf16", 0),
        ("hif8", "hif8", 0),
    ],
)
def test_largest_exact_k(a: str, b: str, k: int) -> None:
    assert largest_exact_k(get_format(a).index, get_format(b).index) == k


@pytest.mark.parametrize("module", [_core, _accumulate], ids=lambda module: module.__name__)
def test_stubs_name_what_there_is(module: ModuleType) -> None:
    """The .pyi beside a compiled module lists its functions and classes, and no others."""
    stub = Path(formats.__file__).with_name(module.__name__.rpartition(".")[2] + ".pyi")
    kinds = (ast.FunctionDef, ast.ClassDef)
    stated = {node.name for node in ast.parse(stub.read_text()).body if isinstance(node, kinds)}
    defined = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }
    assert stated == defined
