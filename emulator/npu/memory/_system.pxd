# What the engine sees of the memory system. Times are cycles of the chip, as doubles.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    GROUPS_MOST = 8
    BANKS_MOST = 64
    ATOMICS = 1024          # sectors that the atomic units tell apart
    PENDING = 16384         # fills that are remembered while under way

cdef enum:                  # what a SIMT function asks of a sector
    GM_READ, GM_WRITE, GM_ATOMIC

cdef extern from *:
    void __builtin_prefetch(const void* address) noexcept nogil
    int __builtin_ctz(unsigned int) noexcept nogil

cdef struct Timing:         # of HBM, in cycles
    double burst
    double cl
    double cwl
    double rcd_read
    double rcd_write
    double rp
    double ras
    double rc
    double ccd_l
    double rrd_s
    double rrd_l
    double faw
    double rtp
    double wr
    double wtr_s
    double wtr_l
    double rtw
    double refi
    double rfc
    double latency
    double open_from        # between these times without refreshes, of which two follow each other,
    double open_until       # so many cycles of refreshes have gone by
    double refreshed

cdef struct Map:            # where a byte lies
    int64_t channels
    int32_t channel_bits    # -1 where their number is no power of two
    int32_t interleave_bits
    int32_t group_shift     # bytes of a channel in one bank group
    int32_t group_bits
    int32_t bank_bits
    int32_t block_bits      # bytes of a channel in one row of one bank of every group
    int32_t hashed

cdef struct Spot:
    int32_t channel
    int32_t group
    int32_t bank            # group and bank in it
    int64_t row

cdef struct Bank:
    int64_t row             # open, -1 none
    double act              # when it was activated
    double ready            # for the next activate

cdef struct Write:
    Spot spot
    int32_t bursts

cdef struct Channel:
    double bus
    double acts
    double read_end
    Write* waiting          # pieces to be written
    int32_t writes
    int32_t sectors         # of them
    int32_t reads           # pieces since the last drain of writes
    double[GROUPS_MOST] group
    Bank[BANKS_MOST] banks

cdef struct Fill:
    int64_t line
    double ready

cdef struct Atomic:
    int64_t sector
    double free

cdef struct Request:        # of an engine: planes of rows of bytes, and how far it has come
    uint64_t address
    int64_t row
    int64_t rows
    int64_t pitch
    int64_t planes
    int64_t plane
    int64_t done_planes
    int64_t done_rows
    int64_t done_bytes
    int32_t write
    int32_t keep            # in L2
    int32_t core

cdef struct Answer:
    double ready            # the last byte is there (or taken)
    double cost             # bytes, and what partial lines cost on top
    int32_t missed          # HBM had to help
    int32_t finished        # nothing is left of the request

cdef struct Memory:
    Timing t
    Map map
    Channel* channels
    int32_t queue
    int32_t chunk           # bytes in one row of one bank without a gap
    double act_gap
    double turn             # of the bus, to write and back
    # L2
    uint32_t* stamps
    int64_t lines
    int32_t line_bits
    int64_t capacity        # lines
    int64_t resident
    int64_t generation      # lines of one
    int64_t oldest
    int64_t current
    int32_t* counts         # lines by generation
    int64_t* log_starts     # by generation, of the part of the log that is its
    int64_t room            # of both
    uint32_t* log           # lines that were or became dirty, by generation
    int64_t log_count
    int64_t log_room
    int32_t failed          # memory of the host is out
    double read_rate
    double write_rate
    double core_read
    double core_write
    double partial
    double latency
    double atomic
    double outstanding
    double read_free
    double write_free
    double* core_read_free
    double* core_write_free
    int32_t cores
    Fill[PENDING] fills
    Atomic[ATOMICS] atomics
    double time             # of the request that is being served
    double now              # the same at the channels, refreshes left out
    double drained          # last write-back that was caused, refreshes left out
    # Traffic in bytes
    int64_t hbm_read
    int64_t hbm_write
    int64_t l2_read
    int64_t l2_write

cdef Memory* memory_new(object numbers, int64_t bytes_) except NULL
cdef void memory_free(Memory* m) noexcept nogil
cdef void memory_warm(Memory* m, uint64_t address, int64_t size) noexcept nogil
cdef Answer serve(Memory* m, Request* r, double time, double most) noexcept nogil
cdef double serve_sector(
    Memory* m, int core, uint64_t address, int kind, int size, double time) noexcept nogil


cdef inline void expect_sector(const Memory* m, uint64_t address) noexcept nogil:
    """Have the host's caches bring what `serve_sector` will look at."""
    cdef int64_t line = <int64_t> (address >> m.line_bits)
    if line < m.lines:
        __builtin_prefetch(&m.stamps[line])
        __builtin_prefetch(&m.fills[line & (PENDING - 1)])
