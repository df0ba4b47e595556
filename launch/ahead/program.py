"""Reading a compiled program: what it sends, and what it holds at its fullest."""

import functools
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
_COMPUTATION = re.compile(r"^(ENTRY )?(%[\w.-]+) .*\{$")


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
    """What a program exchanges in one run of it, by kind.

    An exchange in a loop counts as often as the loop turns; of a loop whose length the
    program does not say one turn is counted, which makes the sum a lower bound.
    """
    parts, entry = _computations(text)

    @functools.cache
    def of(name: str) -> dict[str, Collective]:
        found: dict[str, Collective] = {}
        started = _started(parts[name])
        for made, definition in parts[name].items():
            shape, operation = _split(definition)
            kind = operation.removesuffix("-start")
            if kind in COLLECTIVES:
                if "chain_id=" in definition and made not in started:
                    continue
                # A started gather's result holds its operand too.
                size = size_of(shape) / (2 if operation == "all-gather-start" else 1)
                _add(found, Collective(kind, 1, int(size)))
            elif not operation.endswith(("-done", "-update")):  # its start has counted
                turns = _turns(definition, parts) if operation == "while" else 1
                for called in _called(definition, parts):
                    for one in of(called).values():
                        _add(found, one, turns)
        return found

    return sorted(of(entry).values(), key=lambda c: -c.bytes)


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
    plain = re.sub(r"/\*.*?\*/", "", definition)
    found = _OPERATION.search(plain)
    return (definition, "") if found is None else (plain[: found.start()], found[1])


def _computations(text: str) -> tuple[dict[str, dict[str, str]], str]:
    """Definitions in each computation by their names, and the name of the first."""
    parts: dict[str, dict[str, str]] = {}
    entry, inside = "", {}
    for line in text.splitlines():
        if match := _COMPUTATION.match(line):
            inside = parts[match[2]] = {}
            entry = match[2] if match[1] else entry
        elif match := _LINE.match(line):
            inside[match[1]] = match[2]
    return parts, entry


def _started(part: dict[str, str]) -> set[str]:
    """Exchanges that begin here, of those that the TPU's compiler spreads over others'
    work: it writes such a one again in each fusion that takes it further."""
    return {
        operand
        for definition in part.values()
        if "AsyncCollectiveStart" in definition
        for operand in _names(definition)
    }


def _called(definition: str, parts: dict[str, dict[str, str]]) -> list[str]:
    """Computations that an instruction runs."""
    return [name for name in _names(definition) if name in parts]


def _names(definition: str) -> list[str]:
    """Instructions and computations that a definition names."""
    return re.findall(r"%[\w.-]+", definition.split("metadata=")[0])


def _turns(definition: str, parts: dict[str, dict[str, str]]) -> int:
    """How often a loop turns; 1 where that is not written.

    XLA for CPU and GPU writes it down. The TPU's does not; `lax.scan` counts from 0
    up to a constant.
    """
    if known := re.search(r'"known_trip_count":\{"n":"(\d+)"', definition):
        return int(known[1])
    condition = re.search(r"condition=(%[\w.-]+)", definition)
    asked = [*parts[condition[1]].values()] if condition else []
    limits = [m[1] for one in asked if (m := re.search(r"constant\((\d+)\)", one))]
    up_to = any("compare(" in one and "direction=LT" in one for one in asked)
    return int(limits[0]) if up_to and len(limits) == 1 else 1


def _add(found: dict[str, Collective], one: Collective, turns: int = 1) -> None:
    kind, calls, size = one
    _, before, bytes_before = found.get(kind, (kind, 0, 0))
    found[kind] = Collective(kind, before + turns * calls, bytes_before + turns * size)


def _entry(text: str) -> dict[str, _Made]:
    made: dict[str, _Made] = {}
    parts, entry = _computations(text)
    for name, definition in parts[entry].items():
        shape, operation = _split(definition)
        source = re.search(r'op_name="([^"]*)"', definition)
        told = source[1] if source else ""
        made[name] = _Made(
            operation,
            size_of(shape, main_memory=True),
            _names(definition),
            "jvp(" in told and "transpose(" not in told,
        )
    return made
