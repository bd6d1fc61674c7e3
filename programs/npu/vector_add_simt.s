# Adds two fp32 tensors, c = a + b, 1,000 elements each, as a GPU does: a thread per element.
#
# The machine (npu-tiny): a core has a cube for matrices, not used here, and two vector sub-cores.
# A vector sub-core is
#
#     scalar unit ---> V  (runs functions: SIMD ones over vectors, SIMT ones over threads)
#                 \--> MTE2, MTE3  (copy between global memory and UB, the sub-core's own memory)
#
# The scalar unit runs the section `.core vector` and hands work to the others, which do it in
# order and while the scalar unit goes on. Here it calls one function and is done.
#
# vector_add_simd.s does the same with vectors of 64 elements, and has to move them itself.

.chip npu-tiny
.meta kernel "vector_add"
# Four blocks run this program, one on each vector sub-core of the chip. They differ in one thing
# only, the number that `tsr.block` gives.
.meta blocks 4

# Where the tensors lie in global memory, in bytes.
.equ A, 0x0000
.equ B, 0x1000
.equ C, 0x2000
.equ N, 1000
.tensor a, fp32, [N], in,  at=A
.tensor b, fp32, [N], in,  at=B
.tensor c, fp32, [N], out, at=C

.equ THREADS, 256                       # of a block: 8 warps of 32, the most on this chip

# A function's arguments are scalar registers in a row: x1 to x3 here. Its threads find them in u0
# to u2, the same for all of them.
.core vector
    mov   x1, A
    mov   x2, B
    mov   x3, C
    # `dcache=4`: 4 KiB of UB serve the threads as a cache of global memory.
    vcall vector_add, x1, 3, threads=THREADS, dcache=4
    end

# What one thread does. Its registers r are 32 bits wide, its predicates q one bit. 32 threads, a
# warp, go through the same instructions together.
.simt vector_add
    # Which element is mine? Thread t of block b has element b * THREADS + t.
    tsr.tid    r0
    tsr.block  r1
    tfma.int32 r0, r1, THREADS, r0
    # 1,000 elements, 1,024 threads: the last 24 have none. An instruction with `when=` does
    # nothing where the predicate does not hold, so the tail needs no code of its own.
    tcmp.lt.int32 q0, r0, N
    # The element's place in bytes. Neighbours lie side by side: a warp's 32 words are 128 bytes,
    # one sector of the L2 cache, and are fetched as one.
    tshl.uint32 r1, r0, 2
    # An address is an argument plus a register of the thread. The loads go out one after the
    # other, and the add waits for both of them: nobody has to count cycles here.
    tld.gm.b32  r2, u0, r1, when=q0
    tld.gm.b32  r3, u1, r1, when=q0
    tadd.fp32   r4, r2, r3, when=q0
    tst.gm.b32  r4, u2, r1, when=q0
    texit
