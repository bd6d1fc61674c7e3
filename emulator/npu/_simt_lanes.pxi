# What SIMT instructions compute: 32 lanes at a time, a loop around each body. Part of _engine.pyx.
#
# Every result goes to a buffer of its own, so that the compiler may vectorise; the caller puts the
# lanes of the mask into the register.

cdef extern from *:
    """
/* One rounding, whatever the machine: fmaf is exact by definition, haswell has it as an instruction. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
__attribute__((target_clones("arch=haswell", "default")))
#endif
static void presil_fma32(const float *a, const float *b, const float *c, float *out) {
    for (int i = 0; i < 32; i++) out[i] = __builtin_fmaf(a[i], b[i], c[i]);
}

/* Lanes in which a comparison holds, a bit each: their powers of two, added up. */
static const uint32_t presil_bit[32] = {
    1u, 1u << 1, 1u << 2, 1u << 3, 1u << 4, 1u << 5, 1u << 6, 1u << 7, 1u << 8, 1u << 9, 1u << 10,
    1u << 11, 1u << 12, 1u << 13, 1u << 14, 1u << 15, 1u << 16, 1u << 17, 1u << 18, 1u << 19,
    1u << 20, 1u << 21, 1u << 22, 1u << 23, 1u << 24, 1u << 25, 1u << 26, 1u << 27, 1u << 28,
    1u << 29, 1u << 30, 1u << 31};
#define PRESIL_COMPARE(name, type, holds) \
    static uint32_t presil_##name(const type *a, const type *b) { \
        uint32_t bits = 0; \
        for (int i = 0; i < 32; i++) bits |= -(uint32_t)(holds) & presil_bit[i]; \
        return bits; \
    }
PRESIL_COMPARE(less_f32, float, a[i] < b[i])
PRESIL_COMPARE(equal_f32, float, a[i] == b[i])
PRESIL_COMPARE(ordered_f32, float, (a[i] == a[i]) & (b[i] == b[i]))
PRESIL_COMPARE(less_i32, int32_t, a[i] < b[i])
PRESIL_COMPARE(less_u32, uint32_t, a[i] < b[i])
PRESIL_COMPARE(equal_u32, uint32_t, a[i] == b[i])
    """
    void presil_fma32(const float* a, const float* b, const float* c, float* out) noexcept nogil
    uint32_t presil_less_f32(const float* a, const float* b) noexcept nogil
    uint32_t presil_equal_f32(const float* a, const float* b) noexcept nogil
    uint32_t presil_ordered_f32(const float* a, const float* b) noexcept nogil
    uint32_t presil_less_i32(const int32_t* a, const int32_t* b) noexcept nogil
    uint32_t presil_less_u32(const uint32_t* a, const uint32_t* b) noexcept nogil
    uint32_t presil_equal_u32(const uint32_t* a, const uint32_t* b) noexcept nogil

cdef enum:
    CANONICAL = 0x7fc00000


cdef inline void one_nan(uint32_t* bits, const float* x) noexcept nogil:
    """Every NaN becomes the canonical one; both are the same lanes."""
    cdef int i
    for i in range(LANES):
        bits[i] = bits[i] if x[i] == x[i] else <uint32_t> CANONICAL


cdef inline void float_pair(int code, const float* a, const float* b, float* out) noexcept nogil:
    cdef int i
    if code == OP_TADD:
        for i in range(LANES):
            out[i] = a[i] + b[i]
    elif code == OP_TSUB:
        for i in range(LANES):
            out[i] = a[i] - b[i]
    elif code == OP_TMUL:
        for i in range(LANES):
            out[i] = a[i] * b[i]
    elif code == OP_TDIV:
        for i in range(LANES):
            out[i] = a[i] / b[i]
    elif code == OP_TMIN:
        for i in range(LANES):
            out[i] = smaller(a[i], b[i])
    else:
        for i in range(LANES):
            out[i] = larger(a[i], b[i])
    one_nan(<uint32_t*> out, out)


