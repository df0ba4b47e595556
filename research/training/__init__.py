"""The one loop, and what it needs: devices, checkpoints, the record of a run."""
