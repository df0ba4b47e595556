"""Writing on from a prompt: beside a loop of single steps, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.errors import UserError
from research.models import stacked_lstm, transformer
from research.optimizers import Optimizer
from research.sampling import Sampling
from research.tasks._texts import BEGIN
from research.tasks.language import Language
from research.writing import CHUNK, refuse_prompt, write

MODELS = {
    "lstm": stacked_lstm.Model(hidden=8, layers=1, classes=256, embedding=4),
    "transformer": transformer.Model(
        hidden=8, layers=1, heads=2, context=6, classes=256
    ),
}
LENGTH = CHUNK + 5


@pytest.fixture(scope="module", params=MODELS)
def trained(request):
    task = Language().build(MODELS[request.param], Optimizer(), 1)
    tokens = jnp.zeros((1, 4), jnp.int32)
    state = task.init(jax.random.key(3), {"tokens": tokens})
    # Far from even, so that what was read matters, and not so far that draws do not.
    params = jax.tree.map(lambda a: 3 * a, state.params)
    return task, state._replace(params=params)


def text(trained, prompt, length=LENGTH, seed=0, **how):
    return b"".join(write(*trained, prompt, length, Sampling(**how), seed))


@pytest.mark.parametrize("prompt", [b"", b"In the"])
def test_each_symbol_is_the_likeliest_after_all_before_it(trained, prompt):
    task, state = trained
    written = text(trained, prompt, temperature=0)
    assert len(written) == LENGTH
    # All at once: each is where the logits of the whole text are largest.
    whole = jnp.array([[BEGIN, *prompt, *written]], jnp.int32)
    logits, _ = task.predict(state, whole[:, :-1], None)
    likeliest = np.asarray(logits[0].argmax(-1))[len(prompt) :]
    np.testing.assert_array_equal(likeliest, list(written))


def test_a_longer_text_begins_with_the_shorter_and_seed_and_prompt_change_it(trained):
    short, long = text(trained, b"a", CHUNK - 3), text(trained, b"a", LENGTH)
    assert long.startswith(short)
    assert text(trained, b"a") == long
    assert text(trained, b"a", seed=1) != long
    others = {text(trained, prompt, temperature=0) for prompt in (b"a", b"b", b"cc")}
    assert len(others) > 1


@pytest.mark.parametrize(
    ("prompt", "classes", "shown"),
    [("In ß", 256, "'ß'"), ("abz", 100, "'z'"), ("a\0", 256, r"'\\x00'")],
)
def test_a_symbol_that_the_model_has_not_read_is_refused(prompt, classes, shown):
    known = np.frombuffer(b"In the abz", np.uint8)
    refuse_prompt(b"In the", known, 256, "bible")
    with pytest.raises(UserError, match=f"holds {shown}, which bible never does"):
        refuse_prompt(prompt.encode(), known, classes, "bible")
