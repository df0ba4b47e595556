"""TensorBoard's event files, written at once and without TensorFlow.

tensorboardX's own writer hands events to a thread that ends at the first failed write;
on a full disk the training would then wait for it for good.
"""

import os
import socket
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any


def _without_torch() -> tuple[ModuleType, ModuleType, type]:
    """What is used of tensorboardX.

    Other parts of it import torch where that is installed: 2.2 s of the 4.9 s of CPU
    that all imports of `train` take (tensorboardX 2.6.5), for nothing.
    """
    modules: dict[str, Any] = sys.modules
    hidden = modules.setdefault("torch", None) is None
    try:
        from tensorboardX import summary
        from tensorboardX.proto import event_pb2
        from tensorboardX.record_writer import RecordWriter
    finally:
        if hidden:
            del modules["torch"]
    return summary, event_pb2, RecordWriter


summary, event_pb2, RecordWriter = _without_torch()
EVENT: Any = event_pb2  # generated, without types


class Events:
    """Appends the scalars of one start of a run to a file of its own."""

    def __init__(self, folder: Path, first_step: int):
        """Opens a new file in `folder`; what others there hold from `first_step` on is
        taken back."""
        folder.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
        self._writer = RecordWriter(str(folder / f"{name}.{os.getpid()}"))
        self._write(file_version="brain.Event:2")
        start = EVENT.SessionLog(status=EVENT.SessionLog.START)
        self._write(session_log=start, step=first_step)
        self._writer.flush()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Adds numbers by name.

        Raises:
          OSError: the file cannot be written.
        """
        for name, value in values.items():
            self._write(summary=summary.scalar(name, value), step=step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _write(self, **fields) -> None:
        event = EVENT.Event(wall_time=time.time(), **fields)
        self._writer.write(event.SerializeToString())
