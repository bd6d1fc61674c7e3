# The vector unit's arithmetic on n lanes: which loop of _lanes.pxi an opcode means.

cdef int[16] TYPE_BYTES
cdef int[16] TYPE_FORMAT


cdef void vxm_binary(int code, int fp, uint32_t* out, const uint32_t* a, const uint32_t* b, int n) noexcept nogil:
    if code == OP_ADD:
        lanes_add(fp, out, a, b, n)
    elif code == OP_SUB:
        lanes_sub(fp, out, a, b, n)
    elif code == OP_MUL:
        lanes_mul(fp, out, a, b, n)
    elif code == OP_MAX:
        lanes_max(fp, out, a, b, n)
    elif code == OP_MIN:
        lanes_min(fp, out, a, b, n)


cdef void vxm_test(int code, int fp, uint8_t* out, const uint32_t* a, const uint32_t* b, int n) noexcept nogil:
    if code == OP_LT:
        lanes_lt(fp, out, a, b, n)
    elif code == OP_LE:
        lanes_le(fp, out, a, b, n)
    elif code == OP_GT:
        lanes_gt(fp, out, a, b, n)
    elif code == OP_GE:
        lanes_ge(fp, out, a, b, n)
    elif code == OP_EQ:
        lanes_eq(fp, out, a, b, n)
    elif code == OP_NE:
        lanes_ne(fp, out, a, b, n)


cdef void vxm_unary(int code, int fp, uint32_t* out, const uint32_t* a, int n) noexcept nogil:
    if code == OP_NEG:
        lanes_neg(fp, out, a, n)
    elif code == OP_ABS:
        lanes_abs(fp, out, a, n)
    elif code == OP_RELU:
        lanes_relu(fp, out, a, n)
    elif code == OP_MOV:
        memcpy(out, a, 4 * n)
    elif code == OP_EXP2:
        vec_exp2(<const float*> a, <float*> out, n)
    elif code == OP_RSQRT:
        vec_rsqrt(<const float*> a, <float*> out, n)
    elif code == OP_TANH:
        vec_tanh(<const float*> a, <float*> out, n)
    if code == OP_EXP2 or code == OP_RSQRT or code == OP_TANH:
        canonical_nan(<float*> out, n)


cdef uint32_t immediate(int type_, int64_t value, int64_t by) noexcept nogil:
    """The immediate of a repetition, `by` beyond the word's `value`."""
    if type_ == TYPE_FP32:
        return advance_f32(<uint32_t> value, <double> by)
    return <uint32_t> (value + by)


cdef void cast_lanes(int type_, int to, int sat, uint8_t* out, const uint8_t* a, double* x, float* row,
                     int n) noexcept nogil:
    """Through float32, which holds every type but int32; int32 goes through float64: one rounding.
    `x` and `row` are scratch of n."""
    if type_ == TYPE_INT32:
        decode_to_f64(TYPE_FORMAT[TYPE_INT32], a, x, n)
        encode_from_f64_rounded(TYPE_FORMAT[to], x, out, n, sat, NEAREST_EVEN, 0, 0)
        return
    decode_to_f32(TYPE_FORMAT[type_], a, row, n)
    encode_from_f32(TYPE_FORMAT[to], row, out, n, sat)


# The block-scaled types of the matrix unit by the format of their elements.
ELEMENTS = {"mxfp8": "e4m3", "mxfp4": "e2m1"}
cdef int FMT_SCALE = get_format("e8m0").index


def _bind_types():
    for name, code in TYPES.items():
        TYPE_BYTES[code] = BYTES_OF[name]
        TYPE_FORMAT[code] = get_format(ELEMENTS.get(name, name)).index


_bind_types()
