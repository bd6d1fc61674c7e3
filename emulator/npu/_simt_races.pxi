# Races between threads of SIMT functions. Part of _engine.pyx.
#
# Each 4 bytes of UB, and of a writable tensor, that SIMT functions touch keep a stamp of the last
# write and of the last read: which bytes, which warp, which word of the program, and in which
# interval between two barriers of which launch. Two warps that touch the same bytes in one interval
# race unless both read or both are atomic; lanes of one warp do not race, they have an order.
#
# Most rows of 128 bytes are only ever touched whole, 32 words by one warp: they keep one pair of
# stamps for all, and get a pair per word when an access to a part of them comes.
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


cdef inline bint racing(Machine* m, Sub* s, uint64_t write, uint64_t read, uint64_t new,
                        int kind) noexcept nogil:
    """Whether an access races with one of the two that a word's stamps are of."""
    if write and stamps_race(m, s, write, new, False):
        return True
    return kind != GM_READ and read and stamps_race(m, s, read, new, True)


cdef inline void keep_stamp(uint64_t* writer, uint64_t* reader, uint64_t new, int kind) noexcept nogil:
    """The access becomes the word's last of its kind."""
    if kind == GM_READ:
        if reader[0] and reader[0] >> 32 == new >> 32:
            if (reader[0] ^ new) & STAMP_WARP:
                new |= STAMP_MORE
            new |= reader[0] & (15 | STAMP_MORE)
        reader[0] = new
        return
    if same_party(writer[0], new):
        # What it wrote without atomicity stays a plain write.
        new = (new if writer[0] & STAMP_MORE else writer[0]) | (new & 15) | (writer[0] & 15)
    writer[0] = new


cdef void stamp_word(Machine* m, Sub* s, uint64_t* writer, uint64_t* reader, uint64_t new, int kind,
                     int space, int64_t address) noexcept nogil:
    """An access of one thread to a word; kind as for a sector."""
    cdef int row = <int> (new >> 11 & 0x1fffff)
    if writer[0] and stamps_race(m, s, writer[0], new, False):
        race(m, s, row, writer[0], space, address)
    if kind != GM_READ and reader[0] and stamps_race(m, s, reader[0], new, True):
        race(m, s, row, reader[0], space, address)
    keep_stamp(writer, reader, new, kind)


cdef inline uint64_t bytes_within(int64_t at, int size) noexcept nogil:
    """A stamp's bits for the bytes that an access touches of a word."""
    return 15 if size >= 4 else ((<uint64_t> 1 << size) - 1) << (at & 3)


cdef inline uint64_t mark_of(const Simt* f, const Uop* o, int warp) noexcept nogil:
    """What the stamps of this access have in common."""
    return (<uint64_t> f.interval << 32 | <uint64_t> o.row << 11 | <uint64_t> warp << 5
            | (STAMP_MORE if o.code == OP_TATOM else 0))


cdef bint stamp_row(Machine* m, Sub* s, uint64_t* writer, uint64_t* reader, int count, uint64_t mark,
                    bint load) noexcept nogil:
    """Stamps of whole words, one behind the other; False: there is a race to report."""
    cdef uint64_t now = mark >> 32, strange = 0
    cdef int i, kind = GM_READ if load else GM_WRITE
    mark |= 15
    if load:
        for i in range(count):
            strange |= writer[i] | (reader[i] ^ mark if reader[i] >> 32 == now else 0)
    else:
        for i in range(count):
            strange |= writer[i] | reader[i]
    if not strange:
        writer = reader if load else writer
        for i in range(count):
            writer[i] = mark
        return True
    for i in range(count):
        if racing(m, s, writer[i], reader[i], mark, kind):
            return False
    for i in range(count):
        keep_stamp(writer + i, reader + i, mark, kind)
    return True


