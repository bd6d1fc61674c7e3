# HBM as resources with a backlog each. Part of _system.pyx.
#
# A piece of a row (at most `chunk` bytes, all in one row of one bank) needs its bank, an activate if
# another row is open, its bank group and the channel's bus. Each of them serves in order of arrival
# and never idles while it has work; the piece is there when the last of them is done. That is what
# a controller with a queue to choose from achieves: while one bank prepares, another one uses the
# bus. _referee.pxi, which issues every command, says how well that holds.
#
# Refreshes stop all channels at once, the last `rfc` of every `refi`. They are left out of the time
# in which backlogs are kept: `working` and `elapsed` convert.

cdef inline double whole_part(double x) noexcept nogil:
    """floor(x) of what is not negative: a conversion, where not every CPU has an instruction."""
    return <double> <int64_t> x


cdef inline double working(const Timing* t, double time) noexcept nogil:
    """Time without refreshes, of a time with them."""
    cdef double whole = whole_part(time / t.refi), open_ = t.refi - t.rfc
    return whole * open_ + min(time - whole * t.refi, open_)


cdef inline double elapsed(Timing* t, double time) noexcept nogil:
    """Time with refreshes, of a time without them."""
    cdef double open_ = t.refi - t.rfc, whole
    if t.open_from <= time < t.open_until:
        return time + t.refreshed
    # Remember how many there were, for times that no rounding of the quotient moves elsewhere.
    whole = whole_part(time / open_)
    t.open_from, t.open_until = whole * open_ * (1 + 1e-9), (whole + 1) * open_ * (1 - 1e-9)
    t.refreshed = whole * t.rfc
    return time + t.refreshed


cdef inline Spot locate(const Map* p, uint64_t address) noexcept nogil:
    """Channel, bank group, bank and row of a byte.

    Units of `interleave` go round the channels, `group_bytes` of a channel round its bank groups,
    rows of all groups together round the banks. With `hash`, each round begins at another place, by
    the digits of its number, so that strides which are powers of two spread.
    """
    cdef Spot s
    cdef uint64_t unit = address >> p.interleave_bits, round_, turn, index, offset, piece, block
    cdef uint64_t groups = (<uint64_t> 1) << p.group_bits, banks = (<uint64_t> 1) << p.bank_bits
    cdef uint64_t channels = <uint64_t> p.channels
    if p.channel_bits >= 0:
        round_ = unit >> p.channel_bits
        index = unit & (channels - 1)
    else:
        round_ = unit // channels
        index = unit - round_ * channels
    offset = (round_ << p.interleave_bits) + (address & (((<uint64_t> 1) << p.interleave_bits) - 1))
    piece = offset >> p.group_shift
    block = offset >> p.block_bits
    if p.hashed:
        if p.channel_bits > 0:
            turn = round_ + (round_ >> p.channel_bits) + (round_ >> 2 * p.channel_bits)
            index = (index + turn) & (channels - 1)
        elif p.channel_bits < 0:
            turn = round_ + round_ // channels + round_ // (channels * channels)
            index = (index + turn) % channels
        piece += block + (block >> p.group_bits)
    s.channel = <int32_t> index
    s.group = <int32_t> (piece & (groups - 1))
    s.row = <int64_t> (block >> p.bank_bits)
    if p.hashed:
        block += (block >> p.bank_bits) + (block >> 2 * p.bank_bits)
    s.bank = s.group * <int32_t> banks + <int32_t> (block & (banks - 1))
    return s


cdef inline double column_of(
    const Timing* t, Channel* c, const Spot* s, double time, double rcd, double gap) noexcept nogil:
    """When the row of a piece that came at `time` is open for its columns."""
    cdef Bank* b = &c.banks[s.bank]
    if b.row != s.row:
        b.act = max(max(time + (t.rp if b.row >= 0 else 0), b.ready), c.acts)
        b.ready = b.act + t.rc
        b.row = s.row
        c.acts = max(c.acts, time) + gap
    return max(time, b.act + rcd)


cdef inline double columns_end(
    const Timing* t, Channel* c, const Spot* s, double column, double end, int bursts) noexcept nogil:
    """End of the last column: of the bus, the group and the bank the last to be done."""
    return max(max(end, c.group[s.group] - t.ccd_l + t.burst),
               column + (bursts - 1) * t.ccd_l + t.burst)


cdef double read_piece(Memory* m, uint64_t address, int bursts, double time) noexcept nogil:
    """End of the data of `bursts` bursts that reach the channel at `time`; both without refreshes."""
    cdef const Timing* t = &m.t
    cdef Spot s = locate(&m.map, address)
    cdef Channel* c = &m.channels[s.channel]
    cdef Bank* b = &c.banks[s.bank]
    cdef double column = column_of(t, c, &s, time, t.rcd_read, m.act_gap), end
    c.bus = max(c.bus, time) + bursts * t.burst
    c.group[s.group] = max(c.group[s.group], time) + bursts * t.ccd_l
    end = columns_end(t, c, &s, column, c.bus, bursts)
    b.ready = max(b.ready, end - t.burst + t.rtp + t.rp)
    c.read_end = max(c.read_end, end)
    c.reads += 1
    return end + t.cl


cdef void drain(Memory* m, Channel* c) noexcept nogil:
    """Write what the channel has gathered; the bus turns round once if reads came before."""
    cdef const Timing* t = &m.t
    cdef const Write* w
    cdef Bank* b
    cdef int i
    cdef double start = max(c.bus, m.now), column, end
    if c.reads:
        # What the last read before the turn waits for its row, the others cover as far as they go.
        start += max(c.read_end - start, 0) * min(2.0 / c.reads, 1) + m.turn
    c.bus = start
    for i in range(c.writes):
        w = &c.waiting[i]
        b = &c.banks[w.spot.bank]
        column = max(column_of(t, c, &w.spot, m.now, t.rcd_write, m.act_gap), start)
        c.bus += w.bursts * t.burst
        c.group[w.spot.group] = max(c.group[w.spot.group], start) + w.bursts * t.ccd_l
        end = columns_end(t, c, &w.spot, column, c.bus, w.bursts)
        b.ready = max(b.ready, end + t.cwl + t.wr + t.rp)
        m.drained = max(m.drained, end)
    c.writes, c.sectors, c.reads = 0, 0, 0


cdef void write_piece(Memory* m, uint64_t address, int bursts) noexcept nogil:
    """A piece to be written; a channel gathers them and writes half a queue at once."""
    cdef Spot s = locate(&m.map, address)
    cdef Channel* c = &m.channels[s.channel]
    c.waiting[c.writes].spot, c.waiting[c.writes].bursts = s, bursts
    c.writes += 1
    c.sectors += (bursts + BURSTS - 1) // BURSTS
    if 2 * c.sectors >= m.queue:
        drain(m, c)
