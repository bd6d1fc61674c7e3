# What L2 holds: least recently used lines, sectors with valid and dirty bits. Part of _system.pyx.
#
# Time is cut into generations, each of so many lines touched. A line carries the generation of its
# last touch; a generation knows how many lines it still has. When more lines are there than fit, the
# oldest generations go, all their lines at once: nothing is searched, and a line that carries an
# older number than `oldest` is simply not there. A generation is 1/1024 of L2. Dirty lines are
# logged in the order of their generations, so that they can be written back when those go.
#
# A stamp: bits 0-3 valid sectors, 4-7 dirty sectors, 8 being filled, from 9 on the generation.

cdef enum:
    DIRTY = 240
    FILLING = 256
    STAMP_LOW = 511
    STAMP_BITS = 9
    GENERATIONS = 1 << 23
    RESOLUTION = 1024


cdef inline int ones(uint32_t bits) noexcept nogil:
    """Set bits of four."""
    return <int> ((bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1) + (bits >> 3 & 1))


cdef void renumber(Memory* m) noexcept nogil:
    """Generations begin with small numbers again; those far back become one."""
    cdef int64_t shift = max(m.oldest - 1, m.current - GENERATIONS // 2), i, gen
    for i in range(m.lines):
        gen = m.stamps[i] >> STAMP_BITS
        if gen < m.oldest:
            m.stamps[i] = 0
        else:
            m.stamps[i] = (m.stamps[i] & STAMP_LOW) | <uint32_t> max(gen - shift, 1) << STAMP_BITS
    for gen in range(m.oldest, m.current + 1):
        i = max(gen - shift, 1)
        if i > 1 or gen == m.oldest:
            m.counts[i], m.log_starts[i] = m.counts[gen], m.log_starts[gen]
        else:
            m.counts[1] += m.counts[gen]
    m.oldest, m.current = 1, m.current - shift
    m.log_starts[1] = 0 if shift else m.log_starts[1]


cdef void write_back(Memory* m, int64_t line) noexcept nogil:
    """The dirty sectors of a line leave for HBM."""
    cdef uint64_t address = <uint64_t> line << m.line_bits
    cdef int per = m.chunk // SECTOR, dirty = <int> (m.stamps[line] >> 4 & 15), part
    while dirty:
        part = ones(dirty & ((1 << per) - 1))
        if part:
            write_piece(m, address, part * BURSTS)
            m.hbm_write += part * SECTOR
        dirty >>= per
        address += m.chunk


cdef inline bint logged(Memory* m, int64_t i, int64_t gen) noexcept nogil:
    """Whether an entry of the generation's log still holds: its line has not moved on."""
    return <int64_t> (m.stamps[m.log[i]] >> STAMP_BITS) == gen


cdef bint make_log_room(Memory* m) noexcept nogil:
    """Drop entries that no longer hold; more room if that is not half of them."""
    cdef int64_t gen, i, kept = 0, start, end
    cdef uint32_t* log
    for gen in range(m.oldest, m.current + 1):
        start = m.log_starts[gen]
        end = m.log_starts[gen + 1] if gen < m.current else m.log_count
        m.log_starts[gen] = kept
        for i in range(start, end):
            if logged(m, i, gen):
                m.log[kept] = m.log[i]
                kept += 1
    m.log_count = kept
    if 2 * kept > m.log_room:
        log = <uint32_t*> realloc(m.log, 2 * m.log_room * sizeof(uint32_t))
        if log == NULL:
            m.failed = 1
            return False
        m.log, m.log_room = log, 2 * m.log_room
    return True


cdef inline void log_dirty(Memory* m, int64_t line) noexcept nogil:
    if m.log_count < m.log_room or make_log_room(m):
        m.log[m.log_count] = <uint32_t> line
        m.log_count += 1


cdef void forget_oldest(Memory* m) noexcept nogil:
    cdef int64_t i
    for i in range(m.log_starts[m.oldest], m.log_starts[m.oldest + 1]):
        if logged(m, i, m.oldest):
            write_back(m, m.log[i])
    m.resident -= m.counts[m.oldest]
    m.counts[m.oldest] = 0
    m.oldest += 1


cdef void next_generation(Memory* m) noexcept nogil:
    """A new generation; the oldest ones go as far as there are more lines than fit."""
    cdef int32_t* counts
    cdef int64_t* starts
    if m.current + 1 == GENERATIONS:
        renumber(m)
    if m.current + 1 >= m.room:
        counts = <int32_t*> realloc(m.counts, 2 * m.room * sizeof(int32_t))
        if counts != NULL:
            m.counts = counts
        starts = <int64_t*> realloc(m.log_starts, 2 * m.room * sizeof(int64_t))
        if starts != NULL:
            m.log_starts = starts
        if counts == NULL or starts == NULL:
            m.failed = 1
            return
        m.room *= 2
    m.current += 1
    m.counts[m.current] = 0
    m.log_starts[m.current] = m.log_count
    while m.resident > m.capacity and m.oldest < m.current:
        forget_oldest(m)


cdef inline bint hit(
    Memory* m, int64_t line, uint32_t wanted, bint keep, double* ready) noexcept nogil:
    """What `touch` does where the sectors are there (`wanted` has the bits of those, for a write as
    dirty ones too) and nothing need be logged; False: it is not so simple."""
    cdef uint32_t v = m.stamps[line]
    cdef int64_t gen = v >> STAMP_BITS, current = m.current
    cdef const Fill* f
    cdef int32_t* counts
    if v & wanted != wanted or (gen != current and (gen < m.oldest or not keep or v & DIRTY)):
        return False
    if v & FILLING:
        f = &m.fills[line & (PENDING - 1)]
        if f.line == line and f.ready > m.time:
            ready[0] = max(ready[0], f.ready)
        else:
            v &= ~<uint32_t> FILLING
            m.stamps[line] = v
    if gen != current:
        m.stamps[line] = (v & STAMP_LOW) | <uint32_t> current << STAMP_BITS
        counts = m.counts
        counts[gen] -= 1
        counts[current] += 1
        if counts[current] >= m.generation:
            next_generation(m)
    return True


cdef inline int touch(
    Memory* m, int64_t line, uint32_t mask, bint write, bint keep, double* ready) noexcept nogil:
    """Which of the sectors `mask` are not there. From now on they are, unless nothing is kept.

    `ready` is put off to the end of a fill that is under way.
    """
    cdef uint32_t v = m.stamps[line], missing = mask
    cdef int64_t gen = v >> STAMP_BITS
    cdef const Fill* f
    cdef bint moved = False
    if gen < m.oldest:
        if not keep:
            return <int> mask
        m.counts[m.current] += 1
        m.resident += 1
        v = <uint32_t> m.current << STAMP_BITS
    else:
        missing &= ~v
        if v & FILLING:
            f = &m.fills[line & (PENDING - 1)]
            if f.line == line and f.ready > m.time:
                ready[0] = max(ready[0], f.ready)
            else:
                v &= ~<uint32_t> FILLING
        if gen != m.current and keep:
            m.counts[gen] -= 1
            m.counts[m.current] += 1
            v = (v & STAMP_LOW) | <uint32_t> m.current << STAMP_BITS
            moved = v & DIRTY
    if write:
        moved = moved or not v & DIRTY
        v |= mask << 4
    m.stamps[line] = v | mask
    if moved:
        log_dirty(m, line)
    if m.counts[m.current] >= m.generation:
        next_generation(m)
    return <int> missing


cdef inline void filling(Memory* m, int64_t line, double ready) noexcept nogil:
    """The line's data will be there at `ready`; who asks before must wait for it."""
    cdef Fill* f = &m.fills[line & (PENDING - 1)]
    f.line, f.ready = line, ready
    m.stamps[line] |= FILLING
