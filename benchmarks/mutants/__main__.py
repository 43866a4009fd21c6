"""What the suite notices: harmful changes of a training, and harmless ones, judged as a suite does.

    python -m benchmarks.mutants               # or make mutants; about 40 minutes of CPU, resumable
    python -m benchmarks.mutants --write       # and the table in docs/verdicts.md

Each change of `changes.py` is judged against one baseline of its data set, trained here too.
First one recorded seed is repeated for 50 steps, as by `--convergence-confirm`; what is not unchanged
is compared with the baseline between samples, by new seeds of its own, after 4, 8 and 16 trainings;
what is green then, once more seed by seed, with rounding as the ruler. Beside it: `assert accuracy >
target` on the first of the same trainings.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from deepcaptcha.errors import InputError
from deepcaptcha.keras import environment

from .changes import CHANGES, FASHION, RECIPE
from .judging import ALPHA, LackingError, Trials, judge_all, make_reference
from .page import block, place, put_between_markers

FOLDER = Path("build/mutants")
PAGE = Path(__file__).parents[2] / "docs" / "verdicts.md"
PACKAGE = Path("/usr/share/datasets/fashion-mnist")  # of Debian's dataset-fashion-mnist


def write_fashion(package: Path) -> None:
    """The package's images in the layout that a recipe reads; InputError where it is not installed."""

    def read(name: str, header: int) -> np.ndarray:
        return np.frombuffer(
            gzip.decompress((package / name).read_bytes()), np.uint8, offset=header
        )

    try:
        arrays = {
            f"{axis}_{part}": read(f"{file}-{kind}-ubyte.gz", header)
            for part, file in (("train", "train"), ("test", "t10k"))
            for axis, kind, header in (("x", "images-idx3", 16), ("y", "labels-idx1", 8))
        }
    except OSError:
        raise InputError(
            f"{package} has no images; install Debian's dataset-fashion-mnist, or give --fashion FOLDER"
        ) from None
    shaped = {key: v.reshape(-1, 28, 28) if key[0] == "x" else v for key, v in arrays.items()}
    path = Path(FASHION)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **shaped)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing, and print the tables."""
    parser = argparse.ArgumentParser("benchmarks.mutants", description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    parser.add_argument("--fashion", type=Path, default=PACKAGE, help="where Fashion-MNIST lies")
    parser.add_argument("--open", action="store_true", help="without those kept back")
    parser.add_argument(
        "--trained", action="store_true", help="what is trained already, and no more"
    )
    parser.add_argument("--write", action="store_true", help="also into docs/verdicts.md")
    options = parser.parse_args(arguments)
    if options.open and options.write:
        parser.error("--write tells of all changes; leave out --open")
    try:
        if not Path(FASHION).exists():
            write_fashion(options.fashion)
        trials = Trials(FOLDER, 0 if options.trained else options.jobs)
        chosen = [change for change in CHANGES if not (options.open and change.kept_back)]
        rows = []
        for on in RECIPE:
            some = [change for change in chosen if change.on == on]
            try:
                rows += judge_all(some, trials, make_reference(trials, on))
            except LackingError as error:
                print(f"{error} is not trained yet")
    except InputError as error:
        print(f"benchmarks.mutants: {error}", file=sys.stderr)
        return 2
    finally:
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"{(spent.ru_utime + spent.ru_stime) / 60:.1f} minutes of CPU", flush=True)
    told = {(row.name, row.on) for row in rows}
    lacking = [place(change) for change in chosen if (change.name, change.on) not in told]
    words = block(rows, lacking)
    print(words)
    record = {"alpha": ALPHA, "environment": environment.describe(), "rows": [*map(asdict, rows)]}
    (FOLDER / "result.json").write_text(json.dumps(record, indent=1) + "\n")
    if options.write:
        PAGE.write_text(put_between_markers(PAGE.read_text(), words))
    return 0


if __name__ == "__main__":
    sys.exit(main())
