# Accounting: every cycle of every pipe has one reason. Part of _engine.pyx.
#
# A pipe's past is a sequence of segments, each busy or waiting for a root cause. Who waited for a
# pipe from t0 to t1 is charged with that pipe's segments: with its name where it was busy, else with
# what it waited for itself. So a cube that waits for MTE1, which waits for MTE2, which waits for HBM,
# has lost those cycles to HBM.
#
# A pipe that memory starves works in memory's shadow: had its input come sooner, its work would have
# been done sooner. So each cycle that it waited for memory lets others charge one of its busy cycles
# to memory too, until it waits for those who use its results (then it is ahead, not behind). Its own
# account does not change by that.

cdef void note(Pipe* p, int64_t until, int reason) noexcept nogil:
    """The pipe's next segment, as others see it."""
    cdef Segment* last = &p.log[(p.logged + SEGMENTS - 1) % SEGMENTS]
    if until <= p.noted:
        return
    if p.logged and last.reason == reason:
        last.end = until
    else:
        last = &p.log[p.logged % SEGMENTS]
        last.start, last.end, last.reason = p.noted, until, reason
        p.logged += 1
    p.noted = until


cdef void account(Pipe* p, int64_t until, int reason) noexcept nogil:
    """The pipe's time from where its account ends to `until` went to `reason`."""
    cdef int64_t span = until - p.accounted, shaded
    if span <= 0:
        return
    if reason == R_BUSY:
        p.busy += span
        shaded = min(p.starved, span)
        p.starved -= shaded
        note(p, p.accounted + shaded, p.starved_by)
    elif reason == R_IDLE:
        p.idle += span
    else:
        p.waits[reason] += span
        if reason == R_HBM or reason == R_L2:
            p.starved += span
            p.starved_by = reason
        elif reason == R_CUBE or reason == R_FIX or reason == R_VECTOR:
            p.starved = 0
    note(p, until, reason)
    p.accounted = until


cdef void charge(Pipe* p, int64_t until, const Pipe* cause) noexcept nogil:
    """The pipe waited for `cause` up to `until`: put its segments on the account."""
    cdef int64_t oldest = cause.logged - SEGMENTS if cause.logged > SEGMENTS else 0
    cdef int64_t i = cause.logged, middle
    cdef const Segment* s
    cdef int reason
    if until <= p.accounted or p == cause:
        account(p, until, cause.name)
        return
    while oldest < i:   # segments end one after another
        middle = (oldest + i) >> 1
        if cause.log[middle % SEGMENTS].end > p.accounted:
            i = middle
        else:
            oldest = middle + 1
    while i < cause.logged and p.accounted < until:
        s = &cause.log[i % SEGMENTS]
        if s.start > p.accounted:
            account(p, min(s.start, until), cause.name)
        reason = cause.name if s.reason == R_BUSY else R_SCALAR if s.reason == R_IDLE else s.reason
        account(p, min(s.end, until), reason)
        i += 1
    # What the cause has issued but not completed.
    account(p, until, cause.tail)
