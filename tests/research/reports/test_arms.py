"""Arms of a population: grouping by settings, their numbers by hand, and the page."""

import numpy as np
import pytest

from research.metrics.measured import Measured
from research.reports.arms import Arms, arms_of, grouped, headline, modes_of
from research.reports.runs import Run

MODES = {"good": (25, 25, 24), "bad": (3, 5, 4)}


def run_of(arm, seed, modes, kl):
    return Run(
        name=f"{arm}/seed_{seed}",
        claim="c",
        family="gan",
        config={"seed": seed, "task": {"loss": arm}},
        stamp={},
        history=[],
        summary={"experiment": "grid"},
        metrics={
            "modes_captured": Measured(modes, 25, unit="of 25"),
            "kl_to_uniform": Measured(kl, 0.0, unit="nats"),
        },
        medium="points",
        samples=None,
    )


def shown(runs) -> Arms:
    found = arms_of(runs)
    assert found is not None
    return found


@pytest.fixture
def runs():
    """Seeds of two arms in turn, as no folder would list them."""
    return [
        run_of(arm, seed, MODES[arm][seed], 0.1 * (seed + 1))
        for seed in range(3)
        for arm in MODES
    ]


def test_runs_that_differ_in_the_seed_alone_are_an_arm(runs):
    arms = grouped(runs)
    assert [arm.name for arm in arms] == ["good", "bad"]
    assert [len(arm.runs) for arm in arms] == [3, 3]
    assert [arm.complete for arm in arms] == [2, 0]


def test_means_standard_errors_and_the_worst_seed(runs):
    good, bad = shown(runs).rows
    assert good.complete == "2 of 3"
    error = np.std([25, 25, 24], ddof=1) / np.sqrt(3)
    assert good.cells[0] == (f"24.7 ± {error:.3f}", "worst 24")
    assert bad.cells[0] == (f"4 ± {1 / np.sqrt(3):.3f}", "worst 3")
    assert good.cells[1][1] == "worst 0.300"  # of a KL, the largest


def test_the_best_and_the_worst_arm_are_the_headline(runs):
    want = "good reached every mode in 2 of 3 seeds, bad in 0 of 3 seeds"
    assert headline(runs) == want
    assert headline(runs[:1]) is None
    assert arms_of(runs[:2]) is None  # one seed of each
    assert headline(runs[::2]) == "good reached every mode in 2 of 3 seeds"


def test_a_run_that_diverged_counts_as_one_that_did_not_reach_them(runs):
    lost = runs[0]._replace(metrics={})
    good = grouped([lost, *runs[1:]])[0]
    assert good.complete == 1
    assert good.values("modes_captured") == [25, 24]


def test_an_arm_that_diverged_at_every_seed_is_still_told(runs):
    runs = [r._replace(metrics={}) if r.name.startswith("bad") else r for r in runs]
    bad = shown(runs).rows[1]
    assert bad.complete == "0 of 3"
    assert bad.cells[0] == ("–", "every seed diverged")
    assert "bad in 0 of 3 seeds" in str(headline(runs))


def test_the_number_of_modes_is_read_from_the_unit():
    assert modes_of(Measured(732, unit="of 1,000")) == 1000


def test_the_picture_has_a_dot_for_every_seed(runs):
    page = shown(runs)
    assert page.svg.startswith("<svg")
    assert "good" in page.svg
    assert page.png.startswith(b"\x89PNG")
    assert "bad: all modes in 0 of 3 seeds" in page.alt
