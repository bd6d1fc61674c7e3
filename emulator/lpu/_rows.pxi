# Rows that Python sees as numpy records: the program's, and those of the log of a run.

# One instruction with its repetitions. Field for field the numpy dtype prepare.OP.
cdef struct Op:
    int64_t wait, n, d, n2, d2, stride, stride2, value
    int code, queue, column, section, word, type, to, dst, a, b, c, width
    int sat, start, emit, wrap, rows, lanes, hold, skew, latency, planes
    int expect_a, expect_b, expect_c, entries

cdef struct IssueRow:
    int64_t cycle
    int op
    int banks            # bit 0, 1: banks of the SRAM port used

# An operand: issue `consumer` used what issue `producer` made, through a stream, a chain or SRAM.
cdef struct UseRow:
    int consumer, producer
    int memory

# A value on a stream, from the column that drove it to its last reader's.
cdef struct ValueRow:
    int64_t diagonal
    int issue
    short stream, column, last, pad

cdef struct BurstRow:
    int64_t cycle, count, interval
    int op, hold

cdef struct SyncRow:
    int64_t parked, resumed
    int queue, op
