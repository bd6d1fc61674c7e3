# What a word without memory does to a warp's registers. Part of _engine.pyx.
#
# Most registers of most programs are counters and addresses: the same in all lanes, or the same
# amount more in each lane than in the one before. Such a register is *regular* and is kept as its
# first lane and that step; words with regular operands look at no lanes. Others know where their
# lanes are: what a warp loaded in a row from a tensor that nobody writes stays there.

cdef inline bint is_regular(const Warp* w, int reg) noexcept nogil:
    return w.regular[reg >> 6] >> (reg & 63) & 1


cdef inline void unfold(Lanes from_, uint32_t* out) noexcept nogil:
    """Every lane of a regular register."""
    cdef int i
    for i in range(LANES):
        out[i] = from_.first + <uint32_t> i * from_.step


cdef inline void set_regular(Simt* f, int warp, int reg, uint32_t first, uint32_t step) noexcept nogil:
    cdef Lanes* even = &f.file[warp * f.registers + reg].even
    even.first, even.step = first, step
    f.warp[warp].regular[reg >> 6] |= <uint64_t> 1 << (reg & 63)


cdef inline void set_lanes(Simt* f, int warp, int reg, const uint32_t* at) noexcept nogil:
    """The register's lanes are there, and will not change there."""
    f.file[warp * f.registers + reg].at = at
    f.warp[warp].regular[reg >> 6] &= ~(<uint64_t> 1 << (reg & 63))


cdef inline const uint32_t* lanes_of(const Simt* f, int warp, int reg, uint32_t* room) noexcept nogil:
    """A register's lanes, made in `room` where it is regular."""
    if not is_regular(&f.warp[warp], reg):
        return f.file[warp * f.registers + reg].at
    unfold(f.file[warp * f.registers + reg].even, room)
    return room


cdef inline uint32_t* all_lanes(Simt* f, int warp, int reg) noexcept nogil:
    """A register's own place, once all of its lanes have been written there."""
    cdef uint32_t* own = f.r + (warp * f.registers + reg) * LANES
    set_lanes(f, warp, reg, own)
    return own


cdef inline uint32_t* some_lanes(Simt* f, int warp, int reg) noexcept nogil:
    """The same for some of them; the others are as they were."""
    cdef uint32_t* own = f.r + (warp * f.registers + reg) * LANES
    cdef const Register* now = &f.file[warp * f.registers + reg]
    if is_regular(&f.warp[warp], reg):
        unfold(now.even, own)
    elif now.at != own:
        memcpy(own, now.at, LANES * sizeof(uint32_t))
    return all_lanes(f, warp, reg)


cdef inline uint32_t lane_of(const Simt* f, int warp, int reg, int lane) noexcept nogil:
    cdef const Register* now = &f.file[warp * f.registers + reg]
    if is_regular(&f.warp[warp], reg):
        return now.even.first + <uint32_t> lane * now.even.step
    return now.at[lane]


cdef const uint32_t* operand(const Simt* f, int warp, int value, int kind, uint32_t* room) noexcept nogil:
    """32 lanes of a register, an argument or a number."""
    cdef Lanes same
    if kind == 0:
        return lanes_of(f, warp, value, room)
    same.first, same.step = f.u[value] if kind == 1 else <uint32_t> value, 0
    unfold(same, room)
    return room


cdef inline bint regular_operand(const Simt* f, int warp, int value, int kind, Lanes* found) noexcept nogil:
    """The same without looking at lanes; False: it is not regular."""
    if kind == 0:
        found[0] = f.file[warp * f.registers + value].even
        return is_regular(&f.warp[warp], value)
    found.first, found.step = f.u[value] if kind == 1 else <uint32_t> value, 0
    return True


# ---- words on regular operands -------------------------------------------------------------------

