# Global memory as a SIMT function sees it: the memory unit takes one 128-byte line per cycle, in
# order; the D-cache holds lines; MSHRs bring them; writes go through. Part of _engine.pyx.
#
# A sub-core runs ahead of the machine, by less than the memory system needs for any answer. What it
# asks for meanwhile is put on a calendar, and served in order of time among all sub-cores and
# events; so an answer never comes too late to count.

cdef bint calendar_grow(Calendar* c) noexcept nogil:
    cdef int capacity = max(2 * c.capacity, 256), i
    cdef Ask* grown = <Ask*> realloc(c.items, capacity * sizeof(Ask))
    if grown == NULL:
        return False
    if c.capacity == 0:
        for i in range(2 * RING):
            c.head[i] = -1
    for i in range(c.capacity, capacity):
        grown[i].next = i + 1 if i + 1 < capacity else -1
    c.items, c.spare, c.capacity = grown, c.capacity, capacity
    return True


cdef Ask* ask(Machine* m, Sub* s, int64_t time, int entry) noexcept nogil:
    """A request of the memory unit's access on the calendar, behind those of its cycle; NULL: no memory."""
    cdef Calendar* c = &m.calendar
    cdef int i, day_ = <int> (time & (2 * RING - 1))
    cdef Ask* a
    if c.capacity == 0 or c.spare < 0:
        if not calendar_grow(c):
            fault(m, FAULT_MEMORY, s, -1, -1, 0, 0, 0)
            return NULL
    i = c.spare
    a = &c.items[i]
    c.spare = a.next
    if c.spare >= 0:
        __builtin_prefetch(&c.items[c.spare])
    a.who = s.simt.lsu.who
    a.next, a.simt, a.entry = -1, s.simt, <int16_t> entry
    if c.head[day_] < 0:
        c.head[day_] = i
    else:
        c.items[c.tail[day_]].next = i
    c.tail[day_] = i
    if c.count == 0 or time < c.first:
        c.first = time
    c.count += 1
    s.simt.waiting += 1
    return a


