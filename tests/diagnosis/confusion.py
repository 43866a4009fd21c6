"""`python -m tests.diagnosis.confusion [development | held-out | all] [--seeds N]`: the pre-flight
check on the planted cases, each with N weight seeds; a fault is found, a sound model is not refused."""

import argparse
import sys

from deepcaptcha.diagnosis.check import check
from deepcaptcha.keras.backend import keras
from tests.diagnosis.planted import CASES

HALVES = {"development": (False,), "held-out": (True,), "all": (False, True)}


def main(arguments):
    """1 if any fault is missed, any sound model refused or any fault taken for another."""
    options = _read(arguments)
    counts = []
    print(f"{'case':<55} {'half':<12} found   wrong  findings of seed 0 (! error)")
    for case in CASES:
        if case.held_out not in HALVES[options.half]:
            continue
        seen = [_check(case, seed) for seed in range(options.seeds)]
        found = sum(case.is_found(findings) for findings in seen)
        wrong = sum(bool(case.wrong_errors(findings)) for findings in seen)
        counts.append((case, found, wrong))
        codes = [f"{f.code}{'!' * (f.severity == 'error')}={f.value:.3g}" for f in seen[0]]
        cells = [f"{n}/{options.seeds}" for n in (found, wrong)]
        if case.expect is None:
            cells[0] = "-"
        bad = wrong or (case.expect and found < options.seeds)
        print(
            f"{case.name:<55} {_half(case.held_out):<12} {cells[0]:>5} {cells[1]:>7}  "
            f"{'BAD: ' if bad else ''}{', '.join(codes)}",
            flush=True,
        )
    totals = [_total(counts, held_out, options.seeds) for held_out in HALVES[options.half]]
    print("; ".join(words for words, _ in totals))
    return int(any(bad for _, bad in totals))


def _read(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m tests.diagnosis.confusion", usage=__doc__.split(":")[0], allow_abbrev=False
    )
    parser.add_argument("half", nargs="?", default="development", choices=HALVES)
    parser.add_argument("--seeds", type=int, default=1)
    parser.error = lambda message: sys.exit(f"tests.diagnosis.confusion: {message}")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error(f"--seeds is {options.seeds}; at least 1 is needed")
    return options


def _half(held_out):
    return "held-out" if held_out else "development"


def _check(case, seed):
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model, data = case.make()
    return check(model, **data)


def _total(counts, held_out, seeds):
    own = [row for row in counts if row[0].held_out == held_out]
    faulty = [(found, wrong) for case, found, wrong in own if case.expect is not None]
    refused = [wrong for case, _, wrong in own if case.expect is None]
    found, others = (sum(column) for column in zip(*faulty, strict=True))
    words = (
        f"{_half(held_out)}: faults found {found} of {seeds * len(faulty)}, with another error "
        f"{others}, sound refused {sum(refused)} of {seeds * len(refused)}"
    )
    return words, found < seeds * len(faulty) or others or sum(refused)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
