"""A reported number and what makes it readable: floor, interval, sample size, unit."""

import math
from typing import Any, NamedTuple

import numpy as np

CONFIDENCE = 0.95  # of every interval in the project


class StandardError(NamedTuple):
    """The standard error of a mean, and how well it is known itself."""

    size: float  # in the unit of the values
    freedom: float  # degrees of freedom of the variance that it is the root of


class Measured(NamedTuple):
    """One number that a run reports.

    The interval tells how far the value moves when the samples are drawn again. It
    does not hold the bias of a small sample: that is what the floor shows.
    """

    value: float
    floor: float | None = None  # what real data scores at the same sample size
    low: float | None = None  # lower end of the 95 % interval of `value`
    high: float | None = None
    samples: int = 0  # examples that `value` was computed from
    unit: str = ""
    against: int = 0  # real held-out examples that those were compared with, if any

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, as `summary.json` keeps them; NaN becomes None."""
        return {name: _plain(field) for name, field in self._asdict().items()}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Measured":
        """The inverse of `to_dict`.

        Raises:
          ValueError: a field that does not exist, or no `value`.
        """
        wrong = sorted(set(fields) - set(cls._fields))
        if wrong or "value" not in fields:
            raise ValueError(
                f"a measured number has the fields {', '.join(cls._fields)} and always "
                f"a value; got {', '.join(map(str, fields)) or 'nothing'}"
            )
        value = math.nan if fields["value"] is None else float(fields["value"])
        return cls(**{**fields, "value": value})


def interval(
    value: float,
    replicates: np.ndarray,
    least: float = -math.inf,
    most: float = math.inf,
) -> tuple[float, float]:
    """The 95 % interval of a statistic from its bootstrap replicates.

    A plug-in statistic such as KL or a Fréchet distance is biased by the sample's
    size, and a resample is biased once more. So the replicates' spread is kept and
    their centre is moved to the value: the percentile interval of Efron, bias-shifted.

    Args:
      value: the statistic of the whole sample.
      replicates: [replicates], the statistic of each resample.
      least, most: the statistic's range; the ends are kept inside it.
    """
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(replicates, [tail, 100 - tail]) - np.mean(replicates)
    return float(max(value + low, least)), float(min(value + high, most))


def mean(values: np.ndarray, unit: str, blocks: np.ndarray | None = None) -> Measured:
    """The mean with a 95 % interval over examples; see `error_of_mean`."""
    value, half = float(np.mean(values)), reach(error_of_mean(values, blocks))
    return Measured(value, None, value - half, value + half, len(values), unit)


def mean_beside(
    values: np.ndarray,
    real: np.ndarray,
    unit: str,
    blocks: np.ndarray | None = None,
) -> Measured:
    """The same, with the mean of real samples' numbers as its floor."""
    return mean(values, unit, blocks)._replace(floor=float(np.mean(real)))


def reach(*errors: StandardError) -> float:
    """Half of the 95 % interval of a sum of independent means, by Student's t.

    Several errors have together the degrees of freedom of Welch (1947), Satterthwaite
    (1946). Of few blocks t is much more than the normal 1.96: 2.68 of ten.
    """
    from scipy.special import stdtrit  # at a run's end, not at every command's start

    size = math.hypot(*(error.size for error in errors))
    if not size:
        return 0.0
    vague = sum((error.size / size) ** 4 / error.freedom for error in errors)
    return float(stdtrit(1 / vague, (1 + CONFIDENCE) / 2)) * size


def error_of_mean(
    values: np.ndarray, blocks: np.ndarray | None = None
) -> StandardError:
    """The standard error of the mean of values [samples].

    Windows that are cut from one record overlap, and count as far fewer than they are.
    So whole blocks of the record are the units (Carlstein 1986, Künsch 1989), and the
    variance is taken from the second differences of their sums: the course of a year,
    which blocks spread evenly over it all follow, is no chance (Wolter 1984, on
    systematic samples).

    Args:
      values: one for each sample.
      blocks: int [samples], of each the block that it was cut from, in the order of
        time where there is one; None: all are independent.

    Returns:
      The error; NaN for fewer than two samples, or three blocks.
    """
    if blocks is None:
        if len(values) < 2:
            return StandardError(math.nan, math.nan)
        size = float(values.std(ddof=1)) / len(values) ** 0.5
        return StandardError(size, len(values) - 1)
    _, places = np.unique(blocks, return_inverse=True)
    sums = np.bincount(places, values - values.mean())
    if len(sums) < 3:
        return StandardError(math.nan, math.nan)
    # A second difference of independent sums has six times their variance.
    variance = np.mean(np.diff(sums, 2) ** 2) / 6
    size = float((len(sums) * variance) ** 0.5) / len(values)
    return StandardError(size, _freedom(len(sums) - 2))


def _freedom(differences: int) -> float:
    """Degrees of freedom of a mean of squared second differences in a row.

    Neighbours share blocks: they correlate by −4/6, the next but one by 1/6. The mean
    of m squares varies as one of m² / Σ ρ² independent ones (Satterthwaite 1946), which
    is 18/35 m of many.
    """
    m = differences
    return m**2 / (m + 2 * (m - 1) * (4 / 6) ** 2 + 2 * max(m - 2, 0) * (1 / 6) ** 2)


def _plain(field: Any) -> Any:
    if isinstance(field, str) or field is None:
        return field
    if math.isnan(field):
        return None
    return int(field) if isinstance(field, (int, np.integer)) else float(field)