cdef int64_t way_back(Machine* m, Simt* f, int64_t time) noexcept nogil:
    """When a line that L2 gives at `time` is through the return path, one after another."""
    cdef double span = m.simt_spec.fill, there = time * m.simt_spec.fills
    cdef int64_t place = <int64_t> there
    there -= place
    if there < 1e-3 or there > 0.999:       # where the product may fall on the quotient's other side
        place = <int64_t> (time / span)
    while f.returned[place & (RETURNS - 1)] == <uint32_t> (place // RETURNS) + 1:
        place += 1
    f.returned[place & (RETURNS - 1)] = <uint32_t> (place // RETURNS) + 1
    there = place * span
    return max(time, <int64_t> there + (<double> <int64_t> there < there))


cdef void answer(Machine* m, Simt* f, Who who, int64_t time) noexcept nogil:
    """Bytes for a load: its registers are ready with the last of them."""
    cdef Score* score = &f.score[who.warp * (QS + f.registers) + QS + who.reg]
    cdef int i
    for i in range(who.regs):
        score[i].ready = max(score[i].ready, time)
        score[i].pending -= 1
    if f.last < time:
        f.last = time
    if f.warp[who.warp].state == WARP_AWAITS:
        next_word(m, f, who.warp)


cdef inline void fetch_ask(Machine* m, int number) noexcept nogil:
    """Have the host's caches bring what serving a request will touch."""
    cdef const Ask* a = &m.calendar.items[number]
    expect_sector(m.memory, a.address)
    __builtin_prefetch(&a.simt.waiting)
    if a.who.kind == ASK_FILL:
        __builtin_prefetch(&a.simt.mshr.waiters[a.entry])
        __builtin_prefetch(&a.simt.mshr.size)
        __builtin_prefetch(&a.simt.lines[max(a.line, 0)])
        __builtin_prefetch(&a.simt.brings[max(a.line, 0)])
        __builtin_prefetch(&a.simt.warp[a.who.warp].base)
        __builtin_prefetch(&a.simt.warp[a.who.warp].ready)
        __builtin_prefetch(&a.simt.score[a.who.warp * (QS + a.simt.registers) + QS + a.who.reg])
    else:
        __builtin_prefetch(&a.simt.write.size)


cdef void serve_calendar(Machine* m) noexcept nogil:
    """Give the memory system the requests of the calendar's first cycle."""
    cdef Calendar* c = &m.calendar
    cdef int day_ = <int> (c.first & (2 * RING - 1)), i = c.head[day_], next_, k
    cdef int64_t time = c.first, done_
    cdef Ask* a
    cdef Simt* f
    m.now = time
    c.head[day_] = -1
    k = c.head[(c.first + 1) & (2 * RING - 1)]
    while k >= 0:
        fetch_ask(m, k)
        k = c.items[k].next
    while i >= 0:
        a = &c.items[i]
        f = a.simt
        f.waiting -= 1
        if a.who.kind == ASK_FILL:
            done_ = sector_access(m, f.core, a.address, GM_READ, SECTOR, time)
            filled(m, f, a, way_back(m, f, done_))
        else:
            done_ = time
            if a.who.kind == ASK_WRITE:
                done_ = sector_access(m, f.core, a.address, GM_WRITE, a.size, time)
            else:
                for k in range(a.size):
                    done_ = sector_access(m, f.core, a.address, GM_ATOMIC, 4, time)
                if a.who.reg >= 0:
                    answer(m, f, a.who, done_)
            give_back(&f.write, a.entry, done_)
            f.last = max(f.last, done_)
        next_ = a.next
        a.next = c.spare
        c.spare = i
        c.count -= 1
        i = next_
    while c.count and c.head[c.first & (2 * RING - 1)] < 0:
        c.first += 1


cdef void filled(Machine* m, Simt* f, const Ask* a, int64_t time) noexcept nogil:
    """A line comes at `time`: whoever waits for it learns that, the first to have asked first. The
    return path carries it once for each of them."""
    cdef int i = f.mshr.waiters[a.entry], next_, first = -1
    give_back(&f.mshr, a.entry, time)
    f.last = max(f.last, time)
    if a.line >= 0 and f.brings[a.line] == a.entry and f.lines[a.line].fill == NEVER:
        f.lines[a.line].fill = time
    answer(m, f, a.who, time)
    while i >= 0:       # the list begins with the last to have asked
        next_ = f.waiters[i].next
        f.waiters[i].next = first
        first, i = i, next_
    i = first
    while i >= 0:
        time = way_back(m, f, time)
        answer(m, f, f.waiters[i].who, time)
        next_ = f.waiters[i].next
        f.waiters[i].next = f.spare_waiter
        f.spare_waiter = i
        i = next_


cdef void wait_for(Machine* m, Sub* s, int32_t* waiters, const Lsu* u) noexcept nogil:
    """The memory unit's access is one more that an MSHR will answer."""
    cdef Simt* f = s.simt
    cdef Waiter* grown
    cdef int capacity, i
    if f.spare_waiter < 0:
        capacity = max(2 * f.waiter_capacity, 128)
        grown = <Waiter*> realloc(f.waiters, capacity * sizeof(Waiter))
        if grown == NULL:
            fault(m, FAULT_MEMORY, s, -1, -1, 0, 0, 0)
            return
        for i in range(f.waiter_capacity, capacity):
            grown[i].next = i + 1 if i + 1 < capacity else -1
        f.waiters, f.spare_waiter, f.waiter_capacity = grown, f.waiter_capacity, capacity
    i = f.spare_waiter
    f.spare_waiter = f.waiters[i].next
    f.waiters[i].who = u.who
    f.waiters[i].next = waiters[0]
    waiters[0] = i


cdef void all_free(Entries* e, int count) noexcept nogil:
    cdef int i
    e.size, e.count, e.first = count, count, 0
    for i in range(count):
        e.free_at[i], e.which[i] = 0, <int16_t> i


cdef void give_back(Entries* e, int number, int64_t time) noexcept nogil:
    """An entry is free from `time` on; mostly later than those before."""
    cdef int at = e.first + e.count, before
    at -= e.size if at >= e.size else 0
    while at != e.first:
        before = (at if at else e.size) - 1
        if e.free_at[before] <= time:
            break
        e.free_at[at], e.which[at] = e.free_at[before], e.which[before]
        at = before
    e.free_at[at], e.which[at] = time, <int16_t> number
    e.count += 1


cdef int free_entry(Entries* e, int64_t* time, int64_t end) noexcept nogil:
    """Take an entry that is free at `time`, or the first to be free before `end`; -1: none is."""
    cdef int first = e.first
    if not e.count or e.free_at[first] >= end:
        return -1
    time[0] = max(time[0], e.free_at[first])
    e.count -= 1
    e.first = first + 1 if first + 1 < e.size else 0
    return e.which[first]


cdef inline int first_of_set(Machine* m, const Simt* f, uint64_t line) noexcept nogil:
    """Where the lines of a line's set begin."""
    cdef uint32_t sets = <uint32_t> f.sets
    if not sets & (sets - 1):
        return (<int> line & <int> (sets - 1)) * m.simt_spec.ways
    return <int> (line % sets) * m.simt_spec.ways


cdef inline int find_line(Machine* m, const Simt* f, uint64_t line, int first) noexcept nogil:
    """Which of its set holds a line; -1: none."""
    cdef int i
    for i in range(first, first + m.simt_spec.ways):
        if f.tags[i] == line + 1:
            return i
    return -1


cdef inline int victim(Machine* m, const Simt* f, int first, int64_t time) noexcept nogil:
    """The line of a set to give up: the one least recently used of those that are not on their
    way; -1: all are."""
    cdef int i, best = -1
    cdef int64_t least = NEVER, used_
    for i in range(first, first + m.simt_spec.ways):
        used_ = f.lines[i].used if f.lines[i].fill <= time else NEVER
        best = i if used_ < least else best
        least = min(least, used_)
    return best


cdef bint take_line(Machine* m, Sub* s, int64_t* time, int64_t end) noexcept nogil:
    """A load's next line, through the D-cache; False: no MSHR is free before `end`."""
    cdef Simt* f = s.simt
    cdef Lsu* u = &f.lsu
    cdef uint64_t line = u.line[u.next]
    cdef int number, first = 0, at = -1
    cdef Ask* a
    if u.cache != HINT_BYPASS:
        first = first_of_set(m, f, line)
        at = find_line(m, f, line, first)
    if at >= 0:
        f.uses += 1
        f.lines[at].used = f.uses
        if f.lines[at].fill == NEVER:
            wait_for(m, s, &f.mshr.waiters[f.brings[at]], u)
        else:
            answer(m, f, u.who, max(f.lines[at].fill, time[0] + m.simt_spec.hit))
        return True
    number = free_entry(&f.mshr, time, end)
    if number < 0:
        return False
    if u.cache != HINT_BYPASS:
        at = victim(m, f, first, time[0])
        if at >= 0:
            f.uses += 1
            f.tags[at], f.brings[at] = line + 1, <int16_t> number
            f.lines[at].fill = NEVER
            f.lines[at].used = 0 if u.cache == HINT_STREAM else f.uses
    f.mshr.waiters[number] = -1
    a = ask(m, s, time[0], number)
    if a != NULL:
        a.address, a.line = line * SECTOR, <int16_t> at
    return True


cdef bint take_write(Machine* m, Sub* s, int64_t* time, int64_t end) noexcept nogil:
    """A store's or an atomic's next line: to L2, past the D-cache."""
    cdef Simt* f = s.simt
    cdef Lsu* u = &f.lsu
    cdef uint64_t line = u.line[u.next]
    cdef Ask* a
    cdef int number = free_entry(&f.write, time, end), at
    if number < 0:
        return False
    if u.who.kind == ASK_ATOMIC:    # L2 changes it, the copy is stale
        at = find_line(m, f, line, first_of_set(m, f, line))
        if at >= 0 and f.lines[at].fill != NEVER:
            f.tags[at] = 0
    a = ask(m, s, time[0], number)
    if a != NULL:
        a.address, a.size = line * SECTOR, <uint8_t> u.bytes[u.next]
    return True


cdef void memory_unit(Machine* m, Sub* s, int64_t end) noexcept nogil:
    """Go on with the access that the memory unit has, up to the cycle `end`."""
    cdef Simt* f = s.simt
    cdef Lsu* u = &f.lsu
    cdef int64_t time
    cdef bint taken
    f.busy_why[TAKES_MEMORY] = W_MEMORY
    while u.next < u.count and u.at < end and not m.stop:
        time = u.at
        if u.who.kind == ASK_FILL:
            taken = take_line(m, s, &time, end)
        else:
            taken = take_write(m, s, &time, end)
        if not taken:
            f.busy_why[TAKES_MEMORY] = W_MSHR
            break
        if time > u.at:
            f.busy_why[TAKES_MEMORY] = W_MSHR
        u.at = time + 1
        u.next += 1
    f.busy_until[TAKES_MEMORY] = u.at if u.next == u.count else max(u.at, end)


cdef void begin_access(Simt* f, const Uop* o, int warp, int64_t time) noexcept nogil:
    """The memory unit takes an access; its lines follow."""
    cdef Lsu* u = &f.lsu
    cdef int kind = ASK_FILL if o.code == OP_TLD else ASK_WRITE if o.code == OP_TST else ASK_ATOMIC
    u.count = u.next = 0
    u.who.kind, u.who.warp = <uint8_t> kind, <uint8_t> warp
    u.who.reg, u.who.regs = <int16_t> o.dst, <uint8_t> o.regs
    u.cache, u.at = o.cache, time


cdef void lines_of_row(Lsu* u, uint64_t first, int size) noexcept nogil:
    """The lines of bytes that follow one another."""
    cdef uint64_t line
    if not first & (SECTOR - 1) and size == SECTOR:
        u.line[0], u.bytes[0], u.count = first // SECTOR, SECTOR, 1
        return
    for line in range(first // SECTOR, (first + size - 1) // SECTOR + 1):
        u.line[u.count] = line
        u.bytes[u.count] = <int32_t> (min((line + 1) * SECTOR, first + size)
                                      - max(line * SECTOR, first))
        u.count += 1


cdef void lines_of_lanes(Lsu* u, const Uop* o, uint32_t mask, const uint64_t* at) noexcept nogil:
    """The lines of any lanes, in the order of the first lane of each."""
    cdef int i, k, add = 1 if u.who.kind == ASK_ATOMIC else o.size
    cdef uint64_t line
    for i in range(LANES):
        if not mask >> i & 1:
            continue
        line = at[i] // SECTOR
        k = u.count - 1
        while k >= 0 and u.line[k] != line:
            k -= 1
        if k < 0:
            k = u.count
            u.count += 1
            u.line[k], u.bytes[k] = line, 0
        u.bytes[k] += add
    for i in range(u.count if u.who.kind == ASK_WRITE else 0):
        u.bytes[i] = min(u.bytes[i], SECTOR)


cdef void expect(Simt* f, const Lsu* u) noexcept nogil:
    """Registers that as many answers of memory will fill as there are lines."""
    cdef Score* score = &f.score[u.who.warp * (QS + f.registers) + QS + u.who.reg]
    cdef int i
    for i in range(u.who.regs):
        score[i].ready, score[i].late = u.at + 1, 0
        score[i].pending, score[i].why = u.count, W_MEMORY


cdef void start_access(Machine* m, Sub* s) noexcept nogil:
    if s.simt.lsu.who.reg >= 0:
        expect(s.simt, &s.simt.lsu)
    memory_unit(m, s, s.simt.end)
