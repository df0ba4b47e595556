"""Experiments: one file is one experiment, its docstring its claim.

A file has `experiment(budget)`, which gives the settings for that budget: "minutes" is
for two CPU cores, "full" for the whole run.
"""
