"""Ahead of time: what a run would ask of hardware that is not here."""
