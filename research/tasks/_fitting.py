"""What of settings, encoding, model and data does not fit together, told in a line."""

from types import ModuleType
from typing import Any

from research.errors import UserError
from research.outcomes import Outcome
from research.task import Batch


class Entries(dict):
    """A batch that an encoding reads; a UserError for what the data does not have."""

    def __init__(self, batch: Batch, encoding: ModuleType):
        """Takes the batch, and the encoding that reads it."""
        super().__init__(batch)
        self._encoding = encoding.__name__

    def __missing__(self, name: str):
        found = ", ".join(map(repr, self))
        raise UserError(
            f"{self._encoding} reads {name!r} of the data, whose batches hold {found} "
            f"alone: take other --data, or another --task.encoding"
        )


def refuse_smoothing(share: float, encoding: str, outcome: Outcome) -> None:
    """Raises UserError for a share of nothing, or where no classes can take it."""
    if not 0 <= share < 1:
        raise UserError(f"--task.label-smoothing is {share}: a share lies in [0, 1)")
    if share and not outcome.smooths:
        raise UserError(
            f"--task.label-smoothing is {share}, and --task.encoding {encoding} has no "
            f"classes to spread it over: give 0"
        )


def refuse_data(model: Any, encoding: ModuleType, dataset: Any) -> None:
    """Raises UserError for data that the encoding cannot read, or the model not fit."""
    own = getattr(encoding, "DATA", None)
    if own not in (None, getattr(dataset, "name", None)):
        raise UserError(
            f"--task.encoding {own} reads what --data.name {own} makes, and nothing "
            f"else: take that, or another --task.encoding"
        )
    _refuse_outputs(model, encoding, dataset)


def _refuse_outputs(model: Any, encoding: ModuleType, dataset: Any) -> None:
    """Raises UserError for a model that gives fewer than it needs, or more."""
    if not hasattr(encoding, "outputs_needed"):
        _refuse_few_classes(model, encoding, dataset)
        return
    needed = encoding.outputs_needed(dataset)
    if (classes := getattr(model, "classes", needed)) != needed:
        raise UserError(
            f"--model.classes {classes}: {encoding.__name__} needs {needed} outputs a "
            f"step for this data; give --model.classes {needed}"
        )


def _refuse_few_classes(model: Any, encoding: ModuleType, dataset: Any) -> None:
    """A target beyond the logits would cost nothing, and be learned by nobody."""
    if getattr(encoding, "OUTCOME", "symbols") != "symbols":
        return
    symbols = getattr(encoding, "SYMBOLS", None)
    needed = symbols or getattr(dataset, "LABELS", 0)
    classes = getattr(model, "classes", needed)
    if classes < needed:
        whose = "the encoding's symbols" if symbols else "the data's labels"
        raise UserError(
            f"--model.classes {classes} is fewer than {whose}: give {needed} or more"
        )
