"""What the LSTM bench times is the same work, and its rows are well formed."""

import jax
import numpy as np
import pytest

from kernels.lstm import bench
from kernels.lstm.cases import Shape
from kernels.lstm.dispatch import able

pytest.importorskip("torch", reason="the bench compares with torch")
pytest.importorskip("flax", reason="the bench compares with flax")

SMALL = Shape("small", 5, 3, 4, 6, tags=("bench",))
BACKENDS = able(SMALL.case())


def test_torch_computes_what_we_do():
    calls = bench.contestants(SMALL, backward=True)
    y, (h, c), (dx, dh, dc, *d_layer) = calls["torch"]()
    states = [a[0] for a in (h, c, dh, dc)]
    theirs = [a.detach().numpy() for a in (y, dx, *states, *d_layer[:3])]
    theirs[-3:] = [a.T for a in theirs[-3:]]
    for name in BACKENDS:
        y, last, (dx, d_weights, d_state) = calls[name]()
        ours = [y, dx, *last, *d_state, *d_weights[:3]]
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-6)


def test_flax_does_the_same_amount_of_work():
    calls = bench.contestants(SMALL, backward=True)
    ours, theirs = calls["xla"](), calls["flax"]()
    assert ours[0].shape == theirs[0].shape
    total = [sum(leaf.size for leaf in jax.tree.leaves(r[2])) for r in (ours, theirs)]
    assert total[0] == total[1]


def test_rows(monkeypatch):
    monkeypatch.setattr(bench, "tagged", lambda tag: (SMALL,))
    rows = list(bench.rows(runs=2))
    want = [(backend, what) for what in bench.WHAT for backend in BACKENDS]
    assert [(r["backend"], r["what"]) for r in rows] == 2 * want
    half = len(want)
    for row, mean in zip(rows[:half], rows[half:], strict=True):
        assert row["q25"] <= row["median"] <= row["q75"]
        others = {"torch", "flax", "reference"} - {row["backend"]}
        assert set(row["ratios"]) == set(mean["ratios"]) == others
        assert (mean["case"], mean["cases"]) == ("geometric mean", 1)
        said = bench.told(mean)
        assert said is not None
        assert f"{mean['ratios']['torch']:.2f}× torch" in said


def test_an_unknown_case_is_named():
    with pytest.raises(ValueError, match="'huge' is not one of the cases words"):
        next(bench.rows(["huge"]))
