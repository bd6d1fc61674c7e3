"""The numerics core: conversions, elementary functions, exact products. C interface in _core.pxd.

The parts are included below; the functions here are the Python edge. They take contiguous arrays of
the right dtype (the modules beside this one see to that) and release the GIL.
"""

from libc.stdint cimport int8_t, int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import numpy

from emulator.numerics._erf_table import erf_rows
from emulator.numerics.formats import FORMATS

include "_compiler.pxi"
include "_convert.pxi"
include "_elementary.pxi"
include "_exact.pxi"
include "_certify.pxi"
include "_micro.pxi"
include "_chunks.pxi"
include "_integers.pxi"
include "_rows.pxi"
include "_blocks.pxi"


cdef int _fill_tables() except -1:
    """Hand the rows of formats.py and the erf table to C."""
    kinds = ("float", "scale", "tapered", "int")
    cdef presil_format* row
    cdef int i, j
    if len(FORMATS) != PRESIL_FORMATS or any(Fmt[f.name.upper()] != f.index for f in FORMATS):
        raise ImportError("emulator.numerics.formats and _core.Fmt do not list the same formats")
    for i, f in enumerate(FORMATS):
        row = &presil_formats[i]
        row.kind = kinds.index(f.kind)
        row.bytes = f.code_bytes
        row.mantissa = f.mantissa
        row.bias = f.bias
        row.sign_bit = f.bits - 1 if f.signed else f.bits
        row.code_shift = f.code_shift
        row.max_code = f.max_code
        row.nan_code = 0 if f.nan_code is None else f.nan_code
        row.over_code = next(c for c in (f.inf_code, f.nan_code, f.max_code) if c is not None)
        if f.nan_code is None and f.kind == "float":
            row.nan_code = f.max_code
        row.low = f.min_finite
        row.high = f.max_finite
        row.span = f.span
    presil_build_tables()
    for i, coefficients in enumerate(erf_rows(PRESIL_ERF_ROWS, PRESIL_ERF_TERMS)):
        for j in range(PRESIL_ERF_TERMS):
            presil_erf_table[i * PRESIL_ERF_TERMS + j] = coefficients[j]
    return 0


_fill_tables()


def encode32(int fmt, const float[::1] x, uint8_t[::1] out, bint saturate, int rounding=0,
             uint64_t seed=0, uint64_t first=0):
    """Encode float32 values into `out`, the bytes of as many codes."""
    cdef Py_ssize_t n = x.shape[0]
    if out.shape[0] != n * code_bytes(fmt):
        raise ValueError("out has the wrong size")
    if n:
        with nogil:
            encode_from_f32_rounded(fmt, &x[0], &out[0], n, saturate, rounding, seed, first)


def encode64(int fmt, const double[::1] x, uint8_t[::1] out, bint saturate, int rounding=0,
             uint64_t seed=0, uint64_t first=0):
    """Encode float64 values into `out`, each rounded once."""
    cdef Py_ssize_t n = x.shape[0]
    if out.shape[0] != n * code_bytes(fmt):
        raise ValueError("out has the wrong size")
    if n:
        with nogil:
            encode_from_f64_rounded(fmt, &x[0], &out[0], n, saturate, rounding, seed, first)


def decode32(int fmt, const uint8_t[::1] codes, float[::1] out):
    """Decode the bytes of codes into float32."""
    cdef Py_ssize_t n = out.shape[0]
    if codes.shape[0] != n * code_bytes(fmt):
        raise ValueError("out has the wrong size")
    if n:
        with nogil:
            decode_to_f32(fmt, &codes[0], &out[0], n)


def decode64(int fmt, const uint8_t[::1] codes, double[::1] out):
    """Decode the bytes of codes into float64."""
    cdef Py_ssize_t n = out.shape[0]
    if codes.shape[0] != n * code_bytes(fmt):
        raise ValueError("out has the wrong size")
    if n:
        with nogil:
            decode_to_f64(fmt, &codes[0], &out[0], n)


def elementary(str name, const float[::1] x, float[::1] out):
    """out = name(x): exp2, exp, ln, sqrt, rsqrt, tanh or erf."""
    cdef void (*function)(const float*, float*, Py_ssize_t) noexcept nogil
    if name == "exp2":
        function = vec_exp2
    elif name == "exp":
        function = vec_exp
    elif name == "ln":
        function = vec_ln
    elif name == "sqrt":
        function = vec_sqrt
    elif name == "rsqrt":
        function = vec_rsqrt
    elif name == "tanh":
        function = vec_tanh
    elif name == "erf":
        function = vec_erf
    else:
        raise ValueError(f"unknown function {name!r}")
    if out.shape[0] != x.shape[0]:
        raise ValueError("out has the wrong size")
    if x.shape[0]:
        with nogil:
            function(&x[0], &out[0], x.shape[0])


def exact_dot_direct(a, b):
    """products.exact_dot without BLAS, row by row as the step engine does it."""
    cdef const double[:, ::1] a_ = numpy.ascontiguousarray(a, dtype=numpy.float64)
    cdef const double[:, ::1] b_ = numpy.ascontiguousarray(b, dtype=numpy.float64)
    cdef Py_ssize_t m = a_.shape[0], k = a_.shape[1], n = b_.shape[1]
    if b_.shape[0] != k:
        raise ValueError(f"cannot multiply [{m}, {k}] by [{b_.shape[0]}, {n}]")
    result = numpy.zeros((m, n), dtype=numpy.float32)
    if m == 0 or k == 0 or n == 0:
        return result
    cdef float[:, ::1] out = result
    cdef double* scratch = <double*>malloc(2 * n * sizeof(double))
    if scratch == NULL:
        raise MemoryError
    with nogil:
        exact_matmul(&a_[0, 0], &b_[0, 0], m, k, n, k, n, &out[0, 0], n, scratch)
        free(scratch)
    return result


def exact_dot_wide(a, b):
    """The same with every output from the wide accumulator: slow, no certificate."""
    cdef const double[:, ::1] a_ = numpy.ascontiguousarray(a, dtype=numpy.float64)
    cdef const double[:, ::1] b_ = numpy.ascontiguousarray(b, dtype=numpy.float64)
    cdef Py_ssize_t m = a_.shape[0], k = a_.shape[1], n = b_.shape[1], i, j
    if b_.shape[0] != k:
        raise ValueError(f"cannot multiply [{m}, {k}] by [{b_.shape[0]}, {n}]")
    result = numpy.zeros((m, n), dtype=numpy.float32)
    if m == 0 or k == 0 or n == 0:
        return result
    cdef float[:, ::1] out = result
    with nogil:
        for i in range(m):
            for j in range(n):
                out[i, j] = exact_dot_strided(&a_[i, 0], 1, &b_[0, j], n, k)
    return result


def largest_exact_k(int fmt_a, int fmt_b):
    """exact_k for Python: how many products float64 can sum exactly in any order."""
    return exact_k(fmt_a, fmt_b)


def random_word(uint64_t seed, uint64_t index):
    """The 64 random bits of (seed, index)."""
    return presil_random(seed, index)


def add_saturating(int32_t[::1] acc, const int32_t[::1] x):
    """acc = clamp(acc + x), in place."""
    if acc.shape[0] != x.shape[0]:
        raise ValueError("the arrays differ in length")
    if acc.shape[0]:
        with nogil:
            sat_add_i32(&acc[0], &x[0], acc.shape[0])
