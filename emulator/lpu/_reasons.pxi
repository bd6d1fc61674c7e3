# Why a queue waited. In this order ties go to the first.
cdef enum:
    OPERAND, STREAM, BANK, UNIT, WEIGHTS, SYNC, SCHEDULE, REASON_COUNT

cdef int64_t NEVER = -(<int64_t> 1 << 60)
