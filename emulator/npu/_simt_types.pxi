# SIMT functions: what a warp, a vector sub-core in SIMT mode and its caches are. Part of
# _engine.pyx. Times are cycles of the run.

cdef extern from *:
    void __builtin_prefetch(const void* address) noexcept nogil
    int __builtin_popcount(unsigned int) noexcept nogil
    int __builtin_ctzll(unsigned long long) noexcept nogil
    long __builtin_expect(long, long) noexcept nogil

cdef enum:
    LANES = 32
    HOST_LINE = 64      # bytes that the host's caches fetch at once, as a rule
    SECTOR = 128        # bytes of a line of the D-cache, which is a sector of L2
    WARPS = 64
    SCHEDULERS = 8      # at most
    QS = 8              # scoreboard entries of predicates; those of registers follow
    WAKE_WORDS = 4      # of 64 cycles, a ring's
    RING = 256          # cycles that a sub-core runs ahead of the machine, at most
    ENTRIES = 512       # MSHRs, or writes on the way, at most
    SOURCES = 12
    RETURNS = 4096      # places of the return path that can be booked ahead

cdef int64_t NEVER = <int64_t> 1 << 62     # a time that nobody knows yet

cdef enum:  # what an instruction occupies beside its scheduler's slot; simt.py has the same
    TAKES_NOTHING, TAKES_MEMORY, TAKES_UB, TAKES_SPECIAL, TAKES

cdef enum:  # why a scheduler did not issue; names in accounts.py, in this order
    W_SELECTED, W_FIXED, W_MEMORY, W_UB, W_MSHR, W_MATH, W_CONFLICT, W_BARRIER, W_BRANCH, W_NONE
    W_DRAINED, W_NOT_SELECTED, WHYS

cdef enum:  # states of a warp
    WARP_READY, WARP_AWAITS, WARP_BARRIER, WARP_DONE

cdef enum:  # a request to the memory system
    ASK_FILL, ASK_WRITE, ASK_ATOMIC

cdef struct Uop:                # of one word; numpy's UOP of simt.py is the same
    int32_t row
    int32_t code
    int32_t type
    int32_t to
    int32_t cond
    int32_t op
    int32_t mode
    int32_t which
    int32_t size                # bytes per thread
    int32_t regs                # registers per thread
    int32_t cache
    int32_t takes
    int32_t guard               # 0 none, 1 a predicate, 2 its opposite
    int32_t guard_q
    int32_t dst                 # registers, -1 where there is none
    int32_t q_dst
    int32_t src
    int32_t a                   # a register, an argument or a number's bits
    int32_t a_kind
    int32_t b
    int32_t b_kind
    int32_t c
    int32_t index
    int32_t base
    int32_t offset
    int32_t target
    int32_t latency
    int32_t interval
    int32_t entry               # of the scoreboard, that it writes first; -1 none
    int32_t needed              # timing depends on the result
    int32_t sources
    int32_t[SOURCES] source     # scoreboard entries that must be ready

cdef struct Score:              # of a register or predicate of a warp
    int64_t ready
    int32_t late                # cycles of it that are a bank conflict's
    int16_t pending             # answers of memory that are still to come
    int16_t why

cdef struct Meeting:            # of a warp's divergence stack
    int32_t pc                  # where its threads go on
    int32_t push                # a tpush, not threads that wait
    uint32_t mask

cdef struct Warp:
    int32_t pc
    int32_t state
    uint32_t active
    uint32_t done               # threads that are done, or that the launch does not have
    int64_t ready               # when its next word has what it needs
    int64_t base                # the next word issues from then on, if its operands are ready
    int64_t issued              # when it last issued
    int32_t why                 # it has not had it until then
    int32_t late
    int32_t base_why
    int32_t depth
    const Uop* next             # its next word, where it is known when it can issue
    uint64_t[2] regular         # registers, a bit each, that are `even`
    uint32_t[QS] q

cdef struct Lanes:              # first, first + step, first + 2 step and so on
    uint32_t first
    uint32_t step

cdef union Register:            # of a warp, see _simt_registers.pxi
    Lanes even
    const uint32_t* at          # its lanes: in `Simt.r`, or in a tensor that nobody writes

cdef struct Simt

cdef struct Line:               # of the D-cache
    int64_t used
    int64_t fill                # when its bytes are there

cdef struct Who:                # asks for lines
    int16_t reg                 # that the answers are for, -1: none
    uint8_t regs
    uint8_t warp
    uint8_t kind                # of its requests

cdef struct Waiter:             # a load that waits for a line
    int32_t next
    Who who

