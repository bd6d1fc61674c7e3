# Adds two fp32 tensors: c = a + b, eight vectors of 32 elements. Shows how streams meet.
#
# The machine, seen from the side (lpu-tiny; each letter is a column of stream registers):
#
#     MXM  SXM  w2,w3  w0,w1  VXM  e0,e1  e2,e3  SXM  MXM
#      0    1     2      3     4     5      6     7    8       <- columns
#
# Nothing waits here. A `read` puts one vector (a byte for each of 32 lanes) onto a stream, and
# from then on it moves one column per cycle, eastward (s0.e) or westward (s0.w), whether or not
# anyone looks. A unit that wants it must issue in the very cycle in which it passes. So the whole
# program is arithmetic on cycles: who issues when.
#
# a lies in the western slices and travels east, b in the eastern ones and travels west. They meet
# at the VXM, column 4.

.chip lpu-tiny
.meta kernel "vector_add"

# at=w0:0 means: the low bytes of the elements in slice w0, the next in w1, w2, w3, from address 0
# on; row i of the tensor is the vector at address i.
.tensor a, fp32, [8, 32], in,  at=w0:0
.tensor b, fp32, [8, 32], in,  at=e0:0
# A slice can read and write in the same cycle if the two addresses are in different banks. On
# this chip bit 10 of the address selects the bank; a is in the lower one, so c goes to the upper.
.tensor c, fp32, [8, 32], out, at=w0:0x400

.equ ROWS, 8
.equ READ, latency(mem.read)            # 5 cycles from issue until the byte is on its stream
.equ ADD,  latency(vxm.add)             # 4
# The farthest slices are two columns from the VXM: if they issue in cycle 0, their bytes are
# there in cycle READ + 2. The nearer slices have to start one cycle later.
.equ MEET, READ + hops(mem.w2, vxm)

# The four byte planes of a go onto streams 0 to 3 eastward, those of b onto 4 to 7 westward.
# `@CYCLE` places an instruction; the assembler puts the `nop` before it. `repeat 7, 1, 1` issues
# the instruction before it 7 more times, 1 cycle apart, its address going up by 1.
.irp i, 0, 1, 2, 3
    .queue mem.w\i.read
a\i:    @MEET - READ - hops(mem.w\i, vxm) read s\i.e, 0
        repeat ROWS - 1, 1, 1
    .queue mem.e\i.read
b\i:    @MEET - READ - hops(mem.e\i, vxm) read s[4 + \i].w, 0
        repeat ROWS - 1, 1, 1
.endr

# One of the VXM's 16 ALUs adds: every cycle one vector of a and one of b. A 4-byte operand takes
# four streams, named by the first. What stands behind `@` names the instruction that each stream
# is meant to come from: if the schedule is off by a cycle, the run says so instead of adding the
# wrong rows.
.queue vxm.0
sum: @MEET add.fp32 s8.w, s0.e@(a0, a1, a2, a3), s4.w@(b0, b1, b2, b3)
     repeat ROWS - 1, 1

# The sums leave the VXM on streams 8 to 11 westward, ADD cycles after they were issued.
.irp i, 0, 1, 2, 3
    .queue mem.w\i.write
    @MEET + ADD + hops(vxm, mem.w\i) write 0x400, s[8 + \i].w@sum
    repeat ROWS - 1, 1, 1
.endr
