import numpy as np

from research.data import adding, addition, copy_memory, sorting
from research.metrics import music, text
from research.metrics.measured import Measured
from research.reports.kinds import KINDS
from research.reports.runs import read_runs
from research.reports.table import best_places, table


def test_every_number_has_its_interval_floor_and_unit(comparison):
    names = ("seed_gan", "steady_gan", "pixel_lstm")
    rows = {row.name: row for row in table(read_runs([comparison / n for n in names]))}
    frechet = rows["Digit-feature Fréchet distance"]
    assert frechet.note == "squared feature units; less is better; 5,000 samples"
    assert [cell.value for cell in frechet.cells] == ["1,640", "263", "402"]
    assert [cell.best for cell in frechet.cells] == [False, True, False]
    assert frechet.cells[1].interval == "255 to 271"
    assert frechet.cells[1].floor == "3.02"
    classes = rows["Classes drawn"].cells[1]
    assert (classes.value, classes.interval, classes.floor) == (
        "871",
        "862 to 880",
        "996",
    )
    bits = rows["Held-out likelihood"]
    assert [cell.value for cell in bits.cells] == ["–", "–", "0.487"]
    assert rows["Time of a training step"].cells[0].interval == "88.4 ms to 96.1 ms"
    assert rows["Time to draw 1,000 samples"].cells[2].value == "37.8 s"
    assert rows["Parameters"].cells[2].value == "120,456"


def test_a_metric_of_a_fork_has_a_row_of_its_own(comparison):
    runs = read_runs([comparison / "seed_gan"])
    metrics = {"stroke_width": Measured(2.5, samples=70, unit="pixels", against=9)}
    row = table([runs[0]._replace(metrics=metrics)])[0]
    assert row.name == "stroke width"
    assert row.note == "pixels; 70 against 9 real samples"
    assert row.cells[0].value == "2.50"


def test_what_predicts_without_a_network_is_named_as_people_would():
    letters = np.frombuffer(b"in the beginning", np.uint8)
    chords = [np.eye(4, dtype=bool)] * 2
    found = text.memoryless(letters, letters) | music.memoryless(chords, chords)
    for data in (adding, addition, copy_memory, sorting):
        found |= data.memoryless(5)
    assert len(found) == 7
    assert set(found) < set(KINDS)


def test_the_best_shares_its_place_with_those_within_its_interval():
    values = [Measured(10, None, 9, 11), Measured(11.5, None, 10.5, 12.5), None]
    values.append(Measured(20, None, 19, 21))
    assert best_places(values, better=-1) == {0, 1}
    assert best_places(values, better=1) == {3}
    assert best_places(values, better=0) == set()
    assert best_places([Measured(1.0), None], better=1) == set()
