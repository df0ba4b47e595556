"""Numbers as a reader likes them: three digits, thousands apart, with their unit."""

import math


def number(value: float) -> str:
    """`0.0975`, `12.3`, `1,650`; whole numbers stay whole; NaN is `not a number`."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == round(value) or abs(value) >= 1_000:
        return _signed(f"{round(value):,}")
    # Three significant digits, but no more than four decimals.
    leading = math.floor(math.log10(abs(value)))
    return _signed(f"{value:.{min(max(2 - leading, 0), 4)}f}")


def brief(value: float) -> str:
    """Two significant digits and no closing zeros: `0.64`, `1.8`, `39`, `230`."""
    rounded = float(f"{value:.2g}")
    if abs(rounded) >= 10:
        return number(round(rounded))
    return _signed(f"{rounded:g}")


def span(low: float, high: float) -> str:
    """An interval, with the decimals that its width asks for: `0.481 to 0.494`."""
    width = high - low
    if width <= 0 or not math.isfinite(width):
        return f"{number(low)} to {number(high)}"
    # Two digits of a width that starts with 1 or 2, one of others.
    decimals = math.ceil(math.log10(3 / width) - 1e-9)
    decimals = min(max(decimals, 0), 4)
    return " to ".join(_signed(f"{end:,.{decimals}f}") for end in (low, high))


def duration(seconds: float) -> str:
    """`0.4 ms`, `91.2 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`."""
    if seconds < 1:
        return f"{float(f'{seconds * 1_000:.3g}'):g} ms"
    if seconds < 99.95:
        return f"{float(f'{seconds:.3g}'):g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def roughly(seconds: float) -> str:
    """An estimate: `about 36 min`, `about 5.7 h`, `about 3 days`."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size or (unit == "h" and seconds >= 5_400):
            return f"about {brief(seconds / size)} {unit}"
    return f"about {brief(seconds)} s"


def times(ratio: float) -> str:
    """How many times as much: `1.4 times`, `37 times`."""
    return f"{brief(ratio)} times"


def listing(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _signed(text: str) -> str:
    return text.replace("-", "−")
