# The whole state of a run: plain C structs and arrays, nothing of Python in them.

cdef enum:
    EXECUTE = 0  # kinds of pending work, in the order in which a cycle does them
    DRIVE = 1
    LAND = 2
    KINDS = 3

cdef enum Layout:
    CODES = 0   # a buffer holds elements side by side (VXM, MXM)
    PLANES = 1  # a buffer holds byte planes one after another (MEM, SXM)

cdef struct Queue:
    int op, end          # next instruction, one past the last
    int64_t i, j         # repetition and group that issue next
    int64_t start        # cycle of the first issue of this group
    int parked           # in sync

# A stream register's content; its bytes are at State.slot_data.
cdef struct Slot:
    int64_t diagonal     # which value: cycle -/+ column; only valid with `issue` >= 0
    int64_t cycle        # when it was driven
    int issue, op
    int value            # number in the value log
    int seen             # somebody has read it
    int column
    uint64_t poison      # a bit per superlane without a defined value

# An instruction on its way: operands to take, a result to drive, a word to land.
cdef struct Pending:
    int next
    int op, issue
    int step             # cycle of a multi-cycle instruction
    int buf              # buffer number or -1
    int width            # streams of the result
    int layout
    int seen             # a chained operand has taken it
    int target           # LAND: slice, or queue of a map
    int64_t value        # strided operand of this repetition
    uint64_t poison

# The last use of one port of a slice.
cdef struct Port:
    int64_t cycle
    int op
    uint64_t banks       # a bit per superlane: the bank

# One weight buffer of a plane. Bytes as they came: low byte and, 16-bit types, high byte plane.
cdef struct Weights:
    int type             # -1: never loaded
    int planes           # 2: both planes of a pair
    int follower         # this is the second plane of a pair of type `type`
    int rows, lanes      # of the last load
    int fresh            # loaded since the last install
    int64_t complete     # first cycle in which it may be installed; far future while loading
    int scaled           # scales have come
    int decoded          # `values` holds them
    int op               # the load
    uint8_t* raw         # [lanes][2 * lanes]
    uint8_t* scales      # [blocks][lanes]
    double* values       # [k][n], n padded to a multiple of 4
    int ld

cdef struct Plane:
    Weights buffers[2]
    int active
    int64_t installed    # cycle of the last iw, or far past
    int install_op
    int install_issue
    int64_t weights_end, mm_end, mm_start   # use of the two queues, partner's included
    int weights_op, mm_op
    int32_t* acc         # [acc_rows][lanes], float or int bits
    int8_t* acc_type     # 0 never started, 1 fp32, 2 int32

# The running operation of one ALU and its result of the cycle.
cdef struct Alu:
    int running          # type + 1, 0 = never started
    uint32_t* acc

cdef struct Chained:
    int64_t cycle
    int pending

cdef struct Map:
    int64_t ready        # first cycle in which permute may use it; FAR_PAST: never loaded
    int op
    uint16_t* lanes

cdef struct HazardRow:
    int kind, op, other, stream, column, error
    int64_t cycle, count, x, y

cdef struct State:
    # chip
    int lanes, pitch, superlanes, columns, alus, planes, acc_rows, slices, ops_per_side
    int first_vxm, first_mxm, first_sxm, queues
    int64_t words
    int bank_bit, sync_latency, iw_latency, block
    uint64_t full        # a bit per superlane
    int values           # 0: timing only
    int warn
    int by_model[2]      # sums of floats, of integers are `sums`' business
    void* sums           # models.PlaneSums
    # program
    const Op* ops
    const int8_t* entries
    const int* expect_operands
    const int* expect_streams
    const int* expect_producers
    # time
    int64_t now, last
    int phase            # now mod columns: which slot is where
    int ring, ring_words, queue_words
    int* head            # [KINDS][ring]
    int* tail
    uint64_t* due        # [ring][queue_words]
    uint64_t* busy       # [ring / 64]: cycles in which anything is due
    int64_t* far_time    # heap of issues beyond the ring
    int* far_queue
    int far
    Queue* queue
    int notify
    int64_t steps
    # pools
    Pending* pending
    int pending_capacity, pending_free
    uint8_t* buffers     # [n][buffer_bytes]
    int64_t buffer_bytes
    int* buffer_next
    int buffer_capacity, buffer_free
    # streams
    Slot* slots          # [2][32][columns]
    uint8_t* slot_data
    # memory
    uint8_t* sram
    uint64_t* written    # per word: superlanes that hold something
    int* writer          # per word: issue + 1 of its writer, 0 = the host
    Port* ports          # [slices][2]
    # units
    Alu* alu
    Chained* chained     # [alus][ring]
    Plane* plane
    Map* maps            # per SXM queue
    # scratch
    uint8_t* zeros
    uint8_t* operand[3]  # 4 bytes a lane
    uint8_t* result
    double* x
    double* products     # 2 x lanes
    float* row
    # hazards
    HazardRow* hazards
    int* hazard_index    # open addressing, -1 = empty
    int hazard_count, hazard_capacity
    int errors
    int failed           # out of memory
    # log
    Log log
    # totals
    int64_t sram_read, sram_written, stream_taken, stream_driven, fed
    int64_t first_lw, last_lw, first_mm, last_mm


cdef int64_t FAR_PAST = -(<int64_t> 1 << 60)
cdef int64_t FAR_FUTURE = <int64_t> 1 << 60


cdef inline uint8_t* buffer_of(State* s, int buf) noexcept nogil:
    return s.buffers + buf * s.buffer_bytes
