# Loads, stores and atomics of SIMT functions: addresses, bounds, poison, values. Part of _engine.pyx.

cdef void thread_fault(
    Machine* m, Sub* s, int kind, int row, int thread, int64_t a, int64_t b,
    int64_t c) noexcept nogil:
    """A fault of one thread."""
    m.thread = thread + 1
    fault(m, kind, s, row, -1, a, b, c)
    m.thread = 0


cdef bint in_a_row(const Simt* f, int warp, const Uop* o, uint32_t mask, uint64_t* first) noexcept nogil:
    """Whether all lanes take part and touch bytes one after another, from `first` on."""
    cdef const uint32_t* r
    cdef uint32_t off = 0, start
    cdef int i
    if mask != 0xffffffffu or o.index < 0:
        return False
    if is_regular(&f.warp[warp], o.index):
        start = f.file[warp * f.registers + o.index].even.first
        off = f.file[warp * f.registers + o.index].even.step - <uint32_t> o.size
    else:
        r = f.file[warp * f.registers + o.index].at
        start = r[0]
        for i in range(LANES):
            off |= r[i] - start - <uint32_t> (i * o.size)
    first[0] = <uint64_t> (f.u[o.base] + o.offset) + start
    return off == 0 and start < 0xfffff000u


cdef uint64_t addresses(const Simt* f, int warp, const Uop* o, uint32_t mask, uint64_t* at) noexcept nogil:
    """Where each lane goes; the result is 0 where all addresses are multiples of the size."""
    cdef uint64_t first = <uint64_t> (f.u[o.base] + o.offset), odd = 0
    cdef uint32_t[LANES] room
    cdef const uint32_t* r
    cdef int i
    if o.index < 0:
        for i in range(LANES):
            at[i] = first
    else:
        r = lanes_of(f, warp, o.index, room)
        for i in range(LANES):
            at[i] = first + r[i]
    for i in range(LANES):
        odd |= at[i] if mask >> i & 1 else 0
    return odd & <uint64_t> (o.size - 1)


cdef void misaligned(Machine* m, Sub* s, int warp, const Uop* o, uint32_t mask,
                     const uint64_t* at) noexcept nogil:
    cdef int i
    for i in range(LANES):
        if mask >> i & 1 and at[i] & <uint64_t> (o.size - 1):
            thread_fault(m, s, FAULT_ALIGNMENT, o.row, warp * LANES + i, o.takes == TAKES_UB,
                         <int64_t> at[i], o.size)
            return


# ---- UB ------------------------------------------------------------------------------------------

