"""The search for the largest batch, by itself."""

from launch._settings import choose
from launch.ahead import targets


def test_the_largest_batch_is_found_between_what_fits_and_what_does_not(monkeypatch):
    """The search alone: what fits is made up, 100 shares of 8."""
    from types import SimpleNamespace

    from launch.ahead import findings

    experiment = choose("seed_lstm", ["--batch-size", "96"]).settings
    job = SimpleNamespace(experiment=experiment, train=SimpleNamespace(examples=4000))
    job._replace = lambda experiment: SimpleNamespace(experiment=experiment)
    limit = 800

    def of_jobs(jobs, target):
        fits = jobs[0].experiment.batch_size <= limit
        return SimpleNamespace(why_not=None if fits else "too large")

    monkeypatch.setattr(findings.step, "jobs_of", lambda *_: ([job], None))
    monkeypatch.setattr(findings, "of_jobs", of_jobs)
    place = targets.find("v5e-8")
    found = findings.largest_batch("x", [experiment], place)
    assert found.batch_size <= limit < found.refused
    assert found.refused - found.batch_size <= found.batch_size / 8
    assert found.batch_size % 8 == found.refused % 8 == 0
    assert found.why_not == "too large"
    limit = 4000
    assert findings.largest_batch("x", [experiment], place)[:3] == (4000, None, None)
    limit = 0
    assert findings.largest_batch("x", [experiment], place).batch_size == 0
