"""The pins of the real repository."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[3]


def test_every_package_of_the_real_repository_is_pinned_and_none_names_a_host():
    text = (ROOT / ".ci" / "constraints.txt").read_text()
    pins = [Requirement(line) for line in text.splitlines() if line[0] != "#"]
    assert all(re.fullmatch(r"==[0-9.]+", str(pin.specifier)) for pin in pins)
    assert not [pin for pin in pins if pin.url or "torch" in pin.name]
    here = [pin for pin in pins if not pin.marker or pin.marker.evaluate()]
    names = {canonical(pin.name) for pin in here}
    assert len(names) == len(here)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + project["optional-dependencies"]["dev"]
    assert closure(asked) <= names


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(requirements):
    """The names of all that pip installs for these requirements."""
    seen, waiting = set(), [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        extras = {"", *wanted.extras}
        key = (canonical(wanted.name), *sorted(extras))
        if key in seen:
            continue
        seen.add(key)
        for text in metadata.requires(wanted.name) or ():
            needed = Requirement(text)
            marker = needed.marker
            if not marker or any(marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    return {name for name, *_ in seen}
