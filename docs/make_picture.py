"""docs/report.png: the top of a study's report. `make study picture` makes it anew."""

import io
import sys
from pathlib import Path

from PIL import Image

from tests.report.browser import chromium

HERE = Path(__file__).parent
WIDTH, HEIGHT, SCALE = 1150, 1225, 1.5
COLOURS = 128  # enough for text and lines, and the file is half as large


def take(report: Path, row: str) -> bytes:
    """A picture of the report's first screen, with one row open."""
    with chromium() as browser:
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE
        )
        page.goto(report.resolve().as_uri())
        # The other rows are folded away, so that the open one is on the first screen.
        page.locator("details.row").evaluate_all(
            "(rows, name) => rows.forEach(row => {"
            " row.open = row.querySelector('b').textContent === name; row.hidden = !row.open })",
            row,
        )
        return page.screenshot()


if __name__ == "__main__":
    picture = Image.open(io.BytesIO(take(Path(sys.argv[1]), sys.argv[2]))).convert("RGB")
    picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        HERE / "report.png", optimize=True
    )
