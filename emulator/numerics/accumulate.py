"""How a matrix unit adds: models to choose from, by object or by name.

    accumulate(a, b, "exact_chunk(64)")
    accumulate(a, b, Promote(128, TruncAlign(32, 13)))

Operands are float64 values of some format (decode64), whose products are exact in float64. Sources:
facts of MMA-Sim (arXiv 2511.10909) for trunc_align, DeepSeek-V3's report for promote, the vendor's
"100 bits of intermediate accumulation" for exact; exact_chunk is an assumption about cube units.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from emulator.numerics import _accumulate
from emulator.numerics.products import Doubles, Floats, add_exact_dot, exact_dot

Sums = npt.NDArray[np.float32] | npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Exact:
    """The exact sum, one nearest-even rounding."""


@dataclass(frozen=True, slots=True)
class ExactChunk:
    """Exact inside chunks of `length`, each rounded to float32 once; float32 adds across.

    A length of 0 is a machine's own: what it sums exactly before it rounds.
    """

    length: int = 0


@dataclass(frozen=True, slots=True)
class Fp32Seq:
    """Products rounded to float32 and added one by one in k order (systolic columns)."""


@dataclass(frozen=True, slots=True)
class Fp32Tree:
    """Products rounded to float32, `length` at a time added in a tree of neighbours (an odd one
    passes its level unchanged), each tree's sum added to the accumulator.
    """

    length: int


@dataclass(frozen=True, slots=True)
class TruncAlign:
    """Tensor cores. `length` products and the accumulator are aligned to the largest exponent among
    them, each cut (toward zero) to `fraction` bits below it, added as integers, and the sum is
    narrowed to `out` fraction bits (at most 23; -1: the smaller of fraction and 23), toward zero
    unless `nearest`.

    The exponent of a product is the sum of its operands' exponents, as hardware has it before any
    normalisation. Zeros have none.
    """

    length: int
    fraction: int
    out: int = -1
    nearest: bool = False


@dataclass(frozen=True, slots=True)
class Promote:
    """`inner` over every `n` elements, from zero; its results added in float32."""

    n: int
    inner: Model


@dataclass(frozen=True, slots=True)
class Int32:
    """Integers: exact in chunks of `length` (0: all of K; on a machine, its own), added to a
    saturating int32 or not.
    """

    saturate: bool = True
    length: int = 0


Model = Exact | ExactChunk | Fp32Seq | Fp32Tree | TruncAlign | Promote | Int32

_NAMES: dict[str, type[Any]] = {
    "exact": Exact,
    "exact_chunk": ExactChunk,
    "fp32_seq": Fp32Seq,
    "fp32_tree": Fp32Tree,
    "trunc_align": TruncAlign,
    "promote": Promote,
    "int32": Int32,
    "int32_wrap": Int32,
}


def parse_model(text: str | Model) -> Model:
    """A model from its name and arguments, `exact_chunk(64)`, `promote(128, trunc_align(32, 13))`.

    A Model passes through. ValueError says what is wrong and which models there are.

    >>> parse_model("promote(128, trunc_align(32, 13))")
    Promote(n=128, inner=TruncAlign(length=32, fraction=13, out=-1, nearest=False))
    """
    if not isinstance(text, str):
        return text
    match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text)
    kind = _NAMES.get(match[1]) if match else None
    if match is None or kind is None:
        raise ValueError(f"unknown accumulation {text!r}; known: {', '.join(_NAMES)}")
    arguments: list[Any] = [
        int(word) if re.fullmatch(r"-?\d+", word) else parse_model(word)
        for word in _split(match[2] or "")
    ]
    if match[1] == "int32_wrap":
        arguments.insert(0, False)
    elif kind is Int32:
        arguments.insert(0, True)
    try:
        return _checked(kind(*arguments))
    except TypeError:
        wanted = ", ".join(f.name for f in fields(kind))
        raise ValueError(f"{text!r}: {match[1]} takes ({wanted})") from None


def model_text(model: Model) -> str:
    """The shortest text from which `parse_model` makes the model.

    >>> model_text(Promote(128, TruncAlign(32, 13)))
    'promote(128,trunc_align(32,13))'
    """
    values = [getattr(model, f.name) for f in fields(model)]
    name = next(name for name, kind in _NAMES.items() if isinstance(model, kind))
    if isinstance(model, Int32):
        name = "int32" if model.saturate else "int32_wrap"
        values = values[1:]
    defaults = [f.default for f in fields(model)][-len(values) :] if values else []
    while values and values[-1] == defaults[len(values) - 1]:
        values.pop()
    words = [str(int(v)) if isinstance(v, int) else model_text(v) for v in values]
    return f"{name}({','.join(words)})" if words else name


def accumulate(
    a: npt.ArrayLike, b: npt.ArrayLike, model: str | Model, acc: Sums | None = None
) -> Sums:
    """[M, K] @ [K, N] added the model's way, on top of `acc` ([M, N], left as it is) or zero.

    Returns float32, or int32 for the int32 models (operands: integers as float64). Inf and NaN:
    IEEE results, NaN always 0x7fc00000. ValueError for shapes that do not fit, unknown models, or
    lengths below 1.
    """
    rule = parse_model(model)
    if not getattr(_checked(rule), "length", 1) and not isinstance(rule, Int32):
        raise ValueError("exact_chunk takes (length)")
    left = np.ascontiguousarray(a, dtype=np.float64)
    right = np.ascontiguousarray(b, dtype=np.float64)
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
        raise ValueError(f"cannot multiply {list(left.shape)} by {list(right.shape)}")
    dtype: Any = np.int32 if isinstance(rule, Int32) else np.float32
    shape = (left.shape[0], right.shape[1])
    if acc is None:
        out = np.zeros(shape, dtype)
    elif acc.shape != shape or acc.dtype != dtype:
        raise ValueError(f"the accumulator must be {np.dtype(dtype).name} {list(shape)}")
    else:
        out = np.array(acc, order="C")
    _add(rule, left, right, out)
    return out


def _add(rule: Model, a: Doubles, b: Doubles, acc: Any) -> None:
    if isinstance(rule, Exact):
        add_exact_dot(acc, a, b)
    elif isinstance(rule, ExactChunk):
        for left, right in _chunks(a, b, rule.length):
            add_exact_dot(acc, left, right)
    elif isinstance(rule, Fp32Seq):
        _accumulate.fp32_seq(a, b, acc)
    elif isinstance(rule, Fp32Tree):
        _accumulate.fp32_tree(a, b, acc, rule.length)
    elif isinstance(rule, TruncAlign):
        _add_aligned(rule, a, b, acc)
    elif isinstance(rule, Promote):
        for left, right in _chunks(a, b, rule.n):
            part = np.zeros(acc.shape, np.float32)
            _add(rule.inner, left, right, part)
            with np.errstate(over="ignore", invalid="ignore"):
                acc += part
            acc[np.isnan(acc)] = np.nan
    else:
        _add_integers(rule, a, b, acc)


def _add_aligned(rule: TruncAlign, a: Doubles, b: Doubles, acc: Floats) -> None:
    bits = min(rule.fraction, 23) if rule.out < 0 else rule.out
    finite = np.isfinite(a).all() and np.isfinite(b).all() and np.isfinite(acc).all()
    # Where something is not finite there is nothing to align: IEEE decides, as in the exact sum.
    with np.errstate(invalid="ignore"):
        special = None if finite else exact_dot(a, b) + acc
    left = np.where(np.isfinite(a), a, 0.0)
    right = np.ascontiguousarray(np.where(np.isfinite(b), b, 0.0).T)
    bad = np.zeros(acc.shape, np.bool_)
    if special is not None:
        bad |= ~np.isfinite(acc)
        acc[bad] = 0
        bad |= ~np.isfinite(a).all(axis=1, keepdims=True)
        bad |= ~np.isfinite(b).all(axis=0, keepdims=True)
    _accumulate.trunc_align(left, right, acc, rule.length, rule.fraction, bits, rule.nearest)
    if special is not None:
        acc[bad] = np.where(np.isnan(special[bad]), np.float32(np.nan), special[bad])


def _add_integers(rule: Int32, a: Doubles, b: Doubles, acc: npt.NDArray[np.int32]) -> None:
    low, high = -(2**31), 2**31 - 1
    for left, right in _chunks(a, b, rule.length or max(a.shape[1], 1)):
        largest = np.abs(left).max(initial=0.0) * np.abs(right).max(initial=0.0) * left.shape[1]
        if not largest <= 2.0**53:
            raise ValueError("integer sums beyond 2^53; use shorter chunks")
        total = acc + (left @ right).astype(np.int64)
        if rule.saturate:
            acc[...] = np.clip(total, low, high)
        else:
            acc[...] = ((total - low) & 0xFFFFFFFF) + low


def _chunks(a: Doubles, b: Doubles, length: int) -> Iterator[tuple[Doubles, Doubles]]:
    for start in range(0, a.shape[1], length):
        yield np.ascontiguousarray(a[:, start : start + length]), b[start : start + length]


def _checked(rule: Model) -> Model:
    for name in ("length", "n", "fraction"):
        value = getattr(rule, name, 1)
        least = 0 if isinstance(rule, Int32 | ExactChunk) or name == "fraction" else 1
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{rule}: {name} must be at least {least}")
    if isinstance(rule, TruncAlign) and (rule.fraction > 50 or not -1 <= rule.out <= 23):
        raise ValueError(f"{rule}: at most 50 fraction bits, and 23 in the result")
    if isinstance(rule, TruncAlign) and rule.length > 512:
        raise ValueError(f"{rule}: at most 512 products are aligned at once")
    if isinstance(rule, Promote):
        inner = _checked(parse_model(rule.inner))
        if isinstance(inner, Int32):
            raise ValueError(f"{rule}: integers are not promoted")
        if isinstance(inner, ExactChunk) and not inner.length:
            raise ValueError("exact_chunk takes (length) inside promote")
    return rule


def _split(text: str) -> list[str]:
    """Arguments at the top level of nesting."""
    parts, depth, word = [], 0, ""
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(word)
            word = ""
        else:
            word += letter
    return [part.strip() for part in [*parts, word] if part.strip()]