cdef inline bint ends(const Lanes* x, int type_, int64_t* first, int64_t* last) noexcept nogil:
    """The integers of the first and the last lane; False: what lies between is not in order."""
    if type_ == TYPE_INT32:
        first[0] = <int32_t> x.first
        last[0] = first[0] + (LANES - 1) * <int64_t> <int32_t> x.step
        return last[0] == <int32_t> last[0]
    first[0] = x.first
    last[0] = first[0] + (LANES - 1) * <int64_t> <int32_t> x.step
    return last[0] == <uint32_t> last[0]


cdef inline bint in_order(int cond, int64_t difference) noexcept nogil:
    if cond == COND_LT: return difference < 0
    elif cond == COND_LE: return difference <= 0
    elif cond == COND_GT: return difference > 0
    return difference >= 0


cdef bint compare_regular(const Uop* o, const Lanes* a, const Lanes* b, uint32_t* bits) noexcept nogil:
    """TCMP of integers where all lanes agree, as the first and the last say; False: look at each."""
    cdef int64_t a_first, a_last, b_first, b_last
    if o.type == TYPE_FP32 or o.cond == COND_EQ or o.cond == COND_NE:
        return False
    if not ends(a, o.type, &a_first, &a_last) or not ends(b, o.type, &b_first, &b_last):
        return False
    bits[0] = 0xffffffffu if in_order(o.cond, a_first - b_first) else 0
    return in_order(o.cond, a_last - b_last) == (bits[0] != 0)


cdef inline bint product(const Lanes* a, const Lanes* b, Lanes* out) noexcept nogil:
    out.first = a.first * b.first
    out.step = a.step * b.first + b.step * a.first
    return not a.step or not b.step


cdef bint regular_word(Machine* m, Sub* s, int warp, const Uop* o) noexcept nogil:
    """What a word of all lanes computes from regular operands, where that is regular; False: lanes
    have to be looked at."""
    cdef Simt* f = s.simt
    cdef Lanes a, b, out
    cdef uint32_t bits
    cdef int code = o.code
    if code == OP_TSR:
        out.step = o.which == TSR_TID or o.which == TSR_LANE
        set_regular(f, warp, o.dst, special_lane(m, s, o, warp, 0), out.step)
        return True
    if code != OP_TMOV and (o.type == TYPE_FP32 or not (
            code == OP_TADD or code == OP_TSUB or code == OP_TMUL or code == OP_TSHL
            or code == OP_TFMA or code == OP_TCMP)):
        return False
    if not regular_operand(f, warp, o.a, o.a_kind, &a):
        return False
    if code != OP_TMOV and not regular_operand(f, warp, o.b, o.b_kind, &b):
        return False
    if code == OP_TADD:
        out.first, out.step = a.first + b.first, a.step + b.step
    elif code == OP_TSUB:
        out.first, out.step = a.first - b.first, a.step - b.step
    elif code == OP_TMOV:
        out = a
    elif code == OP_TCMP:
        if not compare_regular(o, &a, &b, &bits):
            return False
        f.warp[warp].q[o.q_dst] = bits
        return True
    elif code == OP_TSHL:
        if b.step:
            return False
        out.first = a.first << (b.first & 31) if b.first < 32 else 0
        out.step = a.step << (b.first & 31) if b.first < 32 else 0
    else:
        if not product(&a, &b, &out):
            return False
        if code == OP_TFMA:
            if not is_regular(&f.warp[warp], o.c):
                return False
            a = f.file[warp * f.registers + o.c].even
            out.first, out.step = out.first + a.first, out.step + a.step
    set_regular(f, warp, o.dst, out.first, out.step)
    return True


# ---- words ---------------------------------------------------------------------------------------

cdef uint32_t special_lane(Machine* m, Sub* s, const Uop* o, int warp, int lane) noexcept nogil:
    if o.which == TSR_TID: return warp * LANES + lane
    elif o.which == TSR_THREADS: return s.simt.threads
    elif o.which == TSR_LANE: return lane
    elif o.which == TSR_WARP: return warp
    elif o.which == TSR_BLOCK: return s.block
    elif o.which == TSR_BLOCKS: return m.blocks
    elif o.which == TSR_SUB: return s.number
    return <uint32_t> s.simt.time


