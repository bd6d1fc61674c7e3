# What happened, for the accounts: growing arrays of plain rows.

cdef struct Log:
    Vector issues, uses, values, bursts, syncs


cdef int log_issue(State* s, int op, int banks) noexcept nogil:
    cdef IssueRow* row = <IssueRow*> vector_add(&s.log.issues)
    if row == NULL or s.log.issues.count > 0x7fffffff:
        s.failed = 1
        return 0
    row.cycle, row.op, row.banks = s.now, op, banks
    return <int> (s.log.issues.count - 1)


cdef void log_use(State* s, int consumer, int producer, int memory) noexcept nogil:
    cdef Vector* v = &s.log.uses
    cdef UseRow* row
    if v.count:  # the planes of one value and the lanes of one vector come from one producer
        row = <UseRow*> v.data + v.count - 1
        if row.consumer == consumer and row.producer == producer and row.memory == memory:
            return
    row = <UseRow*> vector_add(v)
    if row == NULL:
        s.failed = 1
        return
    row.consumer, row.producer, row.memory = consumer, producer, memory


cdef int log_value(State* s, int issue, int stream, int64_t diagonal, int column) noexcept nogil:
    cdef ValueRow* row = <ValueRow*> vector_add(&s.log.values)
    if row == NULL:
        s.failed = 1
        return 0
    row.diagonal, row.issue, row.stream = diagonal, issue, stream
    row.column = row.last = column
    row.pad = 0
    return <int> (s.log.values.count - 1)
