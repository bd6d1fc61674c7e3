# Scalar instructions: what they compute. Part of _engine.pyx.

cdef inline int64_t value_of(const int64_t* x, int64_t payload, int32_t kind) noexcept nogil:
    """A `ValueField`: a scalar register or a number."""
    return x[payload] if kind == 0 else payload


cdef inline bint holds(int cond, int64_t a, int64_t b) noexcept nogil:
    if cond == COND_EQ:
        return a == b
    elif cond == COND_NE:
        return a != b
    elif cond == COND_LT:
        return a < b
    elif cond == COND_LE:
        return a <= b
    elif cond == COND_GT:
        return a > b
    elif cond == COND_GE:
        return a >= b
    elif cond == COND_LTU:
        return <uint64_t> a < <uint64_t> b
    return <uint64_t> a >= <uint64_t> b


cdef int64_t divide(int64_t a, int64_t b) noexcept nogil:
    if b == 0:
        return -1
    return -<uint64_t> a if b == -1 else a // b   # cdivision: toward zero


cdef int64_t remainder(int64_t a, int64_t b) noexcept nogil:
    if b == 0:
        return a
    return 0 if b == -1 else a % b                # cdivision: the sign of a


cdef bint is_alu(int code) noexcept nogil:
    return OP_MOV <= code <= OP_CMP


cdef void alu(const Op* o, int64_t* x) noexcept nogil:
    """Arithmetic on scalar registers; unsigned where it wraps, since C leaves signed overflow open."""
    cdef int64_t a, b, d = 0
    cdef int code = o.code
    if code == OP_MOV:
        d = value_of(x, o.a, o.a_kind)
        if o.dst:
            x[o.dst] = d
        return
    a, b = x[o.a], value_of(x, o.b, o.b_kind)
    if code == OP_ADD:
        d = <int64_t> (<uint64_t> a + <uint64_t> b)
    elif code == OP_SUB:
        d = <int64_t> (<uint64_t> a - <uint64_t> b)
    elif code == OP_MUL:
        d = <int64_t> (<uint64_t> a * <uint64_t> b)
    elif code == OP_DIV:
        d = divide(a, b)
    elif code == OP_REM:
        d = remainder(a, b)
    elif code == OP_AND:
        d = a & b
    elif code == OP_OR:
        d = a | b
    elif code == OP_XOR:
        d = a ^ b
    elif code == OP_SHL:
        d = <int64_t> (<uint64_t> a << (b & 63))
    elif code == OP_SHR:
        d = <int64_t> (<uint64_t> a >> (b & 63))
    elif code == OP_SAR:
        d = a >> (b & 63)
    elif code == OP_MIN:
        d = min(a, b)
    elif code == OP_MAX:
        d = max(a, b)
    elif code == OP_CMP:
        d = holds(o.cond, a, b)
    if o.dst:
        x[o.dst] = d


cdef int64_t load_scalar(const uint8_t* p, int width) noexcept nogil:
    """The `ld` widths in the table's order: u8 u16 u32 s8 s16 s32 b64."""
    cdef uint64_t bits = 0
    if p == NULL:
        return 0
    memcpy(&bits, p, scalar_bytes(width))
    if width == 3:
        return <int8_t> bits
    elif width == 4:
        return <int16_t> bits
    elif width == 5:
        return <int32_t> bits
    return <int64_t> bits


cdef inline int scalar_bytes(int width) noexcept nogil:
    return 8 if width == 6 else 1 << (width % 3)


cdef int64_t special(Machine* m, const Sub* s, int which) noexcept nogil:
    if which == SR_BLOCK:
        return s.block
    elif which == SR_BLOCKS:
        return m.blocks
    elif which == SR_SUB:
        return s.number
    elif which == SR_CORE:
        return s.core
    return m.now
