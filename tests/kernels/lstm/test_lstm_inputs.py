"""Bad input is refused in one line with the shapes and the rule; backends explain."""

import jax
import jax.numpy as jnp
import pytest

from kernels import LstmState, LstmWeights, UnsupportedCase, explain, lstm, lstm_cell
from kernels.lstm import dispatch, spec, xla
from kernels.lstm.backend import Backend

X = jnp.zeros((2, 3, 5))
WEIGHTS = LstmWeights(jnp.zeros((5, 16)), jnp.zeros((4, 16)), jnp.zeros(16))
STATE = LstmState(jnp.zeros((2, 4)), jnp.zeros((2, 4)))
HALF = jax.tree.map(lambda a: a.astype("bfloat16"), WEIGHTS)


def test_the_good_call_is_taken():
    assert lstm(X, WEIGHTS, STATE, lengths=jnp.array([3, 0]))[0].shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": jnp.zeros((2, 5))}, r"x is float32\[2, 5\].*\[batch, time, features\]"),
        ({"x": jnp.zeros((2, 3, 5), int)}, r"x is int32\[2, 3, 5\]"),
        ({"x": jnp.zeros((2, 3, 6))}, r"wx has shape \(5, 16\).*\(6, 16\)"),
        ({"weights": WEIGHTS._replace(b=jnp.zeros(1))}, r"b has shape \(1,\).*\(16,\)"),
        (
            {"weights": WEIGHTS._replace(wh=jnp.zeros((4, 15)))},
            r"wh has .*\(4, 15\)",
        ),
        ({"weights": WEIGHTS._replace(wh=jnp.zeros((3, 16)))}, "without a projection"),
        ({"weights": WEIGHTS._replace(peephole=jnp.zeros((2, 4)))}, r"\(3, 4\)"),
        ({"weights": WEIGHTS._replace(projection=jnp.zeros((4, 3)))}, r"\(4, 4\)"),
        ({"weights": HALF}, "wx is bfloat16, but must be float32: cast it"),
        ({"state": STATE._replace(h=jnp.zeros((4, 2)))}, r"state.h has shape \(4, 2\)"),
        (
            {"state": STATE._replace(c=STATE.c.astype("bfloat16"))},
            "state.c is bfloat16",
        ),
        ({"h_mask": jnp.ones(4)}, r"h_mask has shape \(4,\)"),
        ({"resets": jnp.zeros((3, 2), bool)}, r"resets has shape \(3, 2\).*\(2, 3\)"),
        ({"resets": jnp.zeros((2, 3))}, "resets is float32, but must be bool"),
        ({"lengths": jnp.zeros(3, int)}, r"lengths is int32\[3\].*\(2,\)"),
        ({"lengths": jnp.zeros(2)}, r"lengths is float32\[2\]"),
        ({"lengths": jnp.array([1, 4])}, r"lengths holds 4, .*\[0, 3\]"),
        ({"lengths": jnp.array([-1, 3])}, r"lengths holds -1"),
        (
            {"backend": "cudnn"},
            "backend 'cudnn' is not one of pallas_tpu, pallas_gpu, native",
        ),
        ({"backend": "kernels.lstm.none"}, "none' is no package.module that holds"),
        ({"backend": "../none"}, "'../none' is no package.module that holds"),
        ({"backend": "kernels.lstm.xla"}, "xla' is no package.module that holds"),
        ({"residuals": "all"}, "residuals is 'all', not one of recompute, store"),
    ],
)
def test_wrong_input_is_named(change, said):
    call = {"x": X, "weights": WEIGHTS, "state": STATE} | change
    with pytest.raises(ValueError, match=said) as caught:
        lstm(**call)
    assert "\n" not in str(caught.value)


def test_the_cell_checks_too():
    with pytest.raises(ValueError, match=r"state.h has shape \(2, 4\).*\(3, 4\)"):
        lstm_cell(jnp.zeros((3, 5)), STATE, WEIGHTS)


@pytest.mark.parametrize("policy", ["store", "checkpoint"])
@pytest.mark.parametrize("reverse", [False, True])
def test_lengths_inside_jit_are_clipped(policy, reverse):
    weights = WEIGHTS._replace(b=jnp.ones(16))
    run = jax.jit(
        lambda n: lstm(X, weights, lengths=n, residuals=policy, reverse=reverse)
    )
    got, want = run(jnp.array([9, -4])), run(jnp.array([3, 0]))
    assert all(map(jnp.array_equal, jax.tree.leaves(got), jax.tree.leaves(want)))


def picky(case: spec.Case) -> str | None:
    return None if case.hidden % 128 == 0 else f"hidden is {case.hidden}, not k·128"


@pytest.fixture
def with_picky(monkeypatch):
    backend = Backend(picky, xla.forward, xla.backward, "store")
    others = {name: dispatch.BACKENDS[name] for name in ("xla", "reference")}
    monkeypatch.setattr(dispatch, "BACKENDS", {"picky": backend} | others)


@pytest.mark.usefixtures("with_picky")
def test_a_backend_that_cannot_says_why_and_what_can():
    with pytest.raises(UnsupportedCase, match=r"'picky'.*is 4.*xla, reference can"):
        lstm(X, WEIGHTS, backend="picky")
    assert explain(X, WEIGHTS) == {
        "picky": "hidden is 4, not k·128",
        "xla": "taken",
        "reference": "able",
    }


@pytest.mark.usefixtures("with_picky")
def test_the_first_backend_that_can_is_taken():
    weights = jax.eval_shape(
        lambda: LstmWeights(jnp.zeros((5, 512)), jnp.zeros((128, 512)), jnp.zeros(512))
    )
    assert explain(X, weights)["picky"] == "taken"


def test_a_backend_of_ones_own_is_a_module(monkeypatch, tmp_path):
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab" / "loop.py").write_text(
        "from kernels.lstm import xla\n"
        "from kernels.lstm.backend import Backend\n"
        "BACKEND = Backend(xla.supports, xla.forward, xla.backward, 'store')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    y, _ = lstm(X + 1, WEIGHTS, backend="my_lab.loop")
    assert (y == lstm(X + 1, WEIGHTS, backend="xla")[0]).all()