cdef bint tensor_stamps(Machine* m, Tensor* t) noexcept nogil:
    """The tensor's stamps, made when a SIMT function first touches it; False: no memory."""
    if t.simt == NULL:
        t.simt = <Stamps*> calloc(t.size // GRANULE + 1, sizeof(Stamps))
    if t.simt == NULL:
        fault(m, FAULT_MEMORY, NULL, -1, -1, 0, 0, 0)
        return False
    return True


cdef bint ub_stamps(Machine* m, Sub* s) noexcept nogil:
    """The same for UB."""
    cdef Simt* f = s.simt
    if f.ub_stamps == NULL:
        f.ub_stamps = <Stamps*> calloc(s.spaces[SPACE_UB].size // GRANULE + 1, sizeof(Stamps))
    if f.ub_stamps == NULL:
        fault(m, FAULT_MEMORY, s, -1, -1, 0, 0, 0)
        return False
    return True


cdef void free_stamps(Stamps* stamps, int64_t bytes_) noexcept nogil:
    cdef int64_t i
    for i in range(bytes_ // GRANULE + 1 if stamps != NULL else 0):
        free(stamps[i].words)
    free(stamps)


cdef bint by_word(Machine* m, Stamps* row) noexcept nogil:
    """From now on the row has stamps for each word; False: no memory."""
    cdef int i
    if row.words != NULL:
        return True
    row.words = <uint64_t*> malloc(2 * LANES * sizeof(uint64_t))
    if row.words == NULL:
        fault(m, FAULT_MEMORY, NULL, -1, -1, 0, 0, 0)
        return False
    for i in range(LANES):
        row.words[i], row.words[LANES + i] = row.write, row.read
    return True


cdef bint stamp_whole_words(
    Machine* m, Sub* s, Stamps* stamps, int64_t at, uint64_t mark, bint load) noexcept nogil:
    """A warp's access to 32 whole words from byte `at` on; False: there is a race to report."""
    cdef Stamps* row = &stamps[at // GRANULE]
    cdef int first = <int> (at % GRANULE) >> 2, kind = GM_READ if load else GM_WRITE
    if not first and row.words == NULL:
        if racing(m, s, row.write, row.read, mark | 15, kind):
            return False
        keep_stamp(&row.write, &row.read, mark | 15, kind)
        return True
    if not by_word(m, row) or not stamp_row(
            m, s, row.words + first, row.words + LANES + first, LANES - first, mark, load):
        return False
    row += 1
    return not first or (by_word(m, row) and stamp_row(
        m, s, row.words, row.words + LANES, first, mark, load))


cdef void stamp_words(Machine* m, Sub* s, Stamps* stamps, int64_t at, int size, uint64_t mark, int kind,
                      int space, int64_t address) noexcept nogil:
    """An access of one thread to bytes [at, at + size), which lie at an address of a space."""
    cdef int64_t word
    cdef uint64_t* words
    mark |= bytes_within(at, size)
    for word in range(at >> 2, ((at + size - 1) >> 2) + 1):
        if not by_word(m, &stamps[word // LANES]):
            return
        words = stamps[word // LANES].words + word % LANES
        stamp_word(m, s, words, words + LANES, mark, kind, space, address)


cdef void stamp_ub(Machine* m, Sub* s, int64_t at, int size, uint64_t mark, int kind) noexcept nogil:
    """An access of one thread to bytes [at, at + size) of UB."""
    if ub_stamps(m, s):
        stamp_words(m, s, s.simt.ub_stamps, at, size, mark, kind, SPACE_UB, at)


cdef void stamp_global(Machine* m, Sub* s, Tensor* t, uint64_t address, int size, uint64_t mark,
                       int kind) noexcept nogil:
    """One thread's access to a writable tensor: against other threads, engines and scalars."""
    cdef Access a
    cdef int64_t at = <int64_t> (address - t.base), granule = at // GRANULE
    cdef Pipe* p = &s.pipes[PIPE_V]
    if not tensor_stamps(m, t):
        return
    stamp_words(m, s, t.simt, at, size, mark, kind, SPACE_GM, <int64_t> address)
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
    cdef const Stamps* row
    if t.simt == NULL:
        return
    for i in range(a.rows):
        word = (a.lo + i * a.pitch - <int64_t> t.base) >> 2
        last = (a.lo + i * a.pitch + a.row - 1 - <int64_t> t.base) >> 2
        while word <= last:
            row = &t.simt[word // LANES]
            for k in range(2 if a.write else 1):
                if row.words != NULL:
                    old = row.words[k * LANES + word % LANES]
                else:
                    old = row.read if k else row.write
                if old and not interval_before(m, s, clock, <int64_t> (old >> 32)):
                    fault(m, FAULT_RACE, s, a.op, <int> (old >> 11 & 0x1fffff), SPACE_GM,
                          <int64_t> t.base + 4 * word, 0)
                    return
            word = word + 1 if row.words != NULL else (word // LANES + 1) * LANES
