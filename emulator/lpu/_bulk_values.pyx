"""What bursts compute: the lane functions of the step engine, on rows of vectors.

Vectors of a burst are the rows of a 2-D array of bytes, [n, lanes * bytes of an element]; rows may
lie at any distance, also 0 where one vector is read again and again.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from emulator.numerics._core cimport (
    NEAREST_EVEN, canonical_nan, decode_to_f32, decode_to_f64, encode_from_f32,
    encode_from_f64_rounded, exact_k, f64_to_f32, sat_add_i32, vec_exp2, vec_rsqrt, vec_tanh,
)

import numpy as np

from emulator.numerics.formats import get_format
from isa.lpu import TYPES
from isa.table import BYTES_OF

include "../numerics/_compiler.pxi"
include "_opcodes.pxi"
include "_lanes.pxi"
include "_vxm_lanes.pxi"

cdef extern from *:
    """
    /* One byte plane of wide elements to or from another. */
    PRESIL_CLONES static void move_plane(uint8_t *restrict out, int out_width,
                                         const uint8_t *restrict in, int in_width, int n) {
        if (out_width == 1 && in_width == 4) for (int i = 0; i < n; i++) out[i] = in[4 * i];
        else if (out_width == 1 && in_width == 2) for (int i = 0; i < n; i++) out[i] = in[2 * i];
        else for (int i = 0; i < n; i++) out[i * out_width] = in[i * in_width];
    }
    PRESIL_CLONES static int row_finite(const double *x, int n) {
        double sum = 0;
        for (int i = 0; i < n; i++) sum += x[i] * 0;
        return sum == 0;
    }
    PRESIL_CLONES static void whole_numbers(int32_t *restrict out, const float *restrict x, int n) {
        for (int i = 0; i < n; i++) out[i] = (int32_t)x[i];
    }
    PRESIL_CLONES static void decode_i8(float *restrict out, const int8_t *restrict x, int n) {
        for (int i = 0; i < n; i++) out[i] = (float)x[i];
    }
    """
    void move_plane(uint8_t*, int, const uint8_t*, int, int) noexcept nogil
    int row_finite(const double*, int) noexcept nogil
    void whole_numbers(int32_t*, const float*, int) noexcept nogil
    void decode_i8(float*, const int8_t*, int) noexcept nogil


# The rows of an operand.
cdef struct Rows:
    const uint8_t* data
    int64_t stride


cdef Rows rows_of(const uint8_t[:, :] x) noexcept nogil:
    return Rows(&x[0, 0], x.strides[0])


cdef inline const uint8_t* row_at(Rows r, int64_t i) noexcept nogil:
    return r.data + i * r.stride


def move(uint8_t[:, :] out, int part, int width, const uint8_t[:, :] x, int source, int in_width):
    """Byte `source` of every element of x (of `in_width` bytes) becomes byte `part` of out's."""
    cdef int lanes = <int> (out.shape[1] // width)
    cdef int64_t i
    with nogil:
        for i in range(out.shape[0]):
            if width == 1 and in_width == 1:
                memcpy(&out[i, 0], &x[i, 0], lanes)
            else:
                move_plane(&out[i, part], width, &x[i, source], in_width, lanes)


def join(uint8_t[:, ::1] out, parts):
    """Elements of 2 or 4 bytes from byte planes, low byte first."""
    cdef Rows p[4]
    cdef int k, width = len(parts), lanes = <int> (out.shape[1] // width)
    cdef int64_t i
    for k in range(width):
        p[k] = rows_of(parts[k])
    with nogil:
        for i in range(out.shape[0]):
            if width == 4:
                join_4(<uint32_t*> &out[i, 0], row_at(p[0], i), row_at(p[1], i), row_at(p[2], i),
                       row_at(p[3], i), lanes)
            else:
                join_2(<uint16_t*> &out[i, 0], row_at(p[0], i), row_at(p[1], i), lanes)


# ---- vector unit ---------------------------------------------------------------------------------


def vxm(int code, int type_, int to, bint sat, int64_t value, int64_t by, int64_t stride,
        a, b, c, uint8_t[:, ::1] out, int lanes):
    """One instruction on rows. a, b, c: bytes of operands, None = the immediate, which is `value`
    and `by` + i * `stride` for row i; out: [n, bytes]."""
    cdef Rows x = Rows(NULL, 0)
    cdef Rows y = Rows(NULL, 0)
    cdef Rows mask = Rows(NULL, 0)
    cdef int fp = type_ == TYPE_FP32
    cdef int64_t i
    cdef uint32_t* imm = <uint32_t*> malloc(4 * lanes)
    cdef double* wide = <double*> malloc(8 * lanes)
    cdef float* row = <float*> malloc(4 * lanes)
    cdef const uint8_t* p
    cdef const uint8_t* q
    cdef uint8_t* o
    if imm == NULL or wide == NULL or row == NULL:
        raise MemoryError
    if a is not None:
        x = rows_of(a)
    if b is not None:
        y = rows_of(b)
    if c is not None:
        mask = rows_of(c)
    with nogil:
        for i in range(out.shape[0]):
            if x.data == NULL or y.data == NULL or mask.data == NULL:
                lanes_fill(imm, immediate(type_, value, by + i * stride), lanes)
            p = <const uint8_t*> imm if x.data == NULL else row_at(x, i)
            q = <const uint8_t*> imm if y.data == NULL else row_at(y, i)
            o = &out[i, 0]
            if OP_ADD <= code <= OP_MIN:
                vxm_binary(code, fp, <uint32_t*> o, <const uint32_t*> p, <const uint32_t*> q, lanes)
            elif OP_LT <= code <= OP_NE:
                vxm_test(code, fp, o, <const uint32_t*> p, <const uint32_t*> q, lanes)
            elif code == OP_SELECT:
                lanes_select(<uint32_t*> o, <const uint8_t*> imm if mask.data == NULL
                             else row_at(mask, i), <const uint32_t*> p, <const uint32_t*> q, lanes)
            elif code == OP_CAST:
                cast_lanes(type_, to, sat, o, p, wide, row, lanes)
            else:
                vxm_unary(code, fp, <uint32_t*> o, <const uint32_t*> p, lanes)
    free(imm)
    free(wide)
    free(row)


def running(int code, int type_, bint start, int64_t value, int64_t by, int64_t stride, a,
            int64_t n, uint32_t[::1] acc, uint32_t[:, ::1] out):
    """runmax or runsum of n rows into `acc` [lanes]; out: the value after each, None = not wanted."""
    cdef int lanes = <int> acc.shape[0], fp = type_ == TYPE_FP32
    cdef Rows x = Rows(NULL, 0)
    cdef int64_t i
    cdef uint32_t* imm = <uint32_t*> malloc(8 * lanes)
    cdef uint32_t* before = imm + lanes
    cdef const uint32_t* p
    if imm == NULL:
        raise MemoryError
    if a is not None:
        x = rows_of(a)
    with nogil:
        for i in range(n):
            if x.data == NULL:
                lanes_fill(imm, immediate(type_, value, by + i * stride), lanes)
            p = imm if x.data == NULL else <const uint32_t*> row_at(x, i)
            if start:
                memcpy(&acc[0], p, 4 * lanes)
                if fp:
                    canonical_nan(<float*> &acc[0], lanes)
            else:
                memcpy(before, &acc[0], 4 * lanes)
                if code == OP_RUNMAX:
                    vxm_binary(OP_MAX, fp, &acc[0], before, p, lanes)
                else:
                    lanes_sum(fp, &acc[0], before, p, lanes)
            if out is not None:
                memcpy(&out[i, 0], &acc[0], 4 * lanes)
    free(imm)


# ---- lanes that move -----------------------------------------------------------------------------


def sxm(int code, int64_t amount, int64_t stride, bint wrap, int block, const uint16_t[::1] map_,
        const int8_t[::1] entries, const uint8_t[:, :] a, const uint8_t[:, :] b,
        const uint8_t[:, :] c, uint8_t[:, ::1] out):
    """One byte plane of an SXM instruction; row i moves by amount + i * stride."""
    cdef int lanes = <int> out.shape[1], by
    cdef int64_t i
    with nogil:
        for i in range(out.shape[0]):
            by = <int> (amount + i * stride)
            if code == OP_SHIFT:
                shift_lanes(&out[i, 0], &a[i, 0], by, wrap, lanes)
            elif code == OP_ROTATE:
                rotate_lanes(&out[i, 0], &a[i, 0], by, block, lanes)
            elif code == OP_BROADCAST:
                memset(&out[i, 0], a[i, by], lanes)
            elif code == OP_CHOOSE:
                choose_lanes(&out[i, 0], &c[i, 0], &a[i, 0], &b[i, 0], lanes)
            elif code == OP_PERMUTE:
                gather_lanes(&out[i, 0], &a[i, 0], &map_[0], lanes)
            elif code == OP_DISTRIBUTE:
                distribute_lanes(&out[i, 0], &a[i, 0], &entries[0], block, lanes)


# ---- matrix unit ---------------------------------------------------------------------------------


def gather(uint8_t[:, ::1] codes, int width, const uint8_t[:, ::1] sram, const int64_t[:, ::1] table):
    """Weights from SRAM. A row of `table`: the first row of codes and the distance of the next, the
    byte of their elements, the first word and the distance of the next, how many."""
    cdef int lanes = <int> (codes.shape[1] // width)
    cdef int64_t i, k
    with nogil:
        for k in range(table.shape[0]):
            for i in range(table[k, 5]):
                if width == 1:
                    memcpy(&codes[table[k, 0] + i * table[k, 1], 0],
                           &sram[table[k, 3] + i * table[k, 4], 0], lanes)
                else:
                    move_plane(&codes[table[k, 0] + i * table[k, 1], table[k, 2]], width,
                               &sram[table[k, 3] + i * table[k, 4], 0], 1, lanes)


def decode(int type_, const uint8_t[:, :] codes, double[:, ::1] out):
    """Elements of a matrix type (scales apart) as float64; rows of out may be shorter."""
    cdef int64_t i
    with nogil:
        for i in range(out.shape[0]):
            decode_to_f64(TYPE_FORMAT[type_], &codes[i, 0], &out[i, 0], out.shape[1])


def decode_scales(const uint8_t[:, :] codes, double[:, ::1] out):
    """e8m0 codes as float64."""
    cdef int64_t i
    with nogil:
        for i in range(out.shape[0]):
            decode_to_f64(FMT_SCALE, &codes[i, 0], &out[i, 0], out.shape[1])


def decode_int8(const uint8_t[:, :] codes, float[:, ::1] out):
    cdef int64_t i
    with nogil:
        for i in range(out.shape[0]):
            decode_i8(&out[i, 0], <const int8_t*> &codes[i, 0], <int> out.shape[1])


def sums_are_exact(int type_, int64_t k):
    """Whether float64 sums of k products of this type are exact in any order."""
    return type_ != TYPE_MXFP8 and type_ != TYPE_MXFP4 and k <= exact_k(
        TYPE_FORMAT[type_], TYPE_FORMAT[type_])


def finite(const double[:, ::1] x):
    """Whether no element is infinite or NaN."""
    cdef int64_t i
    cdef int good = 1
    with nogil:
        for i in range(x.shape[0]):
            good &= row_finite(&x[i, 0], <int> x.shape[1])
    return bool(good)


def add_integers(const float[:, ::1] sums, int32_t[:, ::1] acc, int64_t row, int64_t stride,
                 bint start, int32_t[:, ::1] out):
    """Exact integer sums of a pass start or are added to accumulator rows, saturating; lanes beyond
    the sums get 0. out: the rows afterwards, None = not wanted."""
    cdef int n = <int> sums.shape[1], lanes = <int> acc.shape[1]
    cdef int64_t i
    cdef int32_t* to
    cdef int32_t* one = <int32_t*> malloc(4 * lanes)
    if one == NULL:
        raise MemoryError
    with nogil:
        for i in range(sums.shape[0]):
            to = &acc[row + i * stride, 0]
            if start:
                whole_numbers(to, &sums[i, 0], n)
                memset(to + n, 0, 4 * (lanes - n))
            else:
                whole_numbers(one, &sums[i, 0], n)
                sat_add_i32(to, one, n)
            if out is not None:
                memcpy(&out[i, 0], to, 4 * lanes)
    free(one)


def add_floats(const float[:, ::1] sums, float[:, ::1] acc, int64_t row, int64_t stride,
               bint start, float[:, ::1] out):
    """The same in float32: one rounding, canonical NaNs. Lanes beyond the sums add +0."""
    cdef int n = <int> sums.shape[1], lanes = <int> acc.shape[1]
    cdef int64_t i
    cdef float* to
    cdef float* one = <float*> malloc(8 * lanes)
    cdef float* before = one + lanes
    if one == NULL:
        raise MemoryError
    memset(one, 0, 4 * lanes)
    with nogil:
        for i in range(sums.shape[0]):
            to = &acc[row + i * stride, 0]
            if start:
                memcpy(to, &sums[i, 0], 4 * n)
                memset(to + n, 0, 4 * (lanes - n))
            else:
                memcpy(one, &sums[i, 0], 4 * n)
                memcpy(before, to, 4 * lanes)
                lanes_sum(1, <uint32_t*> to, <const uint32_t*> before, <const uint32_t*> one, lanes)
            if out is not None:
                memcpy(&out[i, 0], to, 4 * lanes)
    free(one)


def round_sums(const double[:, ::1] x, float[:, ::1] out):
    """Exact float64 sums rounded to float32, a zero sum as +0, NaNs canonical."""
    cdef int64_t i
    cdef int k, n = <int> x.shape[1]
    cdef double* row = <double*> malloc(8 * n + 8)
    if row == NULL:
        raise MemoryError
    with nogil:
        for i in range(x.shape[0]):
            for k in range(n):
                row[k] = x[i, k] + 0.0
            f64_to_f32(row, &out[i, 0], n)
            canonical_nan(&out[i, 0], n)
    free(row)
