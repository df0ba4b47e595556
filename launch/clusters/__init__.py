"""Clusters: what is sent to them, as text and commands to look at first."""
