# Hazards: equal ones are merged into one row with a count. Texts are made in hazards.py.

cpdef enum HazardKind:
    OPERAND_MISSING = 0
    CHAIN_MISSING
    CHAIN_WIDTH
    REGISTER_COLLISION
    ALU_COLLISION
    BANK_CONFLICT
    WEIGHTS_IN_USE
    WEIGHTS_EARLY
    WEIGHTS_INCOMPLETE
    WEIGHTS_SCALES
    WEIGHTS_TYPE
    WEIGHTS_NONE
    WEIGHTS_PAIR
    MEMORY_UNWRITTEN
    ACCUMULATOR_UNSTARTED
    RUNNING_UNSTARTED
    POISON
    OTHER_PRODUCER
    PARTNER_BUSY
    MAP_MISSING
    MAP_EARLY
    ADDRESS_RANGE
    DEADLOCK
    OVERWRITTEN
    UNCONSUMED
    ACCUMULATOR_TYPE


cdef int hazard_bucket(State* s, int kind, int op, int other, int stream) noexcept nogil:
    cdef uint64_t h = <uint64_t> (kind + 1) * 0x9E3779B97F4A7C15u
    h = (h ^ <uint64_t> (op + 1)) * 0xBF58476D1CE4E5B9u
    h = (h ^ <uint64_t> (other + 1) ^ h >> 29) * 0x94D049BB133111EBu
    h = (h ^ <uint64_t> (stream + 1) ^ h >> 31) * 0x9E3779B97F4A7C15u
    return <int> (h >> 33) & (2 * s.hazard_capacity - 1)


cdef int hazard_grow(State* s) noexcept nogil:
    cdef int i, at, capacity = 2 * s.hazard_capacity
    cdef HazardRow* row
    cdef HazardRow* rows = <HazardRow*> realloc(s.hazards, capacity * sizeof(HazardRow))
    if rows != NULL:
        s.hazards = rows
    cdef int* index = <int*> malloc(2 * capacity * sizeof(int))
    if rows == NULL or index == NULL:
        free(index)
        s.failed = 1
        return 0
    free(s.hazard_index)
    s.hazard_index, s.hazard_capacity = index, capacity
    for i in range(2 * capacity):
        index[i] = -1
    for i in range(s.hazard_count):
        row = &rows[i]
        at = hazard_bucket(s, row.kind, row.op, row.other, row.stream)
        while index[at] >= 0:
            at = (at + 1) & (2 * capacity - 1)
        index[at] = i
    return 1


cdef void hazard(
        State* s, int kind, int op, int other, int stream, int column, int64_t x, int64_t y) noexcept nogil:
    """Record a fault of instruction `op`. `stream`: raw stream or ALU, -1 = none."""
    cdef HazardRow* row
    cdef int at, error = kind != OVERWRITTEN and kind != UNCONSUMED
    s.errors += error
    if s.hazard_count == s.hazard_capacity and not hazard_grow(s):
        return
    at = hazard_bucket(s, kind, op, other, stream)
    while s.hazard_index[at] >= 0:
        row = &s.hazards[s.hazard_index[at]]
        if row.kind == kind and row.op == op and row.other == other and row.stream == stream:
            row.count += 1
            return
        at = (at + 1) & (2 * s.hazard_capacity - 1)
    s.hazard_index[at] = s.hazard_count
    row = &s.hazards[s.hazard_count]
    s.hazard_count += 1
    row.kind, row.op, row.other, row.stream, row.column = kind, op, other, stream, column
    row.error, row.cycle, row.count, row.x, row.y = error, s.now, 1, x, y
