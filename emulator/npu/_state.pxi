# State of the machine: plain C structs, allocated once per run. Part of _engine.pyx.
#
# A *sub-core* (`Sub`) has a scalar unit and pipes; each of them is a `Pipe` with its account of time.
# Slots number the pipes of one core (cube first, then the vectors) for the race detector's clocks.

include "_opcodes.pxi"

cdef inline int64_t up_to(double time) noexcept nogil:
    """The next whole number; ceil is a call where the CPU need not have SSE 4."""
    cdef int64_t whole = <int64_t> time
    return whole + (<double> whole < time)


cdef enum:
    PIPES = 7           # scalar, mte1, mte2, mte3, m, fix, v
    BARRIER_ALL = 7
    EVENTS = 8          # flags per pipe pair
    COUNTED = 11        # counted flags of a sub-core
    COUNT_MOST = 15     # where a counted flag saturates
    SLOTS = 16          # 1 cube x 5 pipes + 2 vectors x 4 pipes, rounded up
    CAPTURED = 17       # operand registers that a dispatched instruction takes along
    SEGMENTS = 1024     # of a pipe's recent past that others may be charged with, the open one too
    SPACES = 9          # gm, ub, l1, l0a, l0b, l0c, l0as, l0bs, bias
    PORTS_MOST = 8
    REGIONS = 4         # of L0C between M and FIX
    MOST_FAULTS = 64
    SIGNALS = 64        # flags of a pipe that wait for its results to be there
    REQUESTS = 256      # of a pipe to the memory system that are under way, at most
    FLIGHTS = 64        # pieces of them
    NOWHERE = 32        # scalar register that takes what is written to x0

# Why a pipe did not work; names in machine.py, in this order.
cdef enum:
    R_BUSY, R_HBM, R_L2, R_UB_BANK, R_L1_BANK, R_MTE1, R_MTE2, R_MTE3, R_CUBE, R_FIX, R_VECTOR
    R_FLAG, R_QUEUE, R_SCALAR, R_IDLE, REASONS

cdef enum:  # states of a scalar unit
    S_IDLE, S_RUN, S_QUEUE, S_FLAG, S_COUNTED, S_BARRIER, S_ENDING, S_DONE

cdef enum:  # states of the head of a pipe
    P_FREE, P_FLAG, P_COUNTED, P_UNIT_SET, P_UNIT_TAKEN, P_MEMORY, P_FUNCTION

cdef enum:
    F_LOW, F_COMING, F_HIGH

cdef enum:  # events; the numbers are their priorities too
    EV_ISSUED, EV_ARRIVED, EV_PIECE, EV_SET, EV_COUNT, EV_PIPE, EV_SCALAR, EV_DONE, EV_BLOCK, EV_SIMT

cdef enum:  # faults; texts in machine.py
    FAULT_NONE, FAULT_CAPACITY, FAULT_BOUNDS, FAULT_POISON, FAULT_RACE, FAULT_FLAG_SET, FAULT_DEADLOCK
    FAULT_PATH, FAULT_TARGET, FAULT_SHAPE, FAULT_SCOPE, FAULT_FUNCTION, FAULT_READ_ONLY, FAULT_STEPS
    FAULT_MEMORY, FAULT_LOOPS, FAULT_UNIT, FAULT_ALIGNMENT, FAULT_DIVERGENCE, FAULT_REGISTERS
    FAULT_LAUNCH, FAULT_DCACHE

cdef struct Fault:
    int32_t kind
    int32_t op       # rows of the program, -1 where there is none
    int32_t other
    int32_t sub
    int64_t time
    int64_t a        # numbers of the message
    int64_t b
    int64_t c
    int64_t count
    int64_t thread   # of a SIMT function, -1: not one of them

cdef struct Clock:
    int32_t[SLOTS] at     # MOST_STEPS fit

cdef struct Pending:        # an instruction in a pipe's queue; half of them are flags and need no more
    int64_t at              # when the scalar unit dispatched it
    int32_t op
    int32_t news            # the scalar unit had learned of others' work since it last dispatched here
    int64_t id              # of a flag
    int64_t* x              # place for the operands of other instructions

cdef struct Signal:         # a flag to raise once requests up to `need` are complete
    int64_t need
    int32_t counted
    int32_t to              # pipe or scope
    int32_t id

