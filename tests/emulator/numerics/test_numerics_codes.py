"""encode and decode: every code, every bf16, every midpoint and its neighbours, in every mode."""

import gfloat
import gfloat.formats
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.emulator.numerics.numerics_oracle as oracle
from emulator.numerics import (
    FORMATS,
    as_codes,
    as_ml_dtypes,
    decode,
    decode64,
    encode,
    format_of,
    get_format,
    round_to,
)

pytestmark = pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered in cast")

MODES = ["nearest-even", "toward-zero", "ties-away"]
SIGNED = oracle.FLOATS
INTEGERS = {"int8": (-128, 127), "int4": (-8, 7), "uint8": (0, 255), "int32": (-(2**31), 2**31 - 1)}
NAN = np.array([0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32)


@pytest.mark.parametrize("fmt", oracle.DTYPES)
def test_every_code_decodes(fmt: str) -> None:
    row = get_format(fmt)
    if fmt == "fp32":
        codes = np.random.default_rng(1).integers(0, 1 << 32, 100_000, dtype=np.uint32)
    else:
        codes = np.arange(1 << row.bits).astype(row.storage)
    expected = codes.view(oracle.DTYPES[fmt]).astype(np.float32)
    assert oracle.same(decode(codes, fmt), expected).all()
    assert oracle.same(decode64(codes, fmt), expected.astype(np.float64)).all()


@pytest.mark.parametrize("fmt", [row.name for row in FORMATS])
def test_encode_inverts_decode(fmt: str) -> None:
    row = get_format(fmt)
    if row.code_bytes == 4:
        codes = np.random.default_rng(1).integers(0, 1 << 32, 100_000, dtype=np.uint32)
        codes = codes & np.uint32(~((1 << row.code_shift) - 1) & 0xFFFFFFFF)
    else:
        codes = np.arange(1 << row.bits)
    codes = codes.astype(row.storage)
    if fmt == "int4":
        codes = (codes.astype(np.int8) << 4) >> 4
    values = decode64(codes, fmt)
    for saturate in (True, False):
        again = encode(values, fmt, saturate=saturate)
        kept = np.isfinite(values) | (np.isinf(values) & (not saturate or fmt == "fp32"))
        assert (again[kept] == codes[kept]).all()
        canonical = row.nan_code
        if canonical is not None:
            assert (again[np.isnan(values)] == canonical << row.code_shift).all()


@pytest.mark.parametrize("saturate", [True, False], ids=["saturating", "plain"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fmt", SIGNED)
def test_rounding_by_search(fmt: str, mode: str, saturate: bool) -> None:
    x = oracle.interesting(fmt)
    expected = oracle.round_values(x, fmt, mode, saturate)
    got = round_to(x, fmt, rounding=mode, saturate=saturate)
    wrong = ~(oracle.same(got, expected) | ((got == 0) & (expected == 0) & (fmt == "hif8")))
    assert not wrong.any(), (x[wrong][:5], got[wrong][:5], expected[wrong][:5])


@pytest.mark.parametrize("fmt", [f for f in oracle.DTYPES if f not in ("fp32", "e8m0")])
def test_plain_codes_against_the_libraries(fmt: str) -> None:
    x = oracle.interesting(fmt)
    with np.errstate(over="ignore"):
        expected = x.astype(oracle.DTYPES[fmt]).view(get_format(fmt).storage)
    assert (encode(x, fmt, saturate=False) == expected).all()


@pytest.mark.parametrize("saturate", [True, False], ids=["saturating", "plain"])
@pytest.mark.parametrize("fmt", ["e4m3", "e5m2", "e2m3", "e3m2", "e2m1"])
def test_against_gfloat(fmt: str, saturate: bool) -> None:
    info = getattr(gfloat.formats, f"format_info_ocp_{fmt}")
    x = oracle.interesting(fmt)
    if not (info.num_posinfs or info.num_nans):
        saturate = True  # gfloat has no plain mode where there is neither Inf nor NaN
    rounds = {
        "nearest-even": gfloat.RoundMode.TiesToEven,
        "toward-zero": gfloat.RoundMode.TowardZero,
        "ties-away": gfloat.RoundMode.TiesToAway,
    }
    for mode, rnd in rounds.items():
        expected = gfloat.round_ndarray(info, x.astype(np.float64), rnd, sat=saturate)
        got = round_to(x, fmt, rounding=mode, saturate=saturate)
        assert oracle.same(got, expected).all(), mode


def test_e8m0() -> None:
    x = np.array(
        [1, 1.49, 1.5, 3, 2.0**127, 1.5 * 2.0**127, 2.0**-127, 1.49 * 2.0**-127, 1e-45], "f4"
    )
    expected = [127, 127, 128, 129, 254, 255, 0, 0, 0]
    assert encode(x, "e8m0", saturate=False).tolist() == expected
    assert encode(x, "e8m0").tolist() == [min(c, 254) for c in expected]
    special = np.array([0.0, -0.0, -1.0, np.inf, -np.inf, np.nan], "f4")
    assert encode(special, "e8m0", saturate=False).tolist() == [255] * 6
    assert encode(special, "e8m0").tolist() == [0, 0, 255, 254, 255, 255]
    assert encode(x[:4], "e8m0", "toward-zero").tolist() == [127, 127, 127, 128]


def test_e8m0_against_ml_dtypes() -> None:
    x = oracle.ALL_BF16[~np.isnan(oracle.ALL_BF16)]
    # Below 2^-126 ml_dtypes rounds up whatever exceeds 2^-127, which is not the nearest.
    x = x[~((x > 2.0**-127) & (x < 1.5 * 2.0**-127))]
    expected = x.astype(oracle.DTYPES["e8m0"]).view(np.uint8)
    assert (encode(x, "e8m0", saturate=False) == expected).all()


@pytest.mark.parametrize("fmt", [row.name for row in FORMATS])
@pytest.mark.parametrize("saturate", [True, False])
def test_nan_is_canonical(fmt: str, saturate: bool) -> None:
    row = get_format(fmt)
    expected = 0 if row.kind == "int" else row.max_code if row.nan_code is None else row.nan_code
    for mode in (*MODES, "stochastic"):
        for x in (NAN, NAN.astype(np.float64)):
            codes = encode(x, fmt, mode, saturate)
            assert (codes == expected << row.code_shift).all()


@pytest.mark.parametrize("fmt", INTEGERS)
def test_integers(fmt: str) -> None:
    low, high = INTEGERS[fmt]
    x = np.concatenate(
        [
            np.arange(-600, 600) / 4,
            [2.0**31 - 128, 2.0**31, 2.0**32, -(2.0**31), 1e20, 3e38],
            oracle.ALL_BF16,
        ]
    ).astype(np.float32)
    x = x[~np.isnan(x)]
    nearest = np.rint(x.astype(np.float64))
    assert (encode(x, fmt) == np.clip(nearest, low, high)).all()
    assert (encode(x.astype(np.float64), fmt) == np.clip(nearest, low, high)).all()
    truncated = np.clip(np.trunc(x.astype(np.float64)), low, high)
    assert (encode(x, fmt, "toward-zero") == truncated).all()
    away = np.copysign(np.floor(np.abs(x.astype(np.float64)) + 0.5), x)
    assert (encode(x, fmt, "ties-away") == np.clip(away, low, high)).all()
    size = high - low + 1
    wrapped = [(int(v) - low) % size + low if np.isfinite(v) else 0 for v in nearest]
    assert encode(x, fmt, saturate=False).tolist() == wrapped


def test_int32_from_float64_keeps_every_bit() -> None:
    x = np.array([2147483646.5, 2147483645.5, -2147483648.6, 123456789.49999999])
    assert encode(x, "int32").tolist() == [2147483646, 2147483646, -2147483648, 123456789]
    assert decode(np.array([16777217, 16777219], np.int32), "int32").tolist() == [
        16777216,
        16777220,
    ]


@pytest.mark.parametrize("fmt", [f for f in SIGNED if f != "tf32"])
@pytest.mark.parametrize("mode", MODES)
def test_float64_is_rounded_once(fmt: str, mode: str) -> None:
    values, _ = oracle.magnitudes(fmt)
    middle = (values[1:] + values[:-1]) / 2
    hair = np.concatenate([np.nextafter(middle, np.inf), np.nextafter(middle, 0), middle])
    x = np.concatenate([hair, -hair, [1e300, -1e-300, 5e-324, np.inf]])
    for saturate in (True, False):
        expected = oracle.round_values(x, fmt, mode, saturate)
        got = round_to(x, fmt, rounding=mode, saturate=saturate)
        assert (oracle.same(got, expected) | ((got == 0) & (expected == 0))).all()


def test_float64_to_fp32() -> None:
    x = np.random.default_rng(3).integers(0, 1 << 64, 100_000, dtype=np.uint64).view(np.float64)
    x = np.concatenate(
        [x[np.isfinite(x)], x[:1000].astype(np.float32), [1 + 2.0**-24, 1 + 3 * 2.0**-24]]
    )
    with np.errstate(over="ignore", invalid="ignore"):
        expected = x.astype(np.float32)
    assert oracle.same(round_to(x, "fp32"), expected).all()
    zero = round_to(x, "fp32", rounding="toward-zero").astype(np.float64)
    finite = np.isfinite(x)
    assert (np.abs(zero[finite]) <= np.abs(x[finite])).all()


@pytest.mark.parametrize("fmt", ["bf16", "fp16", "e4m3", "e2m1", "hif8", "int8"])
def test_stochastic_rounding(fmt: str) -> None:
    row = get_format(fmt)
    x = np.full(200_000, 3.3 if row.kind == "int" else 1.3 if fmt == "e2m1" else 1.0123, np.float32)
    values, counts = np.unique(round_to(x, fmt, rounding="stochastic", seed=5), return_counts=True)
    assert len(values) == 2
    assert values[0] < x[0] < values[1]
    share = (x[0] - values[0]) / (values[1] - values[0])
    assert abs(counts[1] / len(x) - share) < 0.005
    exact = decode(np.arange(8).astype(row.storage), fmt)
    assert (round_to(exact, fmt, rounding="stochastic") == exact).all()


def test_stochastic_numbers_belong_to_seed_and_element() -> None:
    x = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    whole = encode(x, "e4m3", "stochastic", seed=9)
    assert (encode(x, "e4m3", "stochastic", seed=9) == whole).all()
    parts = [encode(x[i : i + 7], "e4m3", "stochastic", seed=9, first=i) for i in range(0, 1000, 7)]
    assert (np.concatenate(parts) == whole).all()
    assert (encode(x.reshape(10, 100), "e4m3", "stochastic", seed=9).ravel() == whole).all()
    assert (encode(x.astype(np.float64), "e4m3", "stochastic", seed=9) == whole).all()
    assert (encode(x, "e4m3", "stochastic", seed=10) != whole).any()


@given(
    st.sampled_from(SIGNED),
    st.floats(width=32, allow_nan=False),
    st.floats(width=32, allow_nan=False),
    st.sampled_from(MODES),
)
def test_rounding_is_monotonic_odd_and_idempotent(fmt: str, a: float, b: float, mode: str) -> None:
    low, high = sorted((a, b))
    y = round_to(np.array([low, high, -low, -high], np.float32), fmt, rounding=mode)
    assert y[0] <= y[1]
    assert y[2] == -y[0]
    assert (round_to(y, fmt, rounding=mode) == y).all()


@given(st.sampled_from(SIGNED), st.floats(width=32, allow_nan=False), st.integers(0, 2**64 - 1))
def test_stochastic_picks_a_neighbour(fmt: str, x: float, seed: int) -> None:
    value = round_to(np.array([x], np.float32), fmt, rounding="stochastic", seed=seed)[0]
    low = round_to(np.array([x], np.float32), fmt, rounding="toward-zero")[0]
    values, _ = oracle.magnitudes(fmt)
    above = values[np.searchsorted(values, abs(low), side="right") :][:1]
    assert abs(value) in (abs(low), *above)


# --- arrays in and out ---------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", [f for f in oracle.DTYPES if f != "hif8"])
def test_ml_dtypes_without_a_copy(fmt: str) -> None:
    array = np.ones((3, 4), np.float32).astype(oracle.DTYPES[fmt])
    codes, name = as_codes(array)
    assert name == fmt == format_of(array)
    assert np.shares_memory(codes, array)
    back = as_ml_dtypes(codes, fmt)
    assert back.dtype == array.dtype
    assert np.shares_memory(back, array)
    assert (decode(array, fmt) == 1).all()
    assert (encode(array, "fp16") == 0x3C00).all()


def test_int4_of_ml_dtypes() -> None:
    values = np.arange(-8, 8).astype(np.int8)
    codes = encode(values, "int4")
    assert (codes == values).all()
    assert (as_ml_dtypes(codes, "int4").astype(np.int8) == values).all()
    assert (decode(values.astype("int4"), "int4") == values).all()
    assert (encode(values.astype("int4"), "int8") == values).all()


def test_inputs_of_every_kind() -> None:
    expected = encode(np.array([[1.0, 0.0], [2.0, 3.0]], np.float32), "e4m3")
    for dtype in ("f2", "f8", ">f4", ">f8", "i1", "u2", "i4", "i8", "u8"):
        assert (encode(np.array([[1, 0], [2, 3]]).astype(dtype), "e4m3") == expected).all(), dtype
    assert (encode([[1, 0], [2, 3]], "e4m3") == expected).all()
    assert (encode([True, False], "e4m3") == expected[0]).all()
    strided = np.arange(64, dtype=np.float32).reshape(8, 8).T[::2, 1::3]
    assert (encode(strided, "bf16") == encode(strided.copy(), "bf16")).all()
    codes = encode(strided, "bf16")
    assert (decode(codes.T, "bf16") == strided.T).all()
    assert encode(np.float32(1), "bf16").shape == ()
    assert encode(np.zeros((0, 3), np.float32), "bf16").shape == (0, 3)
    assert decode(np.zeros((0, 3), np.uint16), "bf16").shape == (0, 3)


def test_errors_name_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"unknown rounding 'up'; known: nearest-even, "):
        encode([1.0], "bf16", "up")
    with pytest.raises(
        TypeError, match=r"codes of bf16 are uint16, not float32; numbers are .* encode"
    ):
        decode(np.ones(3, np.float32), "bf16")
    with pytest.raises(TypeError, match=r"codes of e4m3 are uint8, not float8_e5m2"):
        decode(np.ones(3, np.float32).astype("float8_e5m2"), "e4m3")
    with pytest.raises(TypeError, match=r"dtype complex64"):
        encode(np.ones(3, np.complex64), "bf16")
    with pytest.raises(ValueError, match=r"beyond 2\^53"):
        encode(np.array([2**53 + 1]), "fp32")
    with pytest.raises(TypeError, match=r"int16 names no format"):
        as_codes(np.ones(3, np.int16))
    with pytest.raises(TypeError, match=r"hif8"):
        as_ml_dtypes(np.zeros(3, np.uint8), "hif8")


def test_ml_dtypes_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    with pytest.raises(ImportError, match=r"pip install ml_dtypes"):
        as_ml_dtypes(np.zeros(3, np.uint8), "e4m3")
    assert as_ml_dtypes(np.zeros(3, np.uint16), "fp16").dtype == np.float16