cdef inline int32_t quotient(int32_t a, int32_t b) noexcept nogil:
    if b == 0:
        return -1
    return <int32_t> (-<uint32_t> a) if b == -1 else a // b     # cdivision: toward zero


cdef inline int32_t rest(int32_t a, int32_t b) noexcept nogil:
    if b == 0:
        return a
    return 0 if b == -1 else a % b                              # cdivision: the sign of a


cdef void signed_pair(int code, const int32_t* a, const int32_t* b, int32_t* out) noexcept nogil:
    """What differs between int32 and uint32; the rest is in bits_pair."""
    cdef int i
    if code == OP_TMULHI:
        for i in range(LANES):
            out[i] = <int32_t> ((<int64_t> a[i] * b[i]) >> 32)
    elif code == OP_TDIV:
        for i in range(LANES):
            out[i] = quotient(a[i], b[i])
    elif code == OP_TREM:
        for i in range(LANES):
            out[i] = rest(a[i], b[i])
    elif code == OP_TMIN:
        for i in range(LANES):
            out[i] = a[i] if a[i] < b[i] else b[i]
    elif code == OP_TMAX:
        for i in range(LANES):
            out[i] = a[i] if a[i] > b[i] else b[i]
    else:
        for i in range(LANES):
            out[i] = a[i] >> (<uint32_t> b[i] if <uint32_t> b[i] < 31 else 31)


cdef void unsigned_pair(int code, const uint32_t* a, const uint32_t* b, uint32_t* out) noexcept nogil:
    cdef int i
    if code == OP_TMULHI:
        for i in range(LANES):
            out[i] = <uint32_t> ((<uint64_t> a[i] * b[i]) >> 32)
    elif code == OP_TDIV:
        for i in range(LANES):
            out[i] = a[i] // b[i] if b[i] else 0xffffffffu
    elif code == OP_TREM:
        for i in range(LANES):
            out[i] = a[i] % b[i] if b[i] else a[i]
    elif code == OP_TMIN:
        for i in range(LANES):
            out[i] = a[i] if a[i] < b[i] else b[i]
    elif code == OP_TMAX:
        for i in range(LANES):
            out[i] = a[i] if a[i] > b[i] else b[i]
    else:
        for i in range(LANES):
            out[i] = a[i] >> b[i] if b[i] < 32 else 0


cdef inline bint bits_pair(int code, const uint32_t* a, const uint32_t* b, uint32_t* out) noexcept nogil:
    """Integer operations that do not see the sign; False: it is none of them."""
    cdef int i
    if code == OP_TADD:
        for i in range(LANES):
            out[i] = a[i] + b[i]
    elif code == OP_TSUB:
        for i in range(LANES):
            out[i] = a[i] - b[i]
    elif code == OP_TMUL:
        for i in range(LANES):
            out[i] = a[i] * b[i]
    elif code == OP_TAND:
        for i in range(LANES):
            out[i] = a[i] & b[i]
    elif code == OP_TOR:
        for i in range(LANES):
            out[i] = a[i] | b[i]
    elif code == OP_TXOR:
        for i in range(LANES):
            out[i] = a[i] ^ b[i]
    elif code == OP_TSHL:
        for i in range(LANES):
            out[i] = a[i] << (b[i] & 31) if b[i] < 32 else 0
    else:
        return False
    return True


cdef void pair(const Uop* o, const uint32_t* a, const uint32_t* b, uint32_t* out) noexcept nogil:
    """TADD to TSHR."""
    if o.type == TYPE_FP32:
        float_pair(o.code, <const float*> a, <const float*> b, <float*> out)
    elif bits_pair(o.code, a, b, out):
        return
    elif o.type == TYPE_INT32:
        signed_pair(o.code, <const int32_t*> a, <const int32_t*> b, <int32_t*> out)
    else:
        unsigned_pair(o.code, a, b, out)


