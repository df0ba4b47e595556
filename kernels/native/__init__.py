"""C++ for the CPU, compiled on the machine that runs it.

XLA is far from the processor's peak in some loops (convolutions with much padding,
small products inside a scan). What is gained there is in product.h, a matrix tile in
registers; ops include it in a `native.cc` of their own, and share.h runs their tasks
on XLA's own threads. build.py compiles such a file at its first use, if a C++ compiler
is found; where none is, ops stay with XLA and say why.
"""
