# Races in global memory. Part of _engine.pyx.
#
# Each granule of a writable tensor remembers the last access that wrote it and the last that read
# it. A later one collides with them if it touches the same bytes, one of the two writes, and nothing
# orders them: inside a core its clocks, between cores a meeting of all blocks.
#
# Without values, big tiles are noted by blocks of granules, which are split into granules where an
# access has only part of one or meets another.

cdef int new_record(Machine* m, const Access* a, int sub, int epoch) noexcept nogil:
    cdef Record* grown
    cdef int capacity
    if m.record_count == m.record_capacity:
        capacity = max(2 * m.record_capacity, 1024)
        grown = <Record*> realloc(m.records, capacity * sizeof(Record))
        if grown == NULL:
            fault(m, FAULT_MEMORY, NULL, -1, -1, 0, 0, 0)
            return -1
        m.records, m.record_capacity = grown, capacity
    m.records[m.record_count].access = a[0]
    m.records[m.record_count].sub = sub
    m.records[m.record_count].epoch = epoch
    m.records[m.record_count].segment = m.segment
    m.record_count += 1
    return m.record_count - 1


cdef bint ordered(Machine* m, Sub* s, const Clock* clock, const Record* r) noexcept nogil:
    """Whether what `r` did is known to lie before what the sub-core does now."""
    if r.epoch < s.epoch:
        return True
    if m.subs[r.sub].core == s.core and (m.kind == 0 or r.sub == <int> (s - m.subs)):
        return clock.at[r.access.slot] >= r.access.epoch
    return False


cdef bint collides(Machine* m, Sub* s, const Access* a, const Clock* clock, int record) noexcept nogil:
    cdef const Record* r
    if record < 0:
        return False
    r = &m.records[record]
    if r.access.slot == a.slot and r.sub == <int> (s - m.subs):
        return False
    return not ordered(m, s, clock, r) and overlap(a, &r.access)


cdef void collide(Machine* m, Sub* s, const Access* a, const Clock* clock, int record) noexcept nogil:
    cdef const Access* r
    if collides(m, s, a, clock, record):
        r = &m.records[record].access
        fault(m, FAULT_RACE, s, a.op, r.op, SPACE_GM, max(a.lo, r.lo), 0)


cdef bint note_block(
    Machine* m, Sub* s, Tensor* t, const Access* a, const Clock* clock, int64_t g, int64_t last,
    int record) noexcept nogil:
    """Note an access to granules g to `last` for the block that begins at g, where it has all of that
    and meets no other; False: granule by granule."""
    cdef int64_t b = g // BLOCK, i
    if t.blocks_written[b] == SPLIT:
        return False
    if (g == b * BLOCK and g + BLOCK - 1 <= last
            and not collides(m, s, a, clock, t.blocks_written[b])
            and not (a.write and collides(m, s, a, clock, t.blocks_read[b]))):
        if a.write:
            t.blocks_written[b] = record
        else:
            t.blocks_read[b] = record
        return True
    for i in range(b * BLOCK, (b + 1) * BLOCK):
        t.last_write[i], t.last_read[i] = t.blocks_written[b], t.blocks_read[b]
    t.blocks_written[b] = SPLIT
    return False


cdef void note_global(
    Machine* m, Sub* s, Pipe* p, bint write, int64_t address, int64_t row, int64_t rows,
    int64_t pitch, int op) noexcept nogil:
    """An access to global memory by a pipe, or by the scalar unit."""
    cdef Tensor* t
    cdef Access a = access(address, row, rows, pitch)
    cdef int64_t i, g, last
    cdef int record
    if row <= 0 or rows <= 0 or global_tensor(m, <uint64_t> address) == NULL:
        return
    t = &m.tensors[m.last_tensor]
    if not t.writable or <uint64_t> a.hi > t.base + <uint64_t> t.size or pitch < 0:
        return
    a.slot, a.write, a.op, a.epoch = p.slot, write, op, p.clock.at[p.slot]
    record = new_record(m, &a, <int> (s - m.subs), s.epoch)
    for i in range(a.rows if record >= 0 else 0):
        g = (a.lo + i * a.pitch - <int64_t> t.base) // GRANULE
        last = (a.lo + i * a.pitch + a.row - 1 - <int64_t> t.base) // GRANULE
        while g <= last:
            if t.blocks_written != NULL and note_block(m, s, t, &a, &p.clock, g, last, record):
                g += BLOCK
                continue
            if m.values and keep_apart(m, t, &a, s.core, g, record):
                m.segment += 1
                m.records[record].segment = m.segment
            collide(m, s, &a, &p.clock, t.last_write[g])
            if write:
                collide(m, s, &a, &p.clock, t.last_read[g])
                t.last_write[g] = record
            else:
                t.last_read[g] = record
            g += 1
    collide_simt(m, s, t, &a, &p.clock)