cdef void single(const Uop* o, const uint32_t* a, uint32_t* out) noexcept nogil:
    """TNEG, TABS and the special functions."""
    cdef int i
    cdef const float* x = <const float*> a
    cdef float* y = <float*> out
    if o.type != TYPE_FP32:
        for i in range(LANES):
            out[i] = a[i]
            if o.code == OP_TNEG or (o.type == TYPE_INT32 and <int32_t> a[i] < 0):
                out[i] = -a[i]
        return
    if o.code == OP_TNEG:
        for i in range(LANES):
            out[i] = a[i] ^ 0x80000000u
    elif o.code == OP_TABS:
        for i in range(LANES):
            out[i] = a[i] & 0x7fffffffu
    elif o.code == OP_TEXP:
        vec_exp(x, y, LANES)
    elif o.code == OP_TEXP2:
        vec_exp2(x, y, LANES)
    elif o.code == OP_TLN:
        vec_ln(x, y, LANES)
    elif o.code == OP_TSQRT:
        vec_sqrt(x, y, LANES)
    elif o.code == OP_TRSQRT:
        vec_rsqrt(x, y, LANES)
    elif o.code == OP_TTANH:
        vec_tanh(x, y, LANES)
    else:
        vec_erf(x, y, LANES)
    canonical_nan(y, LANES)


cdef void multiply_add(
    const Uop* o, const uint32_t* a, const uint32_t* b, const uint32_t* c,
    uint32_t* out) noexcept nogil:
    cdef int i
    if o.type == TYPE_FP32:
        presil_fma32(<const float*> a, <const float*> b, <const float*> c, <float*> out)
        canonical_nan(<float*> out, LANES)
        return
    for i in range(LANES):
        out[i] = a[i] * b[i] + c[i]


cdef uint32_t compare_lanes(const Uop* o, const uint32_t* a, const uint32_t* b) noexcept nogil:
    """A bit per lane in which `a cond b` holds."""
    cdef uint32_t less, equal, ordered_ = 0xffffffffu
    cdef const float* x = <const float*> a
    cdef const float* y = <const float*> b
    if o.type == TYPE_FP32:
        less, equal = presil_less_f32(x, y), presil_equal_f32(x, y)
        ordered_ = presil_ordered_f32(x, y)
    else:
        equal = presil_equal_u32(a, b)
        less = (presil_less_i32(<const int32_t*> a, <const int32_t*> b) if o.type == TYPE_INT32
                else presil_less_u32(a, b))
    if o.cond == COND_EQ: return equal
    elif o.cond == COND_NE: return ~equal
    elif o.cond == COND_LT: return less
    elif o.cond == COND_LE: return less | equal
    elif o.cond == COND_GT: return ordered_ & ~(less | equal)
    return ordered_ & ~less


cdef void cast_lanes(const Uop* o, const uint32_t* a, uint32_t* out) noexcept nogil:
    """TCVT: through double, which holds every value of the types, and rounded once."""
    cdef double[LANES] x
    cdef uint16_t[LANES] half
    cdef double low, high, v
    cdef int i, f = register_format(o.type)
    if o.type == TYPE_UINT32:
        for i in range(LANES):
            x[i] = a[i]
    elif o.type == TYPE_FP16 or o.type == TYPE_BF16:
        for i in range(LANES):
            half[i] = <uint16_t> a[i]
        decode_to_f64(f, half, x, LANES)
    else:
        decode_to_f64(f, a, x, LANES)
    if o.to == TYPE_INT32 or o.to == TYPE_UINT32:
        low = -2147483648.0 if o.to == TYPE_INT32 else 0
        high = 2147483647.0 if o.to == TYPE_INT32 else 4294967295.0
        for i in range(LANES):
            v = x[i] if x[i] == x[i] else 0
            v = trunc(low if v < low else high if v > high else v)
            out[i] = <uint32_t> <int64_t> v
    elif o.to == TYPE_FP32:
        encode_from_f64_rounded(FP32, x, out, LANES, False, 0, 0, 0)
    else:
        encode_from_f64_rounded(register_format(o.to), x, half, LANES, False, 0, 0, 0)
        for i in range(LANES):
            out[i] = half[i]


