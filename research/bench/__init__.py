"""Measurements of whole steps and whole commands; kernels have theirs beside them.

A bench has `rows()`, which yields one dictionary a measurement: bench, case, backend,
what, median, q25, q75, runs, unit, and ratios of medians to the yardsticks.
"""