cdef int ub_passes(Machine* m, const Uop* o, uint32_t mask, const uint64_t* at, int* beats) noexcept nogil:
    """Cycles that UB takes for an access: lanes come in groups, and in a group each sub-bank opens
    one row of 8 bytes per cycle. `beats`: what it would take without conflicts."""
    cdef int width = m.simt_spec.ub_lanes, i, j, k, n, passes = 0, worst
    cdef uint64_t sub_banks = m.spec.banks * (m.spec.interleave // m.spec.sub_bank)
    cdef uint64_t[2 * LANES] words
    cdef uint64_t word
    cdef int[LANES * 2] depth
    cdef bint merges = o.code != OP_TATOM
    beats[0] = 0
    i = 0
    while i < LANES:
        n, worst = 0, 0
        for j in range(i, min(i + width, LANES)):
            if not mask >> j & 1:
                continue
            worst = max(worst, 1)
            for word in range(at[j] // m.spec.sub_bank, (at[j] + o.size - 1) // m.spec.sub_bank + 1):
                depth[n] = 1
                for k in range(n):
                    if words[k] == word and merges:
                        depth[n] = 0
                        break
                    if words[k] % sub_banks == word % sub_banks:
                        depth[n] += 1
                if depth[n]:
                    words[n] = word
                    worst = max(worst, depth[n])
                    n += 1
        passes += worst
        beats[0] += worst > 0
        i += width
    return passes


cdef bint ub_row_of_lanes(Machine* m, Sub* s, int warp, const Uop* o, uint64_t first) noexcept nogil:
    """As `global_row_of_lanes`, in UB."""
    cdef Simt* f = s.simt
    cdef Space* ub = &s.spaces[SPACE_UB]
    cdef bint load = o.code == OP_TLD
    cdef uint64_t* bits = f.ub_read if load else f.ub_written
    cdef uint64_t word = first >> 2
    cdef uint32_t[LANES] room
    if first + LANES * <uint64_t> o.size > <uint64_t> f.ub_size or o.size != 4:
        return False
    if m.values:
        if load and memchr(ub.valid + first, 0, 4 * LANES) != NULL:
            return False
        if not ub_stamps(m, s) or not stamp_whole_words(
                m, s, f.ub_stamps, <int64_t> first, mark_of(f, o, warp), load):
            return False
        if load:
            memcpy(all_lanes(f, warp, o.dst), ub.data + first, 4 * LANES)
        else:
            memset(ub.valid + first, 1, 4 * LANES)
            memcpy(ub.data + first, lanes_of(f, warp, o.src, room), 4 * LANES)
    bits[word >> 6] |= <uint64_t> 0xffffffffu << (word & 63)
    if word & 63 > 32:
        bits[(word >> 6) + 1] |= <uint64_t> 0xffffffffu >> (64 - (word & 63))
    return True


cdef bint ub_bounds(Machine* m, Sub* s, int warp, const Uop* o, uint32_t mask,
                    const uint64_t* at) noexcept nogil:
    """Bounds of every lane, and the bytes noted for the other pipes; False after a fault."""
    cdef Simt* f = s.simt
    cdef uint64_t* bits = f.ub_read if o.code == OP_TLD else f.ub_written
    cdef uint64_t most = <uint64_t> f.ub_size, first
    cdef int i, k
    for i in range(LANES):
        if not mask >> i & 1:
            continue
        if at[i] >= most or at[i] + <uint64_t> o.size > most:
            thread_fault(m, s, FAULT_CAPACITY, o.row, warp * LANES + i, SPACE_UB,
                         <int64_t> at[i] + o.size, f.ub_size)
            return False
        first = at[i] >> 2
        for k in range(max(o.size >> 2, 1)):
            bits[(first + k) >> 6] |= <uint64_t> 1 << ((first + k) & 63)
    return True


cdef inline void move_in(Simt* f, int warp, const Uop* o, int lane, const uint8_t* from_) noexcept nogil:
    """Bytes into a lane's registers, zero-extended."""
    cdef uint32_t* r
    cdef int k
    if o.size < 4:
        r = some_lanes(f, warp, o.dst) + lane
        r[0] = 0
        memcpy(r, from_, o.size)
        return
    for k in range(o.regs):
        memcpy(some_lanes(f, warp, o.dst + k) + lane, from_ + 4 * k, 4)


cdef inline void move_out(Simt* f, int warp, const Uop* o, int lane, uint8_t* to) noexcept nogil:
    cdef uint32_t bits
    cdef int k
    for k in range(o.regs):
        bits = lane_of(f, warp, o.src + k, lane)
        memcpy(to + 4 * k, &bits, min(o.size, 4))


cdef inline bint written(const uint8_t* valid, int size) noexcept nogil:
    cdef int k
    cdef uint32_t four
    if size < 4:
        for k in range(size):
            if not valid[k]:
                return False
        return True
    for k in range(0, size, 4):
        memcpy(&four, valid + k, 4)
        if four != 0x01010101u:
            return False
    return True


cdef inline int kind_of(const Uop* o) noexcept nogil:
    return GM_READ if o.code == OP_TLD else GM_WRITE if o.code == OP_TST else GM_ATOMIC


cdef void lane_value(Machine* m, Sub* s, int warp, const Uop* o, int lane, uint8_t* data) noexcept nogil:
    """One lane's access at `data`."""
    cdef Simt* f = s.simt
    cdef uint32_t old, b, c = 0
    if o.code == OP_TLD:
        move_in(f, warp, o, lane, data)
        return
    if o.code == OP_TST:
        move_out(f, warp, o, lane, data)
        return
    memcpy(&old, data, 4)
    b = lane_of(f, warp, o.b, lane)
    if o.c >= 0:
        c = lane_of(f, warp, o.c, lane)
    if o.dst >= 0:
        some_lanes(f, warp, o.dst)[lane] = old
    old = atomic_result(o, old, b, c)
    memcpy(data, &old, 4)


cdef bint unwritten(Machine* m, Sub* s, int warp, const Uop* o, int lane, int space,
                    int64_t address) noexcept nogil:
    """A lane reads what nobody has written: a fault; True where that ends the run."""
    thread_fault(m, s, FAULT_POISON, o.row, warp * LANES + lane, space, address, 0)
    return m.stop


cdef void ub_values(Machine* m, Sub* s, int warp, const Uop* o, uint32_t mask,
                    const uint64_t* at) noexcept nogil:
    cdef Simt* f = s.simt
    cdef Space* ub = &s.spaces[SPACE_UB]
    cdef uint64_t mark = mark_of(f, o, warp)
    cdef int i
    for i in range(LANES):
        if mask >> i & 1:
            m.thread = warp * LANES + i + 1
            stamp_ub(m, s, <int64_t> at[i], o.size, mark, kind_of(o))
            m.thread = 0
            if o.code != OP_TST and not written(ub.valid + at[i], o.size):
                if unwritten(m, s, warp, o, i, SPACE_UB, <int64_t> at[i]):
                    return
            if o.code != OP_TLD:
                memset(ub.valid + at[i], 1, o.size)
            lane_value(m, s, warp, o, i, ub.data + at[i])
            if m.stop:
                return


# ---- global memory -------------------------------------------------------------------------------

cdef inline Tensor* tensor_at(Machine* m, const Uop* o, uint64_t address) noexcept nogil:
    """`global_tensor` for a word, which mostly goes where it went before."""
    cdef Tensor* t = &m.tensors[m.tensor_of[o.row]]
    if address - t.base < <uint64_t> t.size:
        return t
    t = global_tensor(m, address)
    if t != NULL:
        m.tensor_of[o.row] = <int32_t> (t - m.tensors)
    return t


cdef void fetch_access(Machine* m, Simt* f, int warp, const Uop* o) noexcept nogil:
    """Have the host's caches bring what a warp's next access will touch, as lane 0 has it: other
    warps issue first, so it comes in time."""
    cdef uint64_t at = <uint64_t> (f.u[o.base] + o.offset)
    cdef int64_t first, off
    cdef Tensor* t
    if o.index >= 0:
        at += lane_of(f, warp, o.index, 0)
    if o.code == OP_TLD:
        first = first_of_set(m, f, at // SECTOR)
        __builtin_prefetch(&f.tags[first])
        for off in range(m.simt_spec.ways * <int64_t> sizeof(Line) // HOST_LINE):
            __builtin_prefetch(<const char*> &f.lines[first] + off * HOST_LINE)
    t = tensor_at(m, o, at) if m.values else NULL
    if t == NULL:
        return
    off = <int64_t> (at - t.base)
    __builtin_prefetch(t.data + off)
    __builtin_prefetch(t.data + off + HOST_LINE)
    if t.whole != NULL:
        __builtin_prefetch(t.whole + off // GRANULE)
    if t.writable:
        __builtin_prefetch(t.last_write + off // GRANULE)
        __builtin_prefetch(t.last_read + off // GRANULE)
        if t.simt != NULL:
            __builtin_prefetch(t.simt + off // GRANULE)


cdef Tensor* lane_tensor(Machine* m, Sub* s, int warp, const Uop* o, int lane, uint64_t at) noexcept nogil:
    """The tensor that a lane's bytes lie in; NULL after a fault."""
    cdef Tensor* t = tensor_at(m, o, at)
    if t == NULL or at + <uint64_t> o.size > t.base + <uint64_t> t.size:
        thread_fault(m, s, FAULT_BOUNDS, o.row, warp * LANES + lane, <int64_t> at, o.size, 0)
        return NULL
    if o.code != OP_TLD and not t.writable:
        thread_fault(m, s, FAULT_READ_ONLY, o.row, warp * LANES + lane, <int64_t> at, o.size, 0)
        return NULL
    return t


cdef bint global_row_of_lanes(
    Machine* m, Sub* s, int warp, const Uop* o, uint64_t first) noexcept nogil:
    """All lanes' 4-byte elements one after another in one tensor, moved at once; False: they are
    not, or there is something to say about them."""
    cdef Simt* f = s.simt
    cdef Tensor* t = tensor_at(m, o, first)
    cdef int64_t off, size = LANES * o.size, granule
    cdef uint32_t[LANES] room
    cdef bint load = o.code == OP_TLD
    if t == NULL or first + <uint64_t> size > t.base + <uint64_t> t.size:
        return False
    if not load and not t.writable:
        return False
    if not m.values:
        return True
    if o.size != 4:
        return False
    off = <int64_t> (first - t.base)
    if load and t.valid != NULL and not marked_global(t, off, size):
        return False
    if t.writable:
        for granule in range(off // GRANULE, (off + size - 1) // GRANULE + 1):
            if t.last_write[granule] >= 0 or (not load and t.last_read[granule] >= 0):
                return False
        if not tensor_stamps(m, t) or not stamp_whole_words(
                m, s, t.simt, off, mark_of(f, o, warp), load):
            return False
    if load and not t.writable and not <uint64_t> (t.data + off) & 3:
        set_lanes(f, warp, o.dst, <const uint32_t*> (t.data + off))
        return True
    if load:
        memcpy(all_lanes(f, warp, o.dst), t.data + off, 4 * LANES)
        return True
    if t.valid != NULL:
        mark_global(t, off, size)
    memcpy(t.data + off, lanes_of(f, warp, o.src, room), 4 * LANES)
    return True


cdef void global_values(Machine* m, Sub* s, int warp, const Uop* o, uint32_t mask,
                        const uint64_t* at) noexcept nogil:
    """Bounds of every lane; with values, poison, races and the values too."""
    cdef Simt* f = s.simt
    cdef uint64_t mark = mark_of(f, o, warp)
    cdef Tensor* t = NULL
    cdef int64_t off
    cdef int i
    for i in range(LANES):
        if not mask >> i & 1:
            continue
        t = lane_tensor(m, s, warp, o, i, at[i])
        if t == NULL:
            return
        if not m.values:
            continue
        off = <int64_t> (at[i] - t.base)
        if t.writable:
            m.thread = warp * LANES + i + 1
            stamp_global(m, s, t, at[i], o.size, mark, kind_of(o))
            m.thread = 0
        if t.valid != NULL:
            if o.code != OP_TST and not marked_global(t, off, o.size):
                if unwritten(m, s, warp, o, i, SPACE_GM, <int64_t> at[i]):
                    return
            if o.code != OP_TLD:
                mark_global(t, off, o.size)
        lane_value(m, s, warp, o, i, t.data + off)
        if m.stop:
            return
