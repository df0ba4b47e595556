"""A part is found by the name of its file, inside the repository or in a fork."""

import sys
from pathlib import Path

import pytest

from research import parts
from research.errors import UserError

FAMILIES = (
    "augmentations",
    "data",
    "encodings",
    "features",
    "losses",
    "media",
    "models",
    "penalties",
    "tasks",
)


@pytest.fixture
def fork(tmp_path, monkeypatch):
    """A package outside the repository, on Python's path."""
    folder = tmp_path / "lab_of_a_fork"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "cubic.py").write_text("def generator(r, f):\n    return f**3\n")
    (folder / "broken.py").write_text("import a_module_that_is_nowhere\n")
    (folder / "halved.py").write_text("from lab_of_a_fork import nothing_such\n")
    (folder / "within.py").write_text("import lab_of_a_fork.no_such_part\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "lab_of_a_fork"
    for name in [n for n in sys.modules if n.partition(".")[0] == "lab_of_a_fork"]:
        del sys.modules[name]


@pytest.mark.parametrize("family", FAMILIES)
def test_names_are_the_files_of_the_folder(family):
    folder = Path(parts.__file__).parent / family
    files = {path.stem for path in folder.glob("*.py") if path.stem[0] != "_"}
    found = parts.names(f"research.{family}")
    assert found == sorted(files)
    assert found


@pytest.mark.parametrize("family", FAMILIES)
def test_every_name_is_found(family):
    for name in parts.names(f"research.{family}"):
        module = parts.find(f"research.{family}", name)
        assert module.__name__ == f"research.{family}.{name}"
        assert module.__doc__


def test_an_underscore_hides_a_file(tmp_path, monkeypatch):
    (tmp_path / "shelf").mkdir()
    for stem in ("__init__", "_private", "beta", "alpha"):
        (tmp_path / "shelf" / f"{stem}.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert parts.names("shelf") == ["alpha", "beta"]
    del sys.modules["shelf"]


def test_a_fork_is_found_by_its_dotted_name(fork):
    module = parts.find("research.losses", f"{fork}.cubic")
    assert module.generator(None, 3) == 27
    function = parts.find("research.losses", f"{fork}.cubic:generator")
    assert function(None, 2) == 8


def test_an_unknown_part_is_refused_with_the_nearest():
    with pytest.raises(UserError) as refusal:
        parts.find("research.losses", "relativstic")
    text = str(refusal.value)
    assert text.startswith(
        "research/losses has no 'relativstic'; did you mean 'relativistic'?"
    )
    assert "non_saturating" in text
    assert "\n" not in text


def test_where_nothing_is_near_no_name_is_guessed():
    with pytest.raises(UserError) as refusal:
        parts.find("research.losses", "zzz")
    assert "did you mean" not in str(refusal.value)
    assert "(known: hinge, lsgan, " in str(refusal.value)


@pytest.mark.parametrize("name", ["nowhere.loss", "{fork}.cubick", "", "a b", "..up"])
def test_a_module_that_is_nowhere_is_refused(fork, name):
    with pytest.raises(UserError, match="research/losses has no"):
        parts.find("research.losses", name.format(fork=fork))


def test_an_unknown_attribute_is_refused_with_the_nearest(fork):
    with pytest.raises(UserError, match="did you mean 'generator'"):
        parts.find("research.losses", f"{fork}.cubic:genrator")


@pytest.mark.parametrize(
    ("part", "cause"),
    [
        ("broken", "a_module_that_is_nowhere"),
        ("halved", "nothing_such"),
        ("within", "no_such_part"),
    ],
)
def test_an_import_that_fails_inside_a_part_is_not_swallowed(fork, part, cause):
    with pytest.raises(ImportError, match=cause):
        parts.find("research.losses", f"{fork}.{part}")