cdef struct Entries:            # MSHRs, or places of the write buffer
    int32_t size
    int32_t count               # those of which it is known when they are free: a ring,
    int32_t first               # the first to be free first
    int64_t[ENTRIES] free_at
    int16_t[ENTRIES] which
    int32_t[ENTRIES] waiters    # of an MSHR, beside the load that it was taken for: a list, -1

cdef struct Lsu:                # the memory unit's current access: its lines, in order
    int32_t count
    int32_t next
    Who who
    int32_t cache
    int64_t at                  # when the next line may go
    uint64_t[LANES] line
    int32_t[LANES] bytes        # written, or operations of an atomic

cdef struct Ask:                # a request on its way to the memory system
    uint64_t address
    Simt* simt
    int32_t next
    int16_t entry
    int16_t line                # of the D-cache, that a fill is for; -1: none keeps it
    Who who
    uint8_t size                # bytes written, or operations of an atomic

cdef struct Calendar:           # requests of all sub-cores by the cycle in which they leave
    Ask* items
    int32_t capacity
    int32_t spare               # list of free ones
    int32_t[2 * RING] head
    int32_t[2 * RING] tail
    int64_t count
    int64_t first               # no request leaves before this cycle

cdef struct Interval:           # between two barriers of a launch, for the race detector
    int32_t sub
    int32_t epoch
    uint32_t clock

cdef struct Stamps:             # of the accesses to 128 bytes of a tensor, see _simt_races.pxi
    uint64_t write              # all 32 words alike, as long as `words` is NULL
    uint64_t read
    uint64_t* words             # their writes, then their reads

cdef struct Simt:               # a vector sub-core in SIMT mode
    int32_t core
    Simt* after                 # the sub-core whose window came next, when it was last so
    int32_t threads
    int32_t warps
    int32_t left                # warps that are not done
    int32_t arrived             # at the barrier
    int32_t registers           # allocated per thread
    int32_t row                 # of the vcall
    int32_t words
    const Uop* uops
    int64_t started
    int64_t time                # as far as it has come
    int64_t end                 # of the window that it runs ahead in, 0 outside
    uint64_t parked             # warps whose next word is ready behind the window
    int64_t last                # when the last thing it does is complete
    int64_t waiting             # requests without an answer
    int64_t[16] u
    Warp[WARPS] warp
    Meeting* stack              # [warps, depth]
    Register* file              # [warps, registers]
    uint32_t* r                 # [warps, registers, lanes], for those that need it
    Score* score                # [warps, QS + registers]
    uint64_t eligible           # warps: a bit each, here and below
    uint64_t[TAKES] next_takes  # by what their next word occupies
    uint64_t[SCHEDULERS] mine   # of a scheduler
    int64_t[SCHEDULERS] issued
    int32_t[SCHEDULERS] turn
    uint64_t[RING] wake         # warps whose next word is ready then
    uint64_t[WAKE_WORDS] wakes
    int64_t[TAKES] busy_until   # memory unit, UB port; never what plain words take
    int32_t[TAKES] busy_why
    int64_t[SCHEDULERS] special_until
    int64_t[WHYS] whys          # of all its schedulers, over the run
    Lsu lsu
    Entries mshr
    Entries write
    Line* lines                 # [sets, ways]
    int16_t* brings             # the MSHR that brings a line whose `fill` is NEVER
    uint64_t* tags              # of the lines: line number + 1, 0: empty
    int32_t sets
    int64_t uses                # of the cache
    Waiter* waiters
    int32_t waiter_capacity
    int32_t spare_waiter
    uint32_t[RETURNS] returned  # the round in which a place of the return path was last taken, + 1
    uint64_t* ub_read           # a bit per 4 bytes that the launch touched
    uint64_t* ub_written
    Stamps* ub_stamps           # of UB, made when a thread first goes there
    int64_t ub_size             # without the D-cache
    int64_t interval            # the present one
    int64_t first_interval      # of this launch

cdef struct SimtSpec:           # numbers of the chip file
    int32_t schedulers
    uint8_t[WARPS] scheduler    # of a warp
    int32_t threads
    int32_t mshrs
    int32_t writes
    int32_t ways
    int32_t depth
    int32_t ub_lanes
    int32_t hit
    int32_t launch
    int32_t barrier
    int64_t dcache_least
    int64_t dcache_most
    double fill                 # cycles of the return path per line
    double fills                # about 1 / fill
    int32_t sizes               # of launches, ascending, and their registers per thread
    int32_t[8] size_threads
    int32_t[8] size_registers
