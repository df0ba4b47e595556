"""The name of the axis over which training is data-parallel.

Every task's step runs under it, on one device too: gradients and BatchNorm statistics
are averaged over it.
"""

BATCH = "batch"
