"""What the convolution bench times is the same work, and its rows are well formed."""

import numpy as np
import pytest

from kernels.conv_transpose import bench
from kernels.conv_transpose.cases import Case

pytest.importorskip("torch", reason="the bench compares with torch")

UP = Case("up", "conv_transpose", 2, 3, 4, 5, 5, 2, ("bench",))
DOWN = Case("down", "conv", 2, 6, 4, 5, 5, 2, ("bench",))
FLAT = Case("flat", "conv_transpose", 2, 4, 3, 5, 5, 1, ("bench",))


@pytest.mark.parametrize("case", [UP, DOWN, FLAT], ids=str)
def test_jax_computes_what_we_do(case):
    for what in bench.WHAT:
        calls = bench.contestants(case, what)
        ours, theirs = calls["adjoint"](), calls["xla"]()
        if what == "forward":
            ours, theirs = [ours], [theirs]
        for a, b in zip(_flat(ours), _flat(theirs), strict=True):
            # Sums of a million cancel: what is left of one is exact to that.
            atol = 1e-6 * np.abs(b).max()
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol)


def test_torch_computes_what_we_do():
    """Only at stride 1: at stride 2 torch pads the other side, for the same work."""
    calls = bench.contestants(FLAT, "forward")
    y = calls["torch"]().detach().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(calls["adjoint"](), y, atol=1e-4)
    for case in (UP, DOWN):
        calls = bench.contestants(case, "forward")
        theirs = calls["torch"]().permute(0, 2, 3, 1)
        assert calls["adjoint"]().shape == tuple(theirs.shape)


def test_rows(monkeypatch):
    monkeypatch.setattr(bench, "tagged", lambda tag: (UP,))
    rows = list(bench.rows(runs=2))
    assert [row["what"] for row in rows] == list(bench.WHAT)
    assert all(set(row["ratios"]) == {"torch", "xla"} for row in rows)


def _flat(result):
    for part in result:
        yield from _flat(part) if isinstance(part, tuple) else [part]
