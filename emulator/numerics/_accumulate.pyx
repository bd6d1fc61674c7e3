"""Loops of the accumulation models that round step by step. The models: accumulate.py.

Operands are float64 values whose products are exact in float64; outputs float32. As everywhere,
compiled without contraction or reassociation.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from emulator.numerics._core cimport canonical_nan

import numpy

include "_compiler.pxi"

cdef extern from *:
    """
/* acc[n] += float32(x * row[n]), in float32. */
PRESIL_CLONES static void presil_fp32_step(const double *row, double x, float *acc, ptrdiff_t n) {
    PRESIL_LANES
    for (ptrdiff_t i = 0; i < n; i++) acc[i] += (float)(x * row[i]);
}

PRESIL_CLONES static void presil_fp32_products(
    const double *row, double x, float *out, ptrdiff_t n) {
    PRESIL_LANES
    for (ptrdiff_t i = 0; i < n; i++) out[i] = (float)(x * row[i]);
}

PRESIL_CLONES static void presil_fp32_add(float *to, const float *from, ptrdiff_t n) {
    PRESIL_LANES
    for (ptrdiff_t i = 0; i < n; i++) to[i] += from[i];
}

/* Exponent of a nonzero finite double (of its leading bit); very small for 0. */
PRESIL_INLINE int presil_exponent(double x) {
    uint64_t u;
    memcpy(&u, &x, 8);
    u = u << 1 >> 53;
    return u ? (int)u - 1023 : -100000;
}

PRESIL_INLINE double presil_two_to(int e) {
    uint64_t u = (uint64_t)(e + 1023) << 52;
    double x;
    memcpy(&x, &u, 8);
    return x;
}

/* x * 2^e, in two steps as 2^e may leave the range of a double. */
PRESIL_INLINE double presil_scale(double x, int e) {
    return x * presil_two_to(e / 2) * presil_two_to(e - e / 2);
}

/* sum * 2^unit with `bits` significant bits after the leading one, float32's exponent range; toward
   zero, or to nearest even. |sum| < 2^62. */
static float presil_narrow_sum(int64_t sum, int unit, int bits, int nearest) {
    if (sum == 0) return 0.0f;
    uint64_t m = sum < 0 ? -(uint64_t)sum : (uint64_t)sum;
    int top = 63;
    while (!(m >> top & 1)) top--;
    int least = top + unit < -126 ? -149 - unit : 0;  /* the last place of a subnormal */
    int drop = top - bits > least ? top - bits : least;
    if (drop > 63) m = 0, drop = 0;
    if (drop > 0) {
        uint64_t rest = m & (((uint64_t)1 << drop) - 1), half = (uint64_t)1 << (drop - 1);
        m >>= drop;
        if (nearest) m += rest > half || (rest == half && (m & 1));
        m <<= drop;
    }
    /* At most 24 significant bits are left: the conversions below are exact or overflow. */
    double v = presil_scale((double)m, unit);
    return (float)(sum < 0 ? -v : v);
}

/* One step of a truncating fused dot product: acc + sum of n products, all cut to `fraction` bits
   below the largest exponent. ea, eb: exponents of a and b. */
