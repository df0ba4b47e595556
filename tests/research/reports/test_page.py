import html.parser
import io
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from research.reports.page import write_report
from research.reports.runs import read_run, read_runs

NAMES = ("seed_gan", "steady_gan", "pixel_lstm")
PICTURES = 8 + 3  # real, real at two levels, three runs, nearest; three charts
BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
# Counts what is drawn and writes it where --dump-dom shows it.
PROBE = """<script>
window.addEventListener("load", () => {
  const images = [...document.images].filter(i => i.naturalWidth > 0 && i.alt);
  const charts = [...document.querySelectorAll("svg[aria-label]")]
    .filter(s => s.getBoundingClientRect().height > 100 && s.querySelector("path"));
  const wide = document.documentElement.scrollWidth > window.innerWidth;
  document.body.dataset.found = `${images.length}+${charts.length} wide=${wide}`;
});
</script></body>"""


class References(html.parser.HTMLParser):
    """Collects every attribute that a browser would follow."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        names = ("src", "href", "srcset", "data", "action", "poster", "xlink:href")
        self.found += [value or "" for name, value in attrs if name in names]


@pytest.fixture(scope="module")
def report(compared, tmp_path_factory):
    folder = shutil.copytree(compared, tmp_path_factory.mktemp("page") / "runs")
    return write_report(folder, read_runs([folder / name for name in NAMES]))


def page_of(folder, *workdirs):
    return write_report(folder, read_runs(workdirs or [folder])).read_text()


def test_the_page_asks_for_nothing_outside_itself(report):
    text = report.read_text()
    references = References()
    references.feed(text)
    inside = ("data:image/png;base64,", "#")
    assert len(references.found) > PICTURES
    assert [r[:80] for r in references.found if not r.startswith(inside)] == []
    assert re.findall(r"https?://|@import|url\((?!#)", text) == []
    assert "<script" not in text


@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome here")
@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_without_network_draws_every_picture(report, tmp_path, width):
    probe = tmp_path / "probe.html"
    probe.write_text(report.read_text().replace("</body>", PROBE))
    command = [
        str(BROWSER),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},900",
        "--virtual-time-budget=5000",
        "--dump-dom",
        probe.as_uri(),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    found = re.search(r'data-found="([^"]*)"', run.stdout)
    assert found is not None, run.stdout[-500:]
    assert found[1] == "8+3 wide=false"


def test_the_page_says_what_the_numbers_say(report):
    for text in (report.read_text(), report.with_suffix(".md").read_text()):
        assert "seed_gan collapsed to 2 of 1,000 classes; steady_gan drew 871" in text
        assert "steady_gan is 263 (255 to 271) away, 87 times the floor" in text
        assert "pixel_lstm spends 0.487 bits" in text
        assert "FID" not in text


def test_other_numbers_make_another_page(comparison):
    first = comparison / "seed_gan" / "summary.json"
    second = comparison / "steady_gan" / "summary.json"
    one, two = first.read_text(), second.read_text()
    first.write_text(two)
    second.write_text(one)
    text = page_of(comparison, *(comparison / name for name in NAMES))
    assert "steady_gan collapsed to 2 of 1,000 classes; seed_gan drew 871" in text


def test_markdown_shows_files_that_are_there(report):
    text = report.with_suffix(".md").read_text()
    files = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert len(files) == PICTURES
    for file in files:
        with Image.open(report.parent / file) as image:
            assert image.width >= 400
    assert "\n\n|" not in text.partition("| --- |")[2].partition("## ")[0]


def test_grids_hold_the_pictures_of_the_runs(report):
    run = read_run(report.parent / "steady_gan")
    assert run.pictures is not None
    with Image.open(report.parent / "report" / "grid_steady_gan.png") as image:
        pixels = np.asarray(image)
    small = pixels[::3, ::3]
    assert small.shape == (5 * 28 + 4 * 2, 5 * 28 + 4 * 2, 4)
    np.testing.assert_array_equal(small[30:58, 60:88, :3], run.pictures[7])
    assert small[28:30, :, 3].max() == 0  # the gap is transparent
    real = np.asarray(
        Image.open(io.BytesIO((report.parent / "report/grid_real.png").read_bytes()))
    )
    levels = np.asarray(Image.open(report.parent / "report/grid_real_thresholded.png"))
    np.testing.assert_array_equal(levels[..., :3], 255 * (real[..., :3] > 127))


def test_one_run_and_a_run_without_pictures_have_a_page_too(comparison):
    alone = comparison / "steady_gan"
    text = page_of(alone)
    assert "<h1>steady_gan drew 871 of 1,000 classes.</h1>" in text
    assert "★" not in text
    shutil.rmtree(alone / "samples")
    (alone / "summary.json").unlink()
    text = page_of(alone)
    assert "<img" not in text
    assert "real data" not in text
    assert "steady_gan stands at step 1,700" in text


def test_missing_data_is_told_on_the_page(comparison):
    run = comparison / "steady_gan"
    config = (run / "config.json").read_text()
    (run / "config.json").write_text(config.replace("stacked_digits", "stacked_dogs"))
    text = page_of(run)
    assert "Real samples are not shown: research/data has no" in text


def test_names_are_escaped(comparison):
    run = comparison / "steady_gan"
    config = (run / "config.json").read_text()
    (run / "config.json").write_text(
        config.replace("steady_gan was", "<script>alert(1)</script> was")
    )
    assert "<script" not in page_of(run)
