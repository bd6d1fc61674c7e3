# Races between threads of SIMT functions. Part of _engine.pyx.
#
# Each 4 bytes of UB, and of a writable tensor that SIMT functions touch, keep a stamp of the last
# write and of the last read: which bytes, which warp, which word of the program, and in which
# interval between two barriers of which launch. Two warps that touch the same bytes in one interval
# race unless both read or both are atomic; lanes of one warp do not race, they have an order.
#
# Stamp: bits 0-3 the bytes; 4 atomic, or read by several warps; 5-10 the warp; 11-31 the row of the
# program; 32-63 the interval.

cdef enum:
    STAMP_MORE = 16
    STAMP_WARP = 63 << 5


cdef int64_t new_interval(Machine* m, Sub* s) noexcept nogil:
    """The number of the interval that begins; 0 is none."""
    cdef Interval* grown
    cdef int64_t capacity
    cdef Pipe* p = &s.pipes[PIPE_V]
    if m.interval_count + 1 >= m.interval_capacity:
        capacity = max(2 * m.interval_capacity, 1024)
        grown = <Interval*> realloc(m.intervals, capacity * sizeof(Interval))
        if grown == NULL:
            fault(m, FAULT_MEMORY, s, -1, -1, 0, 0, 0)
            return 0
        m.intervals, m.interval_capacity = grown, capacity
    m.interval_count += 1
    m.intervals[m.interval_count].sub = <int32_t> (s - m.subs)
    m.intervals[m.interval_count].epoch = s.epoch
    m.intervals[m.interval_count].clock = p.clock.at[p.slot]
    return m.interval_count


cdef bint interval_before(Machine* m, Sub* s, const Clock* clock, int64_t number) noexcept nogil:
    """Whether an interval of another launch is known to lie before what the sub-core does now."""
    cdef const Interval* i = &m.intervals[number]
    if i.epoch < s.epoch:
        return True
    if m.subs[i.sub].core == s.core and (m.kind == 0 or i.sub == <int> (s - m.subs)):
        return clock.at[m.subs[i.sub].pipes[PIPE_V].slot] >= i.clock
    return False


cdef bint stamps_race(Machine* m, Sub* s, uint64_t old, uint64_t new, bint reads) noexcept nogil:
    """Whether a stamp's access and a present one race; `reads`: the stamp is of reads."""
    cdef int64_t interval = <int64_t> (old >> 32)
    cdef const Interval* i
    if not old & new & 15:
        return False
    if interval == <int64_t> (new >> 32):
        if not reads and old & new & STAMP_MORE:
            return False
        return (old ^ new) & STAMP_WARP != 0 or (reads and old & STAMP_MORE != 0)
    i = &m.intervals[interval]
    if i.sub == <int> (s - m.subs) and interval >= s.simt.first_interval:
        return False
    if not reads and old & new & STAMP_MORE:
        return False
    return not interval_before(m, s, &s.pipes[PIPE_V].clock, interval)


cdef void race(Machine* m, Sub* s, int row, uint64_t old, int space, int64_t at) noexcept nogil:
    fault(m, FAULT_RACE, s, row, <int> (old >> 11 & 0x1fffff), space, at, 2)


cdef inline bint same_party(uint64_t a, uint64_t b) noexcept nogil:
    """Of one warp in one interval."""
    return not (a ^ b) >> 32 and not (a ^ b) & STAMP_WARP


cdef void stamp(Machine* m, Sub* s, uint64_t* writer, uint64_t* reader, int64_t at, int size,
                uint64_t mark, int kind, int space, int64_t address) noexcept nogil:
    """An access of one thread to bytes [at, at + size) behind the stamps; kind as for a sector."""
    cdef int64_t word = at >> 2, last = (at + size - 1) >> 2
    cdef uint64_t new
    cdef int row = <int> (mark >> 11 & 0x1fffff)
    while word <= last:
        new = mark | (15 if size >= 4 else ((<uint64_t> 1 << size) - 1) << (at & 3))
        if writer[word] and stamps_race(m, s, writer[word], new, False):
            race(m, s, row, writer[word], space, address)
        if kind == GM_READ:
            if reader[word] and reader[word] >> 32 == new >> 32:
                if (reader[word] ^ new) & STAMP_WARP:
                    new |= STAMP_MORE
                new |= reader[word] & (15 | STAMP_MORE)
            reader[word] = new
        else:
            if reader[word] and stamps_race(m, s, reader[word], new, True):
                race(m, s, row, reader[word], space, address)
            if same_party(writer[word], new):
                # What it wrote without atomicity stays a plain write.
                new = (new if writer[word] & STAMP_MORE else writer[word]) | (new & 15) | (
                    writer[word] & 15)
            writer[word] = new
        word += 1