# ---- across lanes --------------------------------------------------------------------------------

cdef void shuffle_lanes(
    const Uop* o, const uint32_t* a, const uint32_t* b, uint32_t mask, uint32_t* out) noexcept nogil:
    cdef int i
    cdef int64_t from_
    for i in range(LANES):
        if o.mode == SHFL_IDX: from_ = b[i]
        elif o.mode == SHFL_UP: from_ = i - <int64_t> b[i]
        elif o.mode == SHFL_DOWN: from_ = i + <int64_t> b[i]
        else: from_ = b[i] ^ <uint32_t> i
        out[i] = a[from_ if 0 <= from_ < LANES and mask >> from_ & 1 else i]


cdef uint32_t vote(const Uop* o, uint32_t yes, uint32_t mask) noexcept nogil:
    if o.mode == VOTE_BALLOT:
        return yes & mask
    elif o.mode == VOTE_ANY:
        return (yes & mask) != 0
    return (yes & mask) == mask


cdef uint32_t reduce_warp(const Uop* o, const uint32_t* a, uint32_t mask) noexcept nogil:
    """TRED: a tree over neighbours; other lanes hold the operation's identity."""
    cdef uint32_t[LANES] x
    cdef float* y = <float*> x
    cdef uint32_t none
    cdef int i, n = LANES // 2
    if o.type == TYPE_FP32:
        none = 0 if o.op == RED_SUM else 0xff800000u if o.op == RED_MAX else 0x7f800000u
    elif o.type == TYPE_INT32:
        none = 0 if o.op == RED_SUM else 0x80000000u if o.op == RED_MAX else 0x7fffffffu
    else:
        none = 0xffffffffu if o.op == RED_MIN else 0
    for i in range(LANES):
        x[i] = a[i] if mask >> i & 1 else none
    while n:
        for i in range(n):
            if o.type == TYPE_FP32:
                if o.op == RED_SUM: y[i] = y[2 * i] + y[2 * i + 1]
                elif o.op == RED_MAX: y[i] = larger(y[2 * i], y[2 * i + 1])
                else: y[i] = smaller(y[2 * i], y[2 * i + 1])
            elif o.op == RED_SUM: x[i] = x[2 * i] + x[2 * i + 1]
            else: x[i] = chosen(o.type, o.op == RED_MAX, x[2 * i], x[2 * i + 1])
        n //= 2
    if o.type == TYPE_FP32:
        canonical_nan(y, 1)
    return x[0]


cdef inline uint32_t chosen(int type_, bint most, uint32_t a, uint32_t b) noexcept nogil:
    """The larger or the smaller of two integers."""
    cdef bint less = <int32_t> a < <int32_t> b if type_ == TYPE_INT32 else a < b
    return b if less == most else a


cdef uint32_t atomic_result(const Uop* o, uint32_t old, uint32_t b, uint32_t c) noexcept nogil:
    """What an atomic leaves in memory."""
    cdef float x, y
    if o.op == ATOM_AND: return old & b
    elif o.op == ATOM_OR: return old | b
    elif o.op == ATOM_XOR: return old ^ b
    elif o.op == ATOM_EXCH: return b
    elif o.op == ATOM_CAS: return c if old == b else old
    if o.type != TYPE_FP32:
        return old + b if o.op == ATOM_ADD else chosen(o.type, o.op == ATOM_MAX, old, b)
    memcpy(&x, &old, 4)
    memcpy(&y, &b, 4)
    if o.op == ATOM_ADD: x = x + y
    elif o.op == ATOM_MIN: x = smaller(x, y)
    else: x = larger(x, y)
    canonical_nan(&x, 1)
    memcpy(&old, &x, 4)
    return old
