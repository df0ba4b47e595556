"""Finding the parts that a configuration names by a string.

A part is a file in its family's folder (`hinge` → `research/losses/hinge.py`) or, for
code outside the repository, a dotted module (`my_lab.losses.cubic`), optionally with
an attribute of it (`my_lab.models:Tall`). Adding a part is adding a file: there is
no list to edit.

A fork that keeps its parts in folders of the families' names (`my_lab/losses/cubic.py`)
is named by the variable FORKS: then `names` has them too, and so have the verb `list`
and the tests that run over what they find.
"""

import difflib
import importlib
import importlib.util
import os
import pkgutil
from types import ModuleType
from typing import Any

from research.errors import UserError


def names(package: str) -> list[str]:
    """The parts in a folder, sorted: file stems without a leading underscore.

    Those of the packages in FORKS come after them, by their dotted names.

    Args:
      package: dotted name of the folder, e.g. `research.losses` or `experiments`.
    """
    family = package.removeprefix("research.")
    found = _stems(package)
    for fork in os.environ.get("FORKS", "").replace(",", " ").split():
        if not _exists(fork):
            raise UserError(f"FORKS names {fork}, which PYTHONPATH does not lead to")
        folder = f"{fork}.{family}"
        if _exists(folder):
            found += [f"{folder}.{stem}" for stem in _stems(folder)]
    return found


def find(package: str, name: str) -> Any:
    """The module, or the attribute of one, that `name` stands for.

    Args:
      package: dotted name of the family's folder, e.g. `research.losses`.
      name: a file stem there, `package.module`, or `package.module:Name`.

    Raises:
      UserError: nothing of that name; the nearest one is given.
    """
    path, _, attribute = name.partition(":")
    module = _module(package, path)
    if not attribute:
        return module
    if not hasattr(module, attribute):
        found = suggestion(attribute, [n for n in vars(module) if n[0] != "_"])
        raise UserError(f"module {path!r} has no {attribute!r}{found}")
    return getattr(module, attribute)


def suggestion(wrong: str, known: list[str]) -> str:
    """The end of an error line: the nearest known name, then all of them."""
    near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{hint} (known: {', '.join(known)})"


def folders(package: str) -> list[str]:
    """Where a package's modules lie; none of one that is not there."""
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:  # of a folder in a folder that is not there
        return []
    return list(spec.submodule_search_locations or ()) if spec else []


def _exists(package: str) -> bool:
    return bool(folders(package))


def _stems(package: str) -> list[str]:
    folder = importlib.import_module(package)
    stems = (module.name for module in pkgutil.iter_modules(folder.__path__))
    return sorted(stem for stem in stems if not stem.startswith("_"))


def _module(package: str, path: str) -> ModuleType:
    outside = "." in path and path[0] != "."  # Python takes a leading dot for relative
    dotted = path if outside else f"{package}.{path}"
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError as error:
        # An import that fails inside the part is the part's own error.
        if error.name is None or not (dotted + ".").startswith(error.name + "."):
            raise
    folder = package.replace(".", "/")
    raise UserError(f"{folder} has no {path!r}{suggestion(path, names(package))}")