static float presil_align_step(
    const double *a, const int *ea, const double *b, const int *eb, ptrdiff_t n, float acc,
    int fraction, int bits, int nearest) {
    int e = presil_exponent((double)acc);
    for (ptrdiff_t k = 0; k < n; k++) {
        int p = ea[k] + eb[k];
        e = p > e ? p : e;
    }
    if (e < -50000) return 0.0f;
    int64_t sum = (int64_t)presil_scale((double)acc, fraction - e);
    for (ptrdiff_t k = 0; k < n; k++) sum += (int64_t)presil_scale(a[k] * b[k], fraction - e);
    return presil_narrow_sum(sum, e - fraction, bits, nearest);
}
    """
    void presil_fp32_step(const double *row, double x, float *acc, Py_ssize_t n) noexcept nogil
    void presil_fp32_products(const double *row, double x, float *out, Py_ssize_t n) noexcept nogil
    void presil_fp32_add(float *to, const float *source, Py_ssize_t n) noexcept nogil
    int presil_exponent(double x) noexcept nogil
    float presil_align_step(
        const double *a, const int *ea, const double *b, const int *eb, Py_ssize_t n, float acc,
        int fraction, int bits, int nearest) noexcept nogil


cdef int _check(const double[:, ::1] a, const double[:, ::1] b, float[:, ::1] acc) except -1:
    if a.shape[1] != b.shape[0] or acc.shape[0] != a.shape[0] or acc.shape[1] != b.shape[1]:
        raise ValueError("the shapes do not belong together")
    return 0


def fp32_seq(const double[:, ::1] a, const double[:, ::1] b, float[:, ::1] acc):
    """acc[m][n] += float32(a[m][k] * b[k][n]) for k = 0, 1, ..., each addition rounded."""
    cdef Py_ssize_t m, k, n = acc.shape[1]
    _check(a, b, acc)
    if n == 0:
        return
    with nogil:
        for m in range(a.shape[0]):
            for k in range(a.shape[1]):
                presil_fp32_step(&b[k, 0], a[m, k], &acc[m, 0], n)
            canonical_nan(&acc[m, 0], n)


def fp32_tree(const double[:, ::1] a, const double[:, ::1] b, float[:, ::1] acc, Py_ssize_t length):
    """acc[m][n] += tree of `length` products, neighbours first, group after group.

    Missing products of a last group are absent: an odd one passes its level unchanged.
    """
    cdef Py_ssize_t m, k, start, count, half, i, n = acc.shape[1]
    _check(a, b, acc)
    if length < 1:
        raise ValueError("a tree needs at least one leaf")
    if n == 0:
        return
    cdef float[:, ::1] level = numpy.empty((min(length, max(a.shape[1], 1)), n), numpy.float32)
    with nogil:
        for m in range(a.shape[0]):
            start = 0
            while start < a.shape[1]:
                count = min(length, a.shape[1] - start)
                for k in range(count):
                    presil_fp32_products(&b[start + k, 0], a[m, start + k], &level[k, 0], n)
                while count > 1:
                    half = count // 2
                    for i in range(half):
                        if i > 0:
                            level[i, :] = level[2 * i, :]
                        presil_fp32_add(&level[i, 0], &level[2 * i + 1, 0], n)
                    if count % 2:
                        level[half, :] = level[count - 1, :]
                    count = half + count % 2
                presil_fp32_add(&acc[m, 0], &level[0, 0], n)
                start += length
            canonical_nan(&acc[m, 0], n)


def trunc_align(
        const double[:, ::1] a, const double[:, ::1] bt, float[:, ::1] acc, Py_ssize_t length,
        int fraction, int bits, bint nearest):
    """Groups of `length` products and the accumulator, aligned and cut; see accumulate.TruncAlign.

    bt: b transposed, [N][K]. Finite operands.
    """
    cdef Py_ssize_t m, n, k, start, count, size = a.shape[1]
    if bt.shape[1] != size or acc.shape[0] != a.shape[0] or acc.shape[1] != bt.shape[0]:
        raise ValueError("the shapes do not belong together")
    if size == 0:
        return
    cdef int* ea = <int*>calloc(size, sizeof(int))
    cdef int* eb = <int*>calloc(max(bt.shape[0] * size, 1), sizeof(int))
    cdef float value
    if ea == NULL or eb == NULL:
        free(ea)
        free(eb)
        raise MemoryError
    with nogil:
        for n in range(bt.shape[0]):
            for k in range(size):
                eb[n * size + k] = presil_exponent(bt[n, k])
        for m in range(a.shape[0]):
            for k in range(size):
                ea[k] = presil_exponent(a[m, k])
            for n in range(bt.shape[0]):
                value = acc[m, n]
                start = 0
                while start < size:
                    count = min(length, size - start)
                    value = presil_align_step(
                        &a[m, start], ea + start, &bt[n, start], eb + n * size + start, count,
                        value, fraction, bits, nearest)
                    start += length
                acc[m, n] = value
        free(ea)
        free(eb)