cdef struct Flight:         # a piece of a request that is under way
    double arrives
    double size
    int32_t reason          # what it waits for

include "_spans.pxi"

cdef struct Transfer:       # of a pipe from or to global memory
    Request request
    double rate             # of the engine, bytes per cycle
    double next             # when the next piece may leave as far as the engine goes
    double arrived          # when the last piece is there
    double under_way        # bytes
    int32_t op
    int32_t reason          # why the next piece cannot leave yet
    int32_t first
    int32_t flights
    Flight[FLIGHTS] flight  # ring

cdef struct Pipe:           # what every event needs comes first, together
    Pending* ring
    int32_t capacity
    int32_t head
    int32_t count
    int32_t state
    int32_t current         # row it works on or waits in, for messages
    int32_t slot            # in the core's clocks
    int64_t wake            # time of the event that is under way for it, -1 if none
    int64_t free_at         # when it may issue again
    int64_t done_at         # when all it issued is complete
    int64_t accounted       # up to when its cycles are accounted for
    int64_t asked           # requests to the memory system
    int64_t arrived         # all before this one are complete
    int64_t told            # what the scalar unit knew when it last dispatched to this pipe
    Clock* clocks           # of those instructions in the ring that bring news
    int32_t name            # the reason that others' waits for its work get
    int32_t tail            # the reason for the time between its last issue and its last result
    int32_t from_pipe       # of the flag it waits for
    int32_t flag_id
    int32_t signal_head
    int32_t signal_count
    int64_t busy
    int64_t starved         # cycles of waiting for memory not yet set against work
    int32_t starved_by      # R_HBM or R_L2
    int32_t reason          # of the open segment; -1: there is none yet
    int32_t place           # sub-core * PIPES + pipe
    Watch* watch            # NULL: nobody looks
    int64_t begun           # the open segment
    int64_t noted
    int64_t* log            # ring of closed segments: end << 4 | reason; each begins where the last ends
    int64_t logged          # so many
    int64_t issued
    Clock clock
    int64_t[REASONS] waits
    int64_t idle
    int64_t fills_lo        # of MTE2: the bytes of L1 that its last load writes
    int64_t fills_hi
    int64_t* operands       # of the instructions in the ring
    Signal* signals         # ring
    Transfer transfer
    uint8_t[REQUESTS] here  # complete, by number modulo REQUESTS

cdef struct Access:         # of a local memory, for the race detector
    int64_t lo
    int64_t row             # bytes of a row
    int64_t rows
    int64_t pitch
    int64_t hi
    int32_t slot
    int32_t epoch
    int32_t op
    int32_t write

cdef enum:
    GRAIN = 64              # bytes

cdef struct Accesses:       # in any order; few of them lie where the next one does
    Access* items
    int32_t* lo             # bounds of each in grains, outward; of a gap such that nothing overlaps it
    int32_t* hi
    int64_t* number         # rising in order of time, -1: a gap
    int32_t count           # with gaps
    int32_t capacity        # a multiple of 8
    int64_t numbers

cdef struct Region:         # of L0C, handed over from M to FIX unit by unit
    int64_t lo
    int64_t hi
    int64_t m_start
    int64_t m_end
    int64_t fix_start
    int64_t fix_end
    int32_t state           # 0 none, 1 handed over, 2 being taken

cdef enum:
    LINE = 64               # bytes of a local memory that `whole` speaks for

cdef struct Space:
    uint8_t* data
    uint8_t* valid          # of each byte, whether somebody has written it
    uint8_t* whole          # of each line, whether all of it is valid; 0: look; NULL in UB
    int64_t size

include "_simt_types.pxi"

cdef struct Sub:
    int32_t core
    int32_t vector          # 0 cube, 1 vector
    int32_t number          # of its kind in the core
    int32_t block           # -1: it has had none
    int32_t state
    int32_t pc
    int32_t wait_pipe       # what the scalar unit waits for
    int32_t wait_id
    int32_t first_row       # of its program, -1 if it has none
    int32_t end_row
    int64_t blocked         # since when
    int64_t ended
    int64_t learned         # times that the scalar unit's clock has changed
    int64_t[NOWHERE + 1] x
    Pipe[PIPES] pipes
    uint8_t[PIPES][PIPES][EVENTS] flag
    int64_t[PIPES][PIPES][EVENTS] flag_time
    Clock[PIPES][PIPES][EVENTS] flag_clock
    int32_t epoch
    int32_t[COUNTED] counter
    int64_t[COUNTED] counter_time
    int32_t[COUNTED] counter_from   # sub * PIPES + pipe of the last that counted it up
    Clock[COUNTED] counter_clock
    Space[SPACES] spaces
    Accesses[SPACES] accesses
    Region[REGIONS] regions
    Simt* simt              # NULL until a SIMT function runs

