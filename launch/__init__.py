"""What a user types: `launch/run VERB ...`, which is `python -m launch VERB ...`."""

from importlib.util import find_spec
from pathlib import Path

# The names are generic: other projects ship a top-level `kernels` or `experiments`.
_ROOT = Path(__file__).resolve().parent.parent
for _name in ("kernels", "research", "experiments"):
    _spec = find_spec(_name)
    _origin = _spec.origin if _spec and _spec.origin else "nowhere"
    if Path(_origin).resolve() != _ROOT / _name / "__init__.py":
        _where = f"`{_name}` is found at {_origin}, not in this repository"
        raise ImportError(f"{_where}: start from the repository root, {_ROOT}")
