# HBM command by command: what the model of _hbm.pxi is held against. Part of _system.pyx.
#
# A channel sees at most `queue` accesses to sectors for reads and as many for writes. It issues what
# can go first: columns of open rows, the oldest first, and meanwhile precharges and activates for
# the oldest access of every bank whose open row nobody waits for. Reads go first; once the writes
# fill three quarters of their queue (half of it, while there are no reads), half a queue is drained,
# and then half a queue of reads comes first, if there are so many. Refreshes take the
# last `rfc` of every `refi` and close all rows. Commands of rows and columns have buses of their own
# and take no time on them.

cdef struct Entry:              # one sector or a part of it
    double arrival
    int64_t row
    int32_t bank
    int32_t group
    int32_t bursts          # still to go
    int32_t request

cdef struct Queue:
    Entry* items                # ring
    int32_t head
    int32_t count
    int32_t size

cdef struct RefereeBank:
    int64_t row
    double act
    double read                 # last read command, last write command
    double write
    double open_                # when its row may be read

cdef struct Referee:
    Queue[2] queues             # reads, writes
    RefereeBank[BANKS_MOST] banks
    double[GROUPS_MOST] group_column
    double[GROUPS_MOST] group_write
    double[GROUPS_MOST] group_act
    double[4] acts              # the last four
    int64_t act_count
    double column               # last column command of any kind
    double read
    double write
    double now
    double refresh              # begin of the next one
    int32_t draining
    int32_t served          # accesses since it began or ended
    int32_t wrote               # the last column was a write


cdef inline Entry* queued(Queue* q, int i) noexcept nogil:
    return &q.items[(q.head + i) % q.size]


cdef void dequeue(Queue* q, int i) noexcept nogil:
    """Take entry i out; the others keep their order."""
    while i > 0:
        queued(q, i)[0] = queued(q, i - 1)[0]
        i -= 1
    q.head = (q.head + 1) % q.size
    q.count -= 1


cdef double column_time(const Timing* t, Referee* r, const Entry* e, bint write) noexcept nogil:
    """When the next burst of an access to an open row can be asked for."""
    cdef const RefereeBank* b = &r.banks[e.bank]
    cdef double at = max(r.now, max(r.column + t.burst, r.group_column[e.group] + t.ccd_l))
    if write:
        return max(at, max(b.act + t.rcd_write, r.read + t.rtw))
    at = max(at, max(b.act + t.rcd_read, r.write + t.cwl + t.burst + t.wtr_s))
    return max(at, r.group_write[e.group] + t.cwl + t.burst + t.wtr_l)


cdef double row_time(const Timing* t, Referee* r, const Entry* e) noexcept nogil:
    """When the row of an access can be activated, its bank precharged before if need be."""
    cdef const RefereeBank* b = &r.banks[e.bank]
    cdef double at = max(r.now, max(b.act + t.rc, e.arrival))
    at = max(at, max(r.acts[r.act_count & 3] + t.faw, r.acts[(r.act_count + 3) & 3] + t.rrd_s))
    at = max(at, r.group_act[e.group] + t.rrd_l)
    if b.row >= 0:
        at = max(at, max(max(b.act + t.ras, e.arrival), max(
            b.read + t.rtp, b.write + t.cwl + t.burst + t.wr)) + t.rp)
    return at


cdef int best_column(const Timing* t, Referee* r, bint write, double* when) noexcept nogil:
    """The access of a queue whose column can go first, the oldest of equals; -1 if none can."""
    cdef int i, best = -1
    cdef double at
    cdef const Entry* e
    for i in range(r.queues[write].count):
        e = queued(&r.queues[write], i)
        if r.banks[e.bank].row == e.row:
            at = column_time(t, r, e, write)
            if best < 0 or at < when[0]:
                best, when[0] = i, at
    return best


cdef Entry* best_row(const Timing* t, Referee* r, double* when) noexcept nogil:
    """The access whose row can be activated first. NULL: no row must be.

    The queue that is being served comes first. Writes prepare while they gather, from half a queue
    on.
    """
    cdef uint64_t seen = 0, bit      # banks that keep their row, or that an older access has claimed
    cdef int turn, i, write = r.draining
    cdef double at
    cdef Entry* best = NULL
    cdef Entry* e
    for turn in range(2):
        if not write or r.draining or 2 * r.queues[1].count >= r.queues[1].size:
            for i in range(r.queues[write].count):
                e = queued(&r.queues[write], i)
                if r.banks[e.bank].row == e.row:
                    seen |= (<uint64_t> 1) << e.bank
            for i in range(r.queues[write].count):
                e = queued(&r.queues[write], i)
                bit = (<uint64_t> 1) << e.bank
                if seen & bit:
                    continue
                seen |= bit
                at = row_time(t, r, e)
                if best == NULL or at < when[0]:
                    best, when[0] = e, at
        write = 1 - write
    return best


