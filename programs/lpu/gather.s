# y[m, :] = table[index[m], :]: a table lookup. Shows addresses that are data.
#
# `gather` reads a slice at an address that comes on a stream. Each superlane (16 lanes) has its
# own: a 16-bit number, low byte on one stream, high byte on the next, in the superlane's first
# lane. So 8 vectors of indices fetch 8 times 2 half rows.

.chip lpu-tiny
.meta kernel "gather"

# 64 rows of 32 bytes in slice w0. base= below is where the table begins.
.equ TABLE, 0x20
.tensor table, uint8,  [64, 32], in, at=w0:TABLE
# One index per superlane, in all of its 16 lanes: lane = index of the last axis * 16, repeated 16
# times. The two byte planes are in w2 and w3, one column to the west of the table.
.tensor index, uint16, [8, 2],   in, slices=[w2:w3], base=0, digit=0:a1, lane=1%2*16
.tensor y,     uint8,  [8, 32], out, at=e0:0

.equ READ,   latency(mem.read)
.equ GATHER, latency(mem.gather)
.equ LOOK,   READ + hops(mem.w2, mem.w0)        # the indices pass the table

.queue mem.w2.read
low:  @0 read s0.e, 0
      repeat 7, 1, 1
.queue mem.w3.read
high: @0 read s1.e, 0
      repeat 7, 1, 1

.queue mem.w0.read
look: @LOOK gather s2.e, s0.e@(low, high), base=TABLE
      repeat 7, 1

# What was found travels on to the other side of the chip.
.queue mem.e0.write
      @LOOK + GATHER + hops(mem.w0, mem.e0) write 0, s2.e@look
      repeat 7, 1, 1