cdef enum:
    GRANULE = 128           # bytes of global memory that share a record
    BLOCK = 8               # granules
    SPLIT = -2

cdef struct Tensor:         # of global memory, in ascending base order
    uint64_t base
    int64_t size
    uint8_t* data
    uint8_t* valid          # of each byte, whether somebody has written it; NULL: all of it
    uint8_t* whole          # of each granule, whether all of it is written; 0: look
    int32_t writable
    int32_t* last_write     # record of the last access to each granule, -1 none; NULL: read only
    int32_t* last_read
    int32_t* blocks_written # the same of each BLOCK granules where it is one record, else SPLIT; NULL:
    int32_t* blocks_read    # granules are noted one by one
    int32_t* mixed          # segment in which several cores touched the granule, see _work.pxi
    Stamps* simt            # of SIMT functions, per 128 bytes; NULL: none has touched it

cdef struct Record:         # of an access to a writable tensor, for the race detector
    Access access
    int32_t sub
    int32_t epoch           # meetings of all blocks that the sub-core has passed
    int32_t segment         # of the tapes, see _work.pxi

cdef enum:                  # work on values that can wait, see _work.pxi
    WORK_COPY, WORK_TURN, WORK_FILL, WORK_MMAD, WORK_FIX

cdef struct Work:
    int32_t kind
    int32_t op              # row of the program
    int32_t segment
    int32_t width           # of elements
    uint8_t* dst
    const uint8_t* src      # M: L0A
    const uint8_t* other    # M: L0B
    const uint8_t* scales   # M: of L0A; FIX: of the columns, in L1, or NULL
    const uint8_t* other_scales
    const uint8_t* bias
    float factor            # FIX: the one scale
    int32_t scaled          # FIX: 0 not, 1 by `factor`, 2 by `scales`
    int64_t rows
    int64_t n               # COPY: bytes of a row, else elements
    int64_t k               # M; FILL: rows that hold something; TURN: first column of the output
    int64_t cols            # FILL: elements of a row with those filled in
    int64_t src_pitch
    int64_t dst_pitch
    uint64_t pad

cdef struct Tape:           # of a core
    Work* items
    int32_t count
    int32_t capacity
    int32_t at              # the first that is still to do

cdef struct Worker:         # what a host thread needs for itself
    ProductScratch scratch
    float* row              # of L0C
    uint8_t* codes          # the same as bytes
    int32_t failed          # out of memory

cdef struct Use:            # of one word of the program
    int64_t issued
    int64_t busy
    int64_t first
    int64_t last

cdef struct Step:           # a word that is a step of the scalar unit alone, see _scalar.pxi
    int64_t number          # second operand (of MOV the only one) where `fixed`, else register `b`
    int32_t code
    int32_t latency
    int32_t target
    uint8_t dst
    uint8_t a
    uint8_t b
    uint8_t fixed
    uint8_t cond

cdef struct Spec:           # numbers of the chip file, see chip.py
    int32_t cores
    int32_t vectors
    int32_t rows
    int32_t chunk
    int32_t startup
    int32_t startup_hidden
    int32_t startup_hidden_from
    int32_t load_overhead
    int32_t scale_overhead
    int32_t fix_overhead
    int32_t dma_overhead
    int32_t flag
    int32_t cross_flag
    int32_t unit
    double l1_l0a
    double l1_l0b
    double l1_bank          # bytes per cycle of one bank of L1
    int32_t l1_banks
    double l0c_gm
    double l0c_l1
    double l0c_ub
    double gm_l1
    double gm_ub
    double ub_gm
    double ub_l1
    int32_t banks           # of UB
    int32_t interleave
    int32_t sub_bank
    int32_t window          # instructions that V looks at to find one that can issue
    int32_t[PORTS_MOST] ports  # issues per cycle: arithmetic, loads, stores, scalars, special functions
    int32_t[32] k0          # by TYPE
    int32_t[PIPES] queue
    int64_t[SPACES] sizes