cdef inline uint64_t mark_of(const Simt* f, const Uop* o, int warp) noexcept nogil:
    """What the stamps of this access have in common."""
    return (<uint64_t> f.interval << 32 | <uint64_t> o.row << 11 | <uint64_t> warp << 5
            | (STAMP_MORE if o.code == OP_TATOM else 0))


cdef bint stamp_row(uint64_t* writer, uint64_t* reader, uint64_t mark, bint load) noexcept nogil:
    """Stamps of 32 whole words at once; False: one of them needs a closer look."""
    cdef uint64_t now = mark >> 32, strange = 0, old
    cdef int i
    mark |= 15
    if load:
        for i in range(LANES):
            strange |= writer[i] | (reader[i] ^ mark if reader[i] >> 32 == now else 0)
        if strange:
            return False
        for i in range(LANES):
            reader[i] = mark
        return True
    for i in range(LANES):
        strange |= writer[i] | reader[i]
    if strange:
        return False
    for i in range(LANES):
        writer[i] = mark
    return True


cdef bint tensor_stamps(Machine* m, Tensor* t) noexcept nogil:
    """The tensor's stamps, made when a SIMT function first touches it; False: no memory."""
    if t.simt_write == NULL:
        t.simt_write = <uint64_t*> calloc(t.size // 4 + 1, sizeof(uint64_t))
        t.simt_read = <uint64_t*> calloc(t.size // 4 + 1, sizeof(uint64_t))
    if t.simt_write == NULL or t.simt_read == NULL:
        fault(m, FAULT_MEMORY, NULL, -1, -1, 0, 0, 0)
        return False
    return True


cdef void stamp_global(Machine* m, Sub* s, Tensor* t, uint64_t address, int size, uint64_t mark,
                       int kind) noexcept nogil:
    """One thread's access to a writable tensor: against other threads, engines and scalars."""
    cdef Access a
    cdef int64_t at = <int64_t> (address - t.base), granule = at // GRANULE
    cdef Pipe* p = &s.pipes[PIPE_V]
    if not tensor_stamps(m, t):
        return
    stamp(m, s, t.simt_write, t.simt_read, at, size, mark, kind, SPACE_GM, <int64_t> address)
    if t.last_write[granule] >= 0 or (kind != GM_READ and t.last_read[granule] >= 0):
        a = access(<int64_t> address, size, 1, 0)
        a.slot, a.write, a.op = p.slot, kind != GM_READ, <int> (mark >> 11 & 0x1fffff)
        collide(m, s, &a, &p.clock, t.last_write[granule])
        if kind != GM_READ:
            collide(m, s, &a, &p.clock, t.last_read[granule])


cdef void collide_simt(
    Machine* m, Sub* s, Tensor* t, const Access* a, const Clock* clock) noexcept nogil:
    """An engine's access against those of SIMT functions."""
    cdef int64_t i, word, last, k
    cdef uint64_t old
    if t.simt_write == NULL:
        return
    for i in range(a.rows):
        word = (a.lo + i * a.pitch - <int64_t> t.base) >> 2
        last = (a.lo + i * a.pitch + a.row - 1 - <int64_t> t.base) >> 2
        while word <= last:
            for k in range(2 if a.write else 1):
                old = t.simt_read[word] if k else t.simt_write[word]
                if old and not interval_before(m, s, clock, <int64_t> (old >> 32)):
                    fault(m, FAULT_RACE, s, a.op, <int> (old >> 11 & 0x1fffff), SPACE_GM,
                          <int64_t> t.base + 4 * word, 0)
                    return
            word += 1
