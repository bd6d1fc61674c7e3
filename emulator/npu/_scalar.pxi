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


cdef Step step_of(const Op* o) noexcept nogil:
    """A word as a step of the scalar unit; `code` is 0 where it is none."""
    cdef Step t
    cdef bint move = o.code == OP_MOV
    memset(&t, 0, sizeof(Step))
    if not OP_MOV <= o.code <= OP_RET:
        return t
    t.code, t.latency, t.target, t.cond = o.code, o.latency, o.target, <uint8_t> o.cond
    t.number = o.a if move else o.b
    t.fixed = (o.a_kind if move else o.b_kind) != 0
    t.b = 0 if t.fixed else <uint8_t> t.number
    t.a = 0 if move else <uint8_t> o.a
    t.dst = <uint8_t> o.dst if o.dst else NOWHERE
    return t


cdef inline int64_t second(const Step* t, const int64_t* x) noexcept nogil:
    return t.number if t.fixed else x[t.b]


cdef inline void alu(const Step* t, int64_t* x) noexcept nogil:
    """Arithmetic on scalar registers; unsigned where it wraps, since C leaves signed overflow open."""
    cdef int64_t a = x[t.a], b = second(t, x), d = 0
    cdef int code = t.code
    if code == OP_MOV:
        d = b
    elif code == OP_ADD:
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
        d = holds(t.cond, a, b)
    x[t.dst] = d


cdef inline int32_t branch(const Step* t, int64_t* x, int32_t pc) noexcept nogil:
    """Where BR, JUMP, CALL and RET lead."""
    if t.code == OP_BR:
        return t.target if holds(t.cond, x[t.a], second(t, x)) else pc + 1
    elif t.code == OP_RET:
        return <int32_t> x[t.a]
    elif t.code == OP_CALL:
        x[t.dst] = pc + 1
    return t.target


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
