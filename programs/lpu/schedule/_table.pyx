"""The reservation table's inner loop: where do a fragment's claims fit?

A resource is a row of bits, one per cycle, set where it is taken. A claim is a mask that wants
clear bits from some cycle on; a conflict is one shift and one AND per 64 cycles.
`reservations.py` numbers the resources and says what a `Demand` holds.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memset

cimport cython

cdef extern from *:
    int __builtin_clzll(unsigned long long) noexcept nogil

NO_ROOM = -1

cdef struct Claim:  # a row of a demand's claims
    int64_t taken  # resource that it takes (of an option: when the option is 0)
    int64_t checked  # resource that has to be free
    int64_t offset  # cycle of the mask's first bit after the fragment's
    int64_t word, words  # its mask
    int64_t solid  # no gaps in the mask

cdef struct Row:
    uint64_t* bits  # `words` of them, and one more that stays clear
    int64_t words

cdef struct Held:  # a claim of this very fragment
    int64_t claim, taken

cdef struct Hit:  # what keeps a fragment from a start
    int64_t step, claim, option, at


@cython.final
cdef class Demand:
    """What one fragment claims: the `fixed` first rows of `claims`, and an option of each choice.

    Option o of choice c (``firsts[c] <= o < firsts[c + 1]``) takes the choice's claims
    (``parts[c] .. parts[c + 1] - 1``) on resources that lie ``shifts[o]`` after those named.
    `rivals` are the fixed claims whose resources options may want too.
    """

    cdef object _keep
    cdef const Claim* claims
    cdef const uint64_t* words
    cdef const int64_t* firsts
    cdef const int64_t* parts
    cdef const int64_t* shifts
    cdef int64_t fixed, choices, rivals
    cdef Held* held
    cdef int64_t* chosen

    def __cinit__(self, const int64_t[:, ::1] claims, const uint64_t[::1] words, int64_t fixed,
                  const int64_t[::1] firsts, const int64_t[::1] parts,
                  const int64_t[::1] shifts, const int64_t[::1] rivals):
        cdef int64_t i
        if claims.shape[1] != sizeof(Claim) // sizeof(int64_t):
            raise ValueError("a claim has six numbers")
        self._keep = (claims, words, firsts, parts, shifts)
        self.claims = <const Claim*> &claims[0, 0] if claims.shape[0] else NULL
        self.words = &words[0] if words.shape[0] else NULL
        self.firsts, self.parts = &firsts[0], &parts[0]
        self.shifts = &shifts[0] if shifts.shape[0] else NULL
        self.fixed, self.choices, self.rivals = fixed, parts.shape[0] - 1, rivals.shape[0]
        self.held = <Held*> malloc((claims.shape[0] + 1) * sizeof(Held))
        self.chosen = <int64_t*> malloc((self.choices + 1) * sizeof(int64_t))
        if self.held == NULL or self.chosen == NULL:
            raise MemoryError
        for i in range(self.rivals):
            self.held[i] = Held(rivals[i], self.claims[rivals[i]].taken)

    def __dealloc__(self):
        free(self.held)
        free(self.chosen)


@cython.final
cdef class Table:
    """Busy cycles of `count` resources, `origin` cycles before the first one on."""

    cdef Row* rows
    cdef int64_t count, origin

    def __cinit__(self, int64_t count, int64_t origin):
        self.rows = <Row*> calloc(count, sizeof(Row))
        if self.rows == NULL:
            raise MemoryError
        self.count, self.origin = count, origin

    def __dealloc__(self):
        cdef int64_t i
        if self.rows != NULL:
            for i in range(self.count):
                free(self.rows[i].bits)
        free(self.rows)

    def place(self, Demand demand, int64_t start):
        """(start, chosen options, blocker) of the first start >= `start` at which all fits.

        The claims are taken. The blocker is (resource, cycle) of the conflict at the last start
        tried before, None if there was none. If a choice has an option at no start at all, the
        start is NO_ROOM and nothing is taken.
        """
        cdef Hit hit
        cdef int64_t found, i
        hit.claim = -1
        # A search takes a microsecond or two: giving up the interpreter would cost more.
        found = self.slide(demand, start, &hit)
        if found >= 0 and self.take(demand, found) < 0:
            raise MemoryError
        chosen = tuple([demand.chosen[i] for i in range(demand.choices)]) if found >= 0 else ()
        blocker = None
        if hit.claim >= 0:
            blocker = (demand.claims[hit.claim].checked + hit.option, hit.at)
        return found, chosen, blocker

    cdef int64_t slide(self, Demand demand, int64_t start, Hit* hit) noexcept nogil:
        cdef Hit now
        while True:
            self.fit(demand, start, &now)
            if now.step == 0:
                return start
            if now.step < 0:
                return -1
            hit[0] = now
            start += now.step

    cdef void fit(self, Demand demand, int64_t start, Hit* hit) noexcept nogil:
        """Step 0: fits, `chosen` says how; negative: never; else what to slide, and why."""
        cdef int64_t i, c, o, k, shift, step, held = demand.rivals
        cdef Hit worst, best
        cdef bint clash
        for i in range(demand.fixed):
            step = self.conflict(demand, &demand.claims[i], 0, start)
            if step:
                hit[0] = Hit(self.slack(demand, &demand.claims[i], step), i, 0,
                                 start + demand.claims[i].offset + step - 1)
                return
        for c in range(demand.choices):
            best.step = -1
            for o in range(demand.firsts[c], demand.firsts[c + 1]):
                shift = demand.shifts[o]
                clash = False
                worst.step = 0
                for k in range(demand.parts[c], demand.parts[c + 1]):
                    if clashes(demand, k, shift, held):
                        clash = True
                        break
                    step = self.conflict(demand, &demand.claims[k], shift, start)
                    if step and self.slack(demand, &demand.claims[k], step) > worst.step:
                        worst = Hit(self.slack(demand, &demand.claims[k], step), k, shift,
                                      start + demand.claims[k].offset + step - 1)
                if clash:
                    continue
                if worst.step == 0:
                    break
                if best.step < 0 or worst.step < best.step:
                    best = worst
            else:
                hit[0] = best
                return
            demand.chosen[c] = o - demand.firsts[c]
            for k in range(demand.parts[c], demand.parts[c + 1]):
                demand.held[held] = Held(k, demand.claims[k].taken + shift)
                held += 1
        hit.step = 0

    cdef int64_t slack(self, Demand demand, const Claim* claim, int64_t last) noexcept nogil:
        # A solid burst cannot fit before its first cycle has passed the last conflict.
        return last if claim.solid else 1

    cdef int64_t conflict(self, Demand demand, const Claim* claim, int64_t shift,
                          int64_t start) noexcept nogil:
        """1 + the last bit of the mask that is taken already; 0: none."""
        cdef Row* row = &self.rows[claim.checked + shift]
        cdef int64_t at = start + claim.offset + self.origin
        cdef int64_t first = at >> 6, i
        cdef int low = at & 63
        cdef const uint64_t* bits = row.bits + first
        cdef const uint64_t* mask = demand.words + claim.word
        cdef int64_t words = min(claim.words, row.words - first)
        cdef uint64_t busy = 0
        # All at once, which the compiler makes vectors of; in two steps, because a shift by 64 is
        # undefined.
        for i in range(words):
            busy |= (bits[i] >> low | bits[i + 1] << 1 << (63 - low)) & mask[i]
        if not busy:
            return 0
        for i in range(words - 1, -1, -1):
            busy = (bits[i] >> low | bits[i + 1] << 1 << (63 - low)) & mask[i]
            if busy:
                return 64 * (i + 1) - __builtin_clzll(busy)
        return 0

    cdef int take(self, Demand demand, int64_t start) noexcept nogil:
        cdef int64_t i, c, k
        for i in range(demand.fixed):
            if self.set(demand, &demand.claims[i], 0, start) < 0:
                return -1
        for c in range(demand.choices):
            for k in range(demand.parts[c], demand.parts[c + 1]):
                i = demand.shifts[demand.firsts[c] + demand.chosen[c]]
                if self.set(demand, &demand.claims[k], i, start) < 0:
                    return -1
        return 0

    cdef int set(self, Demand demand, const Claim* claim, int64_t shift, int64_t start) noexcept nogil:
        cdef Row* row = &self.rows[claim.taken + shift]
        cdef int64_t at = start + claim.offset + self.origin
        cdef int64_t first = at >> 6, need = (at >> 6) + claim.words + 1, room, i
        cdef int low = at & 63
        cdef uint64_t mask
        cdef uint64_t* grown
        if need > row.words:
            room = max(need, row.words + row.words // 2)
            grown = <uint64_t*> realloc(row.bits, (room + 1) * sizeof(uint64_t))
            if grown == NULL:
                return -1
            memset(grown + row.words, 0, (room + 1 - row.words) * sizeof(uint64_t))
            row.bits, row.words = grown, room
        for i in range(claim.words):
            mask = demand.words[claim.word + i]
            row.bits[first + i] |= mask << low
            if low:
                row.bits[first + i + 1] |= mask >> (64 - low)
        return 0


cdef bint clashes(Demand demand, int64_t k, int64_t shift, int64_t held) noexcept nogil:
    """Whether the fragment itself holds cycles that an option's claim wants."""
    cdef int64_t i
    for i in range(held):
        if demand.held[i].taken == demand.claims[k].checked + shift:
            if overlap(demand, &demand.claims[demand.held[i].claim], &demand.claims[k]):
                return True
    return False


cdef bint overlap(Demand demand, const Claim* a, const Claim* b) noexcept nogil:
    """Whether two masks, each at its offset, have a bit in common."""
    cdef int64_t i, first
    cdef int low
    cdef uint64_t window
    if a.offset > b.offset:
        a, b = b, a
    first, low = (b.offset - a.offset) >> 6, (b.offset - a.offset) & 63
    for i in range(min(b.words, a.words - first)):
        window = demand.words[a.word + first + i] >> low
        if low and first + i + 1 < a.words:
            window |= demand.words[a.word + first + i + 1] << (64 - low)
        if window & demand.words[b.word + i]:
            return True
    return False
