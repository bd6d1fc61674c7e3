"""What bursts compute: the lane functions of the step engine, on rows of vectors.

Vectors of a burst are the rows of a 2-D array of bytes, [n, lanes * bytes of an element]; rows may
lie at any distance, also 0 where one vector is read again and again.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from emulator.numerics._core cimport (
    NEAREST_EVEN, ProductScratch, canonical_nan, code_bytes, decode_to_f32, decode_to_f64,
    encode_from_f32, encode_from_f64_rounded, free_scratch, multiply_rows, vec_exp2, vec_rsqrt,
    vec_tanh,
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
    /* -0 becomes +0. */
    PRESIL_CLONES static void add_nothing(float *x, int n) {
        for (int i = 0; i < n; i++) x[i] += 0.0f;
    }
    """
    void move_plane(uint8_t*, int, const uint8_t*, int, int) noexcept nogil
    void add_nothing(float*, int) noexcept nogil


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

include "_bulk_passes.pxi"


# ---- tensors -------------------------------------------------------------------------------------

include "_bulk_layout.pxi"
