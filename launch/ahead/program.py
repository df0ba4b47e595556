"""Reading a compiled program: what it sends, and what it holds at its fullest."""

import math
import re
from typing import NamedTuple

BYTES = {
    "pred": 1, "s4": 1, "u4": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2,
    "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8, "c64": 8,
}  # fmt: skip
COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
)
# Names of another array's memory, or of none of their own.
ALIASES = {"parameter", "constant", "bitcast", "tuple", "get-tuple-element"}
_ARRAY = re.compile(r"\b(\w+)\[([\d,]*)\](?:\{([^}]*)\})?")
_LINE = re.compile(r"^\s+(?:ROOT )?(%[\w.-]+) = (.*)$")
_OPERATION = re.compile(r"(?:^|\s)([a-z][a-z\d-]*)\(")


class Collective(NamedTuple):
    """All exchanges of one kind in one step."""

    kind: str
    calls: int
    bytes: int  # of the results, on each device


class _Made(NamedTuple):
    operation: str
    bytes: int
    operands: list[str]
    forward: bool


def collectives(text: str) -> list[Collective]:
    """What a program exchanges, by kind.

    An exchange in a loop is counted once: the step of a task has none there.
    """
    found = {}
    for line in text.splitlines():
        if not (match := _LINE.match(line)):
            continue
        shape, operation = _split(match[2])
        kind = operation.removesuffix("-start")
        if kind in COLLECTIVES:
            before = found.get(kind, Collective(kind, 0, 0))
            # A started gather's result holds its operand too.
            size = size_of(shape) / (2 if operation == "all-gather-start" else 1)
            found[kind] = Collective(kind, before.calls + 1, before.bytes + int(size))
    return sorted(found.values(), key=lambda c: -c.bytes)


def forward_share(text: str) -> float:
    """Of the main memory in use at the fullest moment, how much the forward pass left.

    By the schedule that the compiler wrote down: an array lives from its instruction to
    the last one that uses it.
    """
    made = _entry(text)
    root: dict[str, str] = {}
    last: dict[str, int] = {}
    for moment, (name, one) in enumerate(made.items()):
        root[name] = name
        if one.operation in ALIASES and one.operands:
            root[name] = root.get(one.operands[0], name)
        for operand in one.operands:
            last[root.get(operand, operand)] = moment
    ends: dict[int, list[_Made]] = {}
    alive, forward, fullest, share = 0, 0, 0, 0.0
    for moment, (name, one) in enumerate(made.items()):
        if one.operation not in ALIASES:
            alive += one.bytes
            forward += one.bytes * one.forward
            ends.setdefault(last.get(name, len(made)), []).append(one)
        if alive > fullest:
            fullest, share = alive, forward / alive
        for gone in ends.get(moment, []):
            alive -= gone.bytes
            forward -= gone.bytes * gone.forward
    return share


def size_of(shape: str, main_memory: bool = False) -> int:
    """Bytes of a shape as a program writes it; of a tuple the sum.

    Args:
      main_memory: leaves out arrays in a memory space of their own, `S(1)`: on-chip.
    """
    total = 0
    for dtype, dimensions, layout in _ARRAY.findall(shape):
        if main_memory and "S(" in layout:
            continue
        sizes = [int(n) for n in dimensions.split(",") if n]
        total += BYTES.get(dtype, 0) * math.prod(sizes)
    return total


def _split(definition: str) -> tuple[str, str]:
    """`f32[8]{0} add(%a, %b), …` → its shape and operation."""
    found = _OPERATION.search(re.sub(r"/\*.*?\*/", "", definition))
    if found is None:
        return definition, ""
    plain = re.sub(r"/\*.*?\*/", "", definition)
    return plain[: found.start()], found[1]


def _entry(text: str) -> dict[str, _Made]:
    made: dict[str, _Made] = {}
    for line in text[text.rfind("\nENTRY") + 1 :].splitlines()[1:]:
        if line.startswith("}"):
            break
        if not (match := _LINE.match(line)):
            continue
        shape, operation = _split(match[2])
        body = match[2].split("metadata=")[0]
        source = re.search(r'op_name="([^"]*)"', match[2])
        name = source[1] if source else ""
        made[str(match[1])] = _Made(
            operation,
            size_of(shape, main_memory=True),
            re.findall(r"%[\w.-]+", body),
            "jvp(" in name and "transpose(" not in name,
        )
    return made
