# What both engines do alike with their `State`.


cdef int expected(State* s, int expect, int k, int producer) noexcept nogil:
    """Whether op `producer` is among those meant for stream k of an operand."""
    cdef int low, high, middle
    if k >= s.expect_operands[2 * expect + 1]:
        return 1
    low = s.expect_streams[2 * (s.expect_operands[2 * expect] + k)]
    high = low + s.expect_streams[2 * (s.expect_operands[2 * expect] + k) + 1]
    if low == high:
        return 1
    while high - low > 1:
        middle = (low + high) >> 1
        if s.expect_producers[middle] <= producer:
            low = middle
        else:
            high = middle
    return s.expect_producers[low] == producer


cdef dict totals_of(State* s):
    """Vectors moved and cycles of note."""
    return {
        "sram_read": s.sram_read, "sram_written": s.sram_written,
        "stream_taken": s.stream_taken, "stream_driven": s.stream_driven, "fed": s.fed,
        "first_lw": s.first_lw, "last_lw": s.last_lw,
        "first_mm": s.first_mm, "last_mm": s.last_mm,
    }