cdef inline bint same_in_all(const Simt* f, int warp, int value, int kind) noexcept nogil:
    return kind != 0 or (is_regular(&f.warp[warp], value)
                         and not f.file[warp * f.registers + value].even.step)


cdef inline bint result_alike(const Simt* f, int warp, const Uop* o) noexcept nogil:
    """Whether a word gives all lanes the same, because its operands do or by its nature."""
    if o.code == OP_TVOTE or o.code == OP_TRED:
        return True
    if o.code == OP_TSR or o.code == OP_TSEL or o.code == OP_TSHFL:
        return False
    return (same_in_all(f, warp, o.a, o.a_kind)
            and ((o.b < 0 and not o.b_kind) or same_in_all(f, warp, o.b, o.b_kind))
            and (o.c < 0 or same_in_all(f, warp, o.c, 0)))


cdef void word_value(Machine* m, Sub* s, int warp, const Uop* o, uint32_t mask) noexcept nogil:
    """What a word without memory computes."""
    cdef Simt* f = s.simt
    cdef Warp* w = &f.warp[warp]
    cdef uint32_t[LANES] out, room_a, room_b, room_c
    cdef const uint32_t* a = room_a
    cdef const uint32_t* b = room_b
    cdef uint32_t* dst
    cdef uint32_t bits
    cdef int code = o.code, i
    if OP_QAND <= code <= OP_QNOT:
        bits = w.q[o.a]
        if code == OP_QAND: bits = bits & w.q[o.b]
        elif code == OP_QOR: bits = bits | w.q[o.b]
        else: bits = ~bits
        w.q[o.q_dst] = (w.q[o.q_dst] & ~mask) | (bits & mask)
        return
    if mask == 0xffffffffu and regular_word(m, s, warp, o):
        return
    if code != OP_TSR and code != OP_TVOTE:
        a = operand(f, warp, o.a, o.a_kind, room_a)
    if o.b >= 0 or o.b_kind:
        b = operand(f, warp, o.b, o.b_kind, room_b)
    if OP_TADD <= code <= OP_TSHR:
        pair(o, a, b, out)
    elif code == OP_TCMP:
        bits = compare_lanes(o, a, b)
        w.q[o.q_dst] = (w.q[o.q_dst] & ~mask) | (bits & mask)
        return
    elif code == OP_TMOV:
        memcpy(out, a, sizeof(out))
    elif code == OP_TFMA:
        multiply_add(o, a, b, lanes_of(f, warp, o.c, room_c), out)
    elif code == OP_TSEL:
        for i in range(LANES):
            out[i] = a[i] if w.q[o.c] >> i & 1 else b[i]
    elif code == OP_TNOT:
        for i in range(LANES):
            out[i] = ~a[i]
    elif code == OP_TCVT:
        cast_lanes(o, a, out)
    elif code == OP_TSR:
        for i in range(LANES):
            out[i] = special_lane(m, s, o, warp, i)
    elif code == OP_TSHFL:
        shuffle_lanes(o, a, b, mask, out)
    elif code == OP_TVOTE or code == OP_TRED:
        bits = vote(o, w.q[o.a], mask) if code == OP_TVOTE else reduce_warp(o, a, mask)
        for i in range(LANES):
            out[i] = bits
    else:
        single(o, a, out)
    if mask == 0xffffffffu:
        if result_alike(f, warp, o):
            set_regular(f, warp, o.dst, out[0], 0)
        else:
            memcpy(all_lanes(f, warp, o.dst), out, sizeof(out))
        return
    dst = some_lanes(f, warp, o.dst)
    for i in range(LANES):
        dst[i] = out[i] if mask >> i & 1 else dst[i]
