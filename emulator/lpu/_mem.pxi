# MEM slices: read and gather on one port, write and scatter on the other.


cdef inline int slice_of(State* s, int op) noexcept nogil:
    return s.ops[op].queue >> 1


cdef inline int64_t word_number(State* s, int slice_, int64_t address) noexcept nogil:
    return slice_ * s.words + address


cdef void use_port(State* s, int op, int issue, uint64_t banks) noexcept nogil:
    """The op's port works on these banks (a bit per superlane) in this cycle."""
    cdef int port = s.ops[op].queue & 1, which = 0
    cdef Port* own = &s.ports[2 * slice_of(s, op) + port]
    cdef Port* other = &s.ports[2 * slice_of(s, op) + 1 - port]
    own.cycle, own.op, own.banks = s.now, op, banks
    if banks & s.full:
        which |= 2
    if ~banks & s.full:
        which |= 1
    (<IssueRow*> s.log.issues.data)[issue].banks = which
    if other.cycle == s.now and ~(own.banks ^ other.banks) & s.full:
        hazard(s, BANK_CONFLICT, op, other.op, -1, s.ops[op].column,
               __builtin_ctzll(~(own.banks ^ other.banks) & s.full), 0)


cdef inline uint64_t bank_bits(State* s, int64_t address) noexcept nogil:
    return s.full if address >> s.bank_bit & 1 else 0


cdef void do_read(State* s, int op, int issue, int64_t address) noexcept nogil:
    cdef int64_t at = word_number(s, slice_of(s, op), address)
    cdef Pending* p
    cdef uint64_t poison = s.full & ~s.written[at]
    use_port(s, op, issue, bank_bits(s, address))
    if poison == s.full:
        hazard(s, MEMORY_UNWRITTEN, op, -1, -1, s.ops[op].column, address, -1)
        poison = 0
    if s.writer[at]:
        log_use(s, issue, s.writer[at] - 1, 1)
    p = result_new(s, op, issue, s.now + s.ops[op].latency, 1, PLANES)
    p.poison = poison
    s.sram_read += 1
    if s.values:
        memcpy(buffer_of(s, p.buf), s.sram + at * s.lanes, s.lanes)


cdef int64_t map_address(State* s, int op, int64_t base, const uint8_t* low, const uint8_t* high, int tile) noexcept nogil:
    """base + the map's entry for a superlane; -1 and a hazard beyond the slice."""
    cdef int64_t address = base + low[tile * s.block] + 256 * high[tile * s.block]
    if address >= s.words:
        hazard(s, ADDRESS_RANGE, op, -1, -1, s.ops[op].column, address, tile)
        return -1
    return address


cdef void do_gather(State* s, int op, int issue, int64_t base) noexcept nogil:
    cdef const Op* o = &s.ops[op]
    cdef uint64_t poison = 0, banks = 0
    cdef const uint8_t* low = take(s, op, issue, o.a, o.expect_a, 0, &poison)
    cdef const uint8_t* high = take(s, op, issue, o.a, o.expect_a, 1, &poison)
    cdef Pending* p = result_new(s, op, issue, s.now + o.latency - o.skew, 1, PLANES)
    cdef uint8_t* out = buffer_of(s, p.buf)
    cdef int64_t address, at
    cdef int tile
    check_poison(s, op, o.a, poison)
    poison = 0
    for tile in range(s.superlanes):
        address = map_address(s, op, base, low, high, tile)
        if address < 0:
            memset(out + tile * s.block, 0, s.block)
            continue
        banks |= (<uint64_t> (address >> s.bank_bit & 1)) << tile
        at = word_number(s, slice_of(s, op), address)
        poison |= ~s.written[at] & (<uint64_t> 1 << tile)
        if s.writer[at]:
            log_use(s, issue, s.writer[at] - 1, 1)
        memcpy(out + tile * s.block, s.sram + at * s.lanes + tile * s.block, s.block)
    if poison == s.full:
        hazard(s, MEMORY_UNWRITTEN, op, -1, -1, o.column, base, 0)
        poison = 0
    p.poison = poison
    use_port(s, op, issue, banks)
    s.sram_read += 1


cdef void do_write(State* s, int op, int issue, int64_t address) noexcept nogil:
    """Take the stream now; the word is there after the cycle of landing."""
    cdef const Op* o = &s.ops[op]
    cdef uint64_t poison = 0
    cdef const uint8_t* data = take(s, op, issue, o.a, o.expect_a, 0, &poison)
    cdef int i = pending_new(s, LAND, s.now + o.latency - o.skew)
    cdef Pending* p = &s.pending[i]
    p.op, p.issue, p.value, p.poison, p.target = op, issue, address, poison, slice_of(s, op)
    if s.values:
        p.buf = buffer_new(s)
        memcpy(buffer_of(s, p.buf), data, s.lanes)
    s.sram_written += 1


cdef void do_scatter(State* s, int op, int issue, int64_t base) noexcept nogil:
    cdef const Op* o = &s.ops[op]
    cdef uint64_t poison = 0, banks = 0
    cdef const uint8_t* low = take(s, op, issue, o.b, o.expect_b, 0, &poison)
    cdef const uint8_t* high = take(s, op, issue, o.b, o.expect_b, 1, &poison)
    cdef const uint8_t* data
    cdef int tile, i = pending_new(s, LAND, s.now + o.latency - o.skew), buf = buffer_new(s)
    cdef int32_t* addresses = <int32_t*> (buffer_of(s, buf) + 2 * s.lanes)
    cdef Pending* p = &s.pending[i]
    check_poison(s, op, o.b, poison)
    poison = 0
    data = take(s, op, issue, o.a, o.expect_a, 0, &poison)
    for tile in range(s.superlanes):
        addresses[tile] = <int32_t> map_address(s, op, base, low, high, tile)
        if addresses[tile] >= 0:
            banks |= (<uint64_t> (addresses[tile] >> s.bank_bit & 1)) << tile
    memcpy(buffer_of(s, buf), data, s.lanes)
    p.op, p.issue, p.poison, p.target, p.buf = op, issue, poison, slice_of(s, op), buf
    use_port(s, op, issue, banks)
    s.sram_written += 1


cdef void land(State* s, Pending* p) noexcept nogil:
    """A written vector is in SRAM."""
    cdef int64_t at
    cdef int tile
    cdef uint64_t bit
    cdef const uint8_t* data = buffer_of(s, p.buf) if p.buf >= 0 else s.zeros
    cdef const int32_t* addresses
    if s.ops[p.op].code == OP_WRITE:
        at = word_number(s, p.target, p.value)
        s.written[at] = s.full & ~p.poison
        s.writer[at] = p.issue + 1
        if s.values:
            memcpy(s.sram + at * s.lanes, data, s.lanes)
        return
    addresses = <const int32_t*> (data + 2 * s.lanes)
    for tile in range(s.superlanes):
        if addresses[tile] < 0:
            continue
        bit = <uint64_t> 1 << tile
        at = word_number(s, p.target, addresses[tile])
        s.written[at] = (s.written[at] & ~bit) | (bit & ~p.poison)
        s.writer[at] = p.issue + 1
        memcpy(s.sram + at * s.lanes + tile * s.block, data + tile * s.block, s.block)
