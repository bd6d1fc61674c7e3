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
    if until <= p.noted:
        return
    if p.reason != reason:
        if p.reason >= 0:
            p.log[p.logged & (SEGMENTS - 1)] = p.noted << 4 | p.reason
            p.logged += 1
        p.begun, p.reason = p.noted, reason
    p.noted = until


cdef inline void account(Pipe* p, int64_t until, int reason) noexcept nogil:
    """The pipe's time from where its account ends to `until` went to `reason`."""
    if until > p.accounted:
        add_to_account(p, until, reason)


cdef void add_to_account(Pipe* p, int64_t until, int reason) noexcept nogil:
    cdef int64_t span = until - p.accounted, shaded
    if __builtin_expect(p.watch != NULL, 0):
        witness(p.watch, p.accounted, until, p.place, p.current, reason)
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


cdef inline int64_t segment_end(const Pipe* p, int64_t i) noexcept nogil:
    return p.log[i & (SEGMENTS - 1)] >> 4


cdef inline int blamed(const Pipe* p, int64_t reason) noexcept nogil:
    """What who waits for a pipe is charged with, by what the pipe did."""
    return p.name if reason == R_BUSY else R_SCALAR if reason == R_IDLE else <int> reason


cdef void charge_closed(Pipe* p, int64_t until, const Pipe* cause) noexcept nogil:
    """The part of `charge` that lies before the cause's open segment."""
    cdef int64_t i = cause.logged - SEGMENTS + 1 if cause.logged >= SEGMENTS else 0
    cdef int64_t end = cause.logged, step = 4, middle
    # The first that ends later than the account: mostly one of the last.
    while end - step > i and segment_end(cause, end - step) > p.accounted:
        end -= step
        step += step
    i = max(i, end - step)
    while i < end:
        middle = (i + end) >> 1
        if segment_end(cause, middle) > p.accounted:
            end = middle
        else:
            i = middle + 1
    if i:               # what lies before the log is lost
        account(p, min(segment_end(cause, i - 1), until), cause.name)
    while i < cause.logged and p.accounted < until:
        account(p, min(segment_end(cause, i), until),
                blamed(cause, cause.log[i & (SEGMENTS - 1)] & 15))
        i += 1


cdef void charge(Pipe* p, int64_t until, const Pipe* cause) noexcept nogil:
    """The pipe waited for `cause` up to `until`: put its segments on the account."""
    if until <= p.accounted or p == cause:
        account(p, until, cause.name)
        return
    if cause.reason >= 0:
        if cause.begun > p.accounted:
            charge_closed(p, until, cause)
        account(p, min(cause.noted, until), blamed(cause, cause.reason))
    # What the cause has issued but not completed.
    account(p, until, cause.tail)
