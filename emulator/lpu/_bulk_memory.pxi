# Producers through SRAM: for every word read, who wrote it last. Slices that the program never
# writes only need to hold what the host put there.

# Who wrote a word last, and when it was last read; by a segment and which of its issues.
cdef struct Word:
    int64_t read_at, issue
    int writer, reader   # -1 = none
    int slice_, pad      # for which slice this row stands: those of others are as good as empty


cdef inline Word* word_at(Word* words, int64_t address, int slice_) noexcept nogil:
    cdef Word* w = &words[address]
    if w.slice_ != slice_:
        w.slice_, w.writer, w.reader, w.read_at = slice_, -1, -1, -1
    return w


cdef int add_pair(State* s, int first, int second) noexcept nogil:
    cdef Pair* p = <Pair*> s.pairs.data + s.pairs.count - 1
    if s.pairs.count and p.first == first and p.second == second:
        return 1
    p = <Pair*> vector_add(&s.pairs)
    if p == NULL:
        return give_up(s, "memory")
    p.first, p.second = first, second
    return 1


cdef int read_words(State* s, int seg, Word* words, const uint64_t* written, int slice_) noexcept nogil:
    """Links of a read to the writes behind it; `words` of its slice, NULL if nothing writes there."""
    cdef Seg* g = seg_at(s, seg)
    cdef Link* l = NULL
    cdef Word* w
    cdef int64_t i, address = g.value, t
    written += <int64_t> slice_ * s.words
    for i in range(g.n):
        t = cycle_of(g, i)
        w = NULL if words == NULL else word_at(words, address, slice_)
        if w == NULL or w.writer < 0:
            if written[address] == 0:
                return give_up(s, "a word that nothing has written")
            l = NULL
        else:
            if cycle_of(seg_at(s, w.writer), w.issue) + s.ops[seg_at(s, w.writer).op].latency >= t:
                return give_up(s, "a word read before its write lands")
            if l != NULL and l.producer == w.writer and (
                    l.n == 1 or w.issue == l.k0 + l.n * l.ks):
                if l.n == 1:
                    l.ks = w.issue - l.k0
                l.n += 1
            else:
                l = <Link*> vector_add(&s.links)
                if l == NULL:
                    return give_up(s, "memory")
                l.i0, l.n, l.k0, l.ks, l.seg, l.producer = i, 1, w.issue, 1, seg, w.writer
                l.operand, l.part, l.source, l.chained = MEMORY, 0, 0, 0
        if w != NULL:
            if w.reader >= 0 and w.reader != seg:
                add_pair(s, w.reader, seg)
            w.reader, w.read_at = seg, max(w.read_at, t)
        address += g.stride
    return 1


cdef int write_words(State* s, int seg, Word* words, uint64_t* written, uint64_t full, int slice_) noexcept nogil:
    cdef Seg* g = seg_at(s, seg)
    cdef Word* w
    cdef int64_t i, address = g.value, lands
    written += <int64_t> slice_ * s.words
    for i in range(g.n):
        lands = cycle_of(g, i) + s.ops[g.op].latency
        w = word_at(words, address, slice_)
        if w.reader >= 0:
            if w.read_at > lands:
                return give_up(s, "a burst that reads what a later one writes")
            add_pair(s, w.reader, seg)
        if w.writer >= 0:
            add_pair(s, w.writer, seg)
        w.writer, w.issue, w.reader, w.read_at = seg, i, -1, -1
        written[address] = full
        address += g.stride
    return 1


cdef int bank_of(State* s, int64_t address) noexcept nogil:
    return <int> (address >> s.bank_bit & 1)


cdef void find_banks(State* s, Seg* g, int64_t* first, int64_t* last) noexcept nogil:
    """First and last issue that uses each bank; -1 when none does."""
    cdef int64_t i
    cdef int b
    first[0] = first[1] = last[0] = last[1] = -1
    if (g.stride % (<int64_t> 2 << s.bank_bit) == 0
            or g.value >> s.bank_bit == (g.value + g.stride * (g.n - 1)) >> s.bank_bit):
        b = bank_of(s, g.value)
        first[b], last[b] = 0, g.n - 1
        return
    for i in range(g.n):
        b = bank_of(s, g.value + i * g.stride)
        if first[b] < 0:
            first[b] = i
        last[b] = i


cdef int banks(State* s, int seg, int* last_seg, int64_t* last_elem) noexcept nogil:
    """The access before this one through the slice's other port, per bank.

    `last_*[2 * port + bank]`: the last so far. Ports that take turns within one burst, in one bank,
    are beyond this.
    """
    cdef Seg* g = seg_at(s, seg)
    cdef Seg* other
    cdef int64_t first[2]
    cdef int64_t last[2]
    cdef int b, port = g.queue & 1, at
    find_banks(s, g, first, last)
    for b in range(2):
        if first[b] < 0:
            continue
        at = 2 * (1 - port) + b
        if last_seg[at] >= 0:
            other = seg_at(s, last_seg[at])
            if cycle_of(other, last_elem[at]) >= cycle_of(g, first[b]):
                return give_up(s, "both ports of a slice take turns in one bank")
            g.bank_seg[b], g.bank_elem[b] = last_seg[at], last_elem[at]
        g.bank_first[b] = first[b]
        last_seg[2 * port + b], last_elem[2 * port + b] = seg, last[b]
    return 1


cdef int is_constant(Seg* g, Word* words, int slice_) noexcept nogil:
    """Whether no word that a segment reads is ever written by the program."""
    cdef int64_t i
    for i in range(g.n):
        if words != NULL and word_at(words, g.value + i * g.stride, slice_).writer >= 0:
            return 0
    return 1


cdef int memory(State* s, const int64_t* order, int64_t n, const int64_t* writes, uint64_t* written,
                uint64_t full) noexcept nogil:
    """All slices: `order` has the segments of MEM queues by slice, then time; `writes[slice]` > 0
    where any of them writes."""
    cdef int64_t i = 0, k, begun
    cdef int slice_
    cdef int last_seg[4]
    cdef int64_t last_elem[4]
    cdef Word* words = NULL
    cdef Seg* g
    while i < n and s.why == NULL:
        slice_, begun = seg_at(s, order[i]).queue >> 1, i
        for k in range(4):
            last_seg[k] = -1
        if writes[slice_]:
            if words == NULL:
                words = <Word*> malloc(s.words * sizeof(Word))
                if words == NULL:
                    return give_up(s, "memory")
                for k in range(s.words):
                    words[k].slice_ = -1
        while i < n and s.why == NULL:
            g = seg_at(s, order[i])
            if i + FORESIGHT < n:
                foresee(s, order[i + FORESIGHT])
            if g.queue >> 1 != slice_:
                break
            if s.ops[g.op].code == OP_READ:
                read_words(s, <int> order[i], words if writes[slice_] else NULL, written, slice_)
            elif s.ops[g.op].code == OP_WRITE:
                write_words(s, <int> order[i], words, written, full, slice_)
            else:
                i += 1
                continue
            if s.why == NULL and writes[slice_]:
                banks(s, <int> order[i], last_seg, last_elem)
            i += 1
        for k in range(begun, i):
            g = seg_at(s, order[k])
            if s.ops[g.op].code == OP_READ:
                g.constant = is_constant(g, words if writes[slice_] else NULL, slice_)
    free(words)
    return s.why == NULL
