"""Workdirs on a bucket: `gs://BUCKET/FOLDER`, by way of a folder on this machine.

A bucket has no locks, no appending and no renaming, which a run needs. So a run works
in a folder here, which is read from the bucket at its start and copied back while it
runs. Who only reads a run does so in another folder.
"""

from launch.buckets.workdirs import is_bucket, reading, refuse, refuse_kind, training

__all__ = ["is_bucket", "reading", "refuse", "refuse_kind", "training"]
