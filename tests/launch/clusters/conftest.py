"""Fakes of the clusters' tools: real programs on PATH that write down what they get."""

import json
import os
import sys
from pathlib import Path

import pytest

PROGRAM = """#!{python}
import json, os, sys
place = {folder!r}
state = json.load(open(place + "/{tool}.json"))
given = "" if sys.stdin is None or sys.stdin.isatty() else ""
if "-" in sys.argv[1:]:
    given = sys.stdin.read()
state["calls"].append({{"argv": sys.argv[1:], "stdin": given}})
line = " ".join(sys.argv[1:])
code, out, err = 0, "", ""
for number, answer in enumerate(state["answers"]):
    if answer["if"] in line and answer["times"] != 0:
        answer["times"] -= 1
        code, out, err = answer["code"], answer["out"], answer["err"]
        break
json.dump(state, open(place + "/{tool}.json", "w"))
print(out, end="")
print(err, end="", file=sys.stderr)
sys.exit(code)
"""


class Fake:
    """A tool that answers as it is told, in order; without an answer it succeeds."""

    def __init__(self, folder: Path, tool: str):
        self.file = folder / f"{tool}.json"
        self.file.write_text(json.dumps({"calls": [], "answers": []}))
        program = folder / "bin" / tool
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            PROGRAM.format(python=sys.executable, folder=str(folder), tool=tool)
        )
        program.chmod(0o755)

    def answer(self, where: str, out="", err="", code=0, times=-1):
        """What a call whose arguments hold `where` gets, so many times."""
        state = json.loads(self.file.read_text())
        entry = {"if": where, "out": out, "err": err, "code": code, "times": times}
        state["answers"].append(entry)
        self.file.write_text(json.dumps(state))

    @property
    def calls(self) -> list[list[str]]:
        return [c["argv"] for c in json.loads(self.file.read_text())["calls"]]

    @property
    def stdin(self) -> list[str]:
        return [c["stdin"] for c in json.loads(self.file.read_text())["calls"]]


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Makes fakes; PATH has them first."""
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    return lambda tool: Fake(tmp_path, tool)
