# Adds two fp32 tensors, c = a + b, 1,000 elements each, with vectors of 64 elements.
#
# The machine (npu-tiny): a core has a cube for matrices, not used here, and two vector sub-cores.
# A vector sub-core is
#
#     scalar unit ---> MTE2  copies global memory -> UB, the sub-core's own memory
#                 \--> V     runs functions; a SIMD function sees registers and UB, nothing else
#                 \--> MTE3  copies UB -> global memory
#
# The scalar unit runs the section `.core vector` and only hands work out: MTE2, V and MTE3 each do
# theirs in order, all at the same time, and know nothing of each other. *Flags* make one wait for
# another: `set_flag.mte2.v 0` is raised when MTE2 has done what it was given so far, and
# `wait_flag.mte2.v 0` holds V until then (and lowers it again).
#
# vector_add_simt.s does the same with a thread per element, which needs no copies and no flags.

.chip npu-tiny
.meta kernel "vector_add"
# Four blocks run this program, one on each vector sub-core of the chip.
.meta blocks 4

.equ A, 0x0000                          # where the tensors lie in global memory, in bytes
.equ B, 0x1000
.equ C, 0x2000
.equ N, 1000
.tensor a, fp32, [N], in,  at=A
.tensor b, fp32, [N], in,  at=B
.tensor c, fp32, [N], out, at=C

.equ SHARE, 256                         # elements of a block; the last one has fewer
.equ TILE, 64                           # elements copied at once: one vector register

# UB holds two *slots*, 1,024 bytes each: a at 0, b at 256, c at 512. While V works in one of them,
# MTE2 fills the other: that is double buffering, and all there is to it are the flags.
.core vector
    sr.block  x1
    mul   x2, x1, SHARE * 4             # x2: where my elements begin, in bytes of a tensor
    mul   x3, x1, SHARE
    mov   x4, N
    sub   x3, x4, x3
    min   x3, x3, SHARE                 # x3: how many are left
    mov   x5, 0                         # x5: the slot, 0 or 1, which is also the flags' number
    # At first both slots are free: nobody has to wait for V (a, b) or for MTE3 (c).
    set_flag.v.mte2 0
    set_flag.v.mte2 1
    set_flag.mte3.v 0
    set_flag.mte3.v 1
next:
    br.le x3, 0, done
    min   x6, x3, TILE                  # x6: elements of this tile
    shl   x7, x5, 10                    # x7: the slot in UB, and a in it
    add   x8, x7, 256                   # x8: b
    add   x9, x7, 512                   # x9: c
    add   x10, x2, A
    add   x11, x2, B
    add   x12, x2, C

    wait_flag.v.mte2 x5                 # V is done with what lay in this slot before
    load.ub.b32 x7, x10, x6             # x6 elements of 32 bits from x10 to UB at x7
    load.ub.b32 x8, x11, x6
    set_flag.mte2.v  x5

    wait_flag.mte2.v x5                 # a and b are there,
    wait_flag.mte3.v x5                 # and what lay in c before has been taken away
    vcall vector_add, x6, 4             # with x6 to x9; the function finds them in x1 to x4
    set_flag.v.mte2  x5
    set_flag.v.mte3  x5

    wait_flag.v.mte3 x5
    store.gm.b32 x12, x9, x6
    set_flag.mte3.v  x5

    add   x2, x2, TILE * 4
    sub   x3, x3, TILE
    xor   x5, x5, 1                     # the other slot
    # The scalar unit goes on at once. It never waited: the waits above are in the queues of MTE2,
    # V and MTE3, and the next tile's loads start while V still adds.
    jump  next
done:
    end

# What V does with one tile: x1 elements at x2 and x3, sums to x4.
.simd vector_add
    pcount.b32 p0, x1                   # a mask: the first x1 of 64 lanes
    # Loads take whole registers. What lies behind a short tile's last element is read, and counts
    # for nothing: the store leaves it out.
    vld.b32.norm v0, x2
    vld.b32.norm v1, x3
    vadd.fp32    v2, v0, v1
    vst.b32.norm v2, x4, mask=p0
    end