cdef bint past_refresh(const Timing* t, Referee* r, double time) noexcept nogil:
    """Whether nothing more happens before the next refresh, which then is done."""
    cdef int i
    if time < r.refresh:
        return False
    r.now = max(r.now, r.refresh + t.rfc)
    for i in range(BANKS_MOST):
        r.banks[i].row = -1
        r.banks[i].act = min(r.banks[i].act, r.refresh + t.rfc - t.rc)
    while r.refresh < r.now:
        r.refresh += t.refi
    return True


cdef void issue_column(
    const Timing* t, Referee* r, int i, bint write, double at, double* ends) noexcept nogil:
    cdef Queue* q = &r.queues[write]
    cdef Entry* e = queued(q, i)
    cdef RefereeBank* b = &r.banks[e.bank]
    r.now = r.column = r.group_column[e.group] = at
    r.wrote = write
    if write:
        r.write = r.group_write[e.group] = b.write = at
    else:
        r.read = b.read = at
    e.bursts -= 1
    if not e.bursts:
        at += (t.cwl if write else t.cl) + t.burst
        ends[e.request] = max(ends[e.request], at)
        r.served += 1
        dequeue(q, i)


cdef void issue_row(Referee* r, const Entry* e, double at) noexcept nogil:
    cdef RefereeBank* b = &r.banks[e.bank]
    r.now = b.act = r.group_act[e.group] = r.acts[r.act_count & 3] = at
    r.act_count += 1
    b.row = e.row


cdef void referee_step(
    const Timing* t, Referee* r, double next_, bint last, double* ends) noexcept nogil:
    """The next command, or up to the next arrival where that comes first; `last`: no read comes."""
    cdef double read_at = INFINITY, write_at = INFINITY, row_at = INFINITY, at
    cdef Queue* reads = &r.queues[0]
    cdef Queue* writes = &r.queues[1]
    cdef int read, write = -1
    cdef Entry* row
    if r.draining:
        if not writes.count or (reads.count and 2 * r.served >= writes.size):
            r.draining, r.served = 0, 0
    elif (4 * writes.count >= 3 * writes.size and 2 * r.served >= reads.size) or (
            not reads.count and (2 * writes.count >= writes.size or last)):
        r.draining, r.served = writes.count > 0, 0
    read = best_column(t, r, False, &read_at)
    if r.draining:
        write = best_column(t, r, True, &write_at)
        # Reads go on until the first row of a write is open.
        if write >= 0 and (r.wrote or write_at <= read_at + t.rtw):
            read, read_at = -1, INFINITY
        elif r.wrote:
            read, read_at = -1, INFINITY
        else:
            write, write_at = -1, INFINITY
    row = best_row(t, r, &row_at)
    at = min(min(read_at, write_at), row_at)
    if next_ < at:
        r.now = max(r.now, next_)
    elif past_refresh(t, r, at):
        return
    elif write >= 0 and write_at == at:
        issue_column(t, r, write, True, at, ends)
    elif read >= 0 and read_at == at:
        issue_column(t, r, read, False, at, ends)
    elif row != NULL:
        issue_row(r, row, at)


cdef void referee_start(const Timing* t, Referee* r) noexcept nogil:
    """Nothing has happened yet, and no row is open."""
    cdef int i
    cdef double long_ago = -1e9
    for i in range(BANKS_MOST):
        r.banks[i].row = -1
        r.banks[i].act = r.banks[i].read = r.banks[i].write = long_ago
    for i in range(GROUPS_MOST):
        r.group_column[i] = r.group_write[i] = r.group_act[i] = long_ago
    for i in range(4):
        r.acts[i] = long_ago
    r.column = r.read = r.write = long_ago
    r.act_count = r.now = r.draining = r.served = r.wrote = 0
    r.refresh = t.refi - t.rfc
    for i in range(2):
        r.queues[i].head = r.queues[i].count = 0


cdef void referee_channel(
    const Timing* t, Referee* r, Entry* reads, int64_t read_count, Entry* writes,
    int64_t write_count, double* ends) noexcept nogil:
    """All accesses of one channel, each list in order of arrival; `ends` by request."""
    cdef Entry* lists[2]
    cdef int64_t[2] next_, counts
    cdef double arrival
    cdef Queue* q
    cdef int i
    lists[0], lists[1], counts[0], counts[1] = reads, writes, read_count, write_count
    next_[0] = next_[1] = 0
    referee_start(t, r)
    while True:
        arrival = INFINITY
        for i in range(2):
            q = &r.queues[i]
            while next_[i] < counts[i] and q.count < q.size and (
                    lists[i][next_[i]].arrival <= r.now):
                q.items[(q.head + q.count) % q.size] = lists[i][next_[i]]
                q.count += 1
                next_[i] += 1
            if next_[i] < counts[i] and q.count < q.size:
                arrival = min(arrival, lists[i][next_[i]].arrival)
        if not r.queues[0].count and not r.queues[1].count and arrival == INFINITY:
            return
        referee_step(t, r, arrival, next_[0] == counts[0], ends)
