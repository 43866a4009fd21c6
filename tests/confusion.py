"""`python -m tests.confusion [planted | first | found | unseen | all] [--seeds N] [--repair] [--write]`:
how often the check, a failing test and a repair name the true cause, on models of which it is known.

Of planted faults the truth is a finding's code, and a warning names it too. Of public reports it is a
component, and only an error names it.
"""

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from scipy.stats import binomtest

from deepcaptcha.finding import Finding
from tests.reports.report import GROUPS, Report, Side, reports

PAGE = Path(__file__).parents[1] / "docs" / "diagnosis.md"
PLANTED = ("planted", "held-out")
CHOICES = {"planted": PLANTED, **{group: (group,) for group in GROUPS}}
CHOICES["all"] = (*PLANTED, *GROUPS)
MOST_ERRORS = 3
"""So many errors may be said of one model before they stop being an answer."""
MOST_TRAININGS = 60
"""The budget of a search for a repair."""

Looked = tuple[Finding, ...] | str
"""Findings, or the line that says what was raised in their place."""


@dataclass(frozen=True)
class Case:
    """A model of which the truth is known.

    - `truth`: the components at fault, or the codes of planted ones; empty of a sound model.
    - `beside`: codes of errors that follow from the same planted fault.
    - `broken`, `fixed`: make (model, x, y, validation); None where there is no such version.
    - `report`: whose trainings may be run; None of planted cases.
    """

    group: str
    name: str
    truth: tuple[str, ...]
    beside: tuple[str, ...] = ()
    broken: Callable[[], Any] | None = None
    fixed: Callable[[], Any] | None = None
    report: Report | None = None


@dataclass(frozen=True)
class Search:
    """For a repair: the one that was `shown`, empty where none was; what it took; what was `raised`."""

    shown: str = ""
    trainings: int = 0
    minutes: float = 0.0
    raised: str = ""

    @property
    def words(self) -> str:
        if self.raised:
            return self.raised
        return f"{self.shown or 'none'} ({self.trainings} trainings, {self.minutes:.1f} min)"


@dataclass(frozen=True)
class Row:
    """What was said of a case.

    - `broken`, `fixed`, `twin`: of either version, and of the broken one's opaque twin; None where there
      is none.
    - `sentence`: of the failing test, None where nothing failed or no test was run.
    - `search`: for a repair; None where none was looked for.
    - `seconds`: what the check took, of the broken version where there is one.
    """

    case: Case
    broken: Looked | None = None
    fixed: Looked | None = None
    twin: Looked | None = None
    sentence: Finding | str | None = None
    search: Search | None = None
    seconds: float = 0.0

    @property
    def is_planted(self) -> bool:
        return self.case.group in PLANTED

    def is_true(self, finding: Finding) -> bool:
        """Whether it names the truth."""
        return (finding.code if self.is_planted else finding.component) in self.case.truth

    def is_wrong(self, finding: Finding) -> bool:
        """Whether it is an error that the case is no reason for."""
        follows = self.is_planted and finding.code in self.case.beside
        return finding.severity == "error" and not self.is_true(finding) and not follows

    @property
    def named(self) -> str:
        """`first`, `named` or `missed`; empty of a sound model."""
        if self.broken is None:
            return ""
        told = [f for f in _warnings(self.broken) if self.is_planted or f.severity == "error"]
        if not any(map(self.is_true, told)):
            return "missed"
        return "first" if self.is_true(told[0]) else "named"

    @property
    def is_bad(self) -> bool:
        """Whether the cause is missed, or an error is said that nothing is a reason for."""
        wrong = any(map(self.is_wrong, _warnings(self.broken)))
        raised = isinstance(self.fixed, str)
        return self.named == "missed" or wrong or bool(_errors(self.fixed)) or raised


def _warnings(looked: Looked | None) -> tuple[Finding, ...]:
    """Warnings and errors."""
    if looked is None or isinstance(looked, str):
        return ()
    return tuple(finding for finding in looked if finding.severity != "information")


def _errors(looked: Looked | None) -> tuple[Finding, ...]:
    return tuple(finding for finding in _warnings(looked) if finding.severity == "error")


def _agree(one: Looked, other: Looked) -> bool:
    """The same codes with the same severities, in whatever order; or both raised."""
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str)
    return Counter((f.code, f.severity) for f in one) == Counter(
        (f.code, f.severity) for f in other
    )


# What the rows come to


def totals(rows: Iterable[Row]) -> dict[str, tuple[int, int]]:
    """k of n, by what is counted; what nothing was counted of is left out."""
    rows = tuple(rows)
    faulty = [row for row in rows if row.broken is not None]
    sound = [row for row in rows if row.fixed is not None]
    said = [(row, finding) for row in faulty for finding in _errors(row.broken)]
    true = sum(not row.is_wrong(finding) for row, finding in said)
    judged = [row for row in faulty if row.sentence is not None]
    tried = [row.search for row in faulty if row.search is not None]
    twins = [row for row in faulty if row.twin is not None]
    false = sum(len(_errors(row.fixed)) for row in sound)
    counted = {
        "cause named first": (sum(row.named == "first" for row in faulty), len(faulty)),
        "cause named": (sum(row.named in ("first", "named") for row in faulty), len(faulty)),
        "errors that name a cause, of all that are said": (true, len(said) + false),
        "cause named by the failing test": (
            sum(isinstance(r.sentence, Finding) and r.is_true(r.sentence) for r in judged),
            len(judged),
        ),
        "fix shown": (sum(bool(search.shown) for search in tried), len(tried)),
        "fixed or sound versions with a false error": (
            sum(bool(_errors(row.fixed)) for row in sound),
            len(sound),
        ),
        "fixed or sound versions with a false warning": (
            sum(any(f.severity == "warning" for f in _warnings(row.fixed)) for row in sound),
            len(sound),
        ),
        "opaque twins of which the same is said": (
            sum(_agree(row.broken, row.twin) for row in twins),
            len(twins),
        ),
        "raised": (
            sum(isinstance(part, str) for row in rows for part in _looked(row)),
            sum(part is not None for row in rows for part in _looked(row)),
        ),
    }
    return {name: (k, n) for name, (k, n) in counted.items() if n}


def _looked(row: Row) -> tuple[Looked | None, ...]:
    return row.broken, row.fixed, row.twin


def interval(k: int, n: int) -> str:
    """`7 of 14 (23 to 77 %)`, with the exact 95 % interval (Clopper and Pearson) of the rate."""
    low, high = binomtest(k, n).proportion_ci(0.95, method="exact")
    return f"{k} of {n} ({100 * low:.0f} to {100 * high:.0f} %)"


# For people

HEADS = (
    "case",
    "truth",
    "cause",
    "said of the broken version (! error)",
    "failing test",
    "fix shown",
    "said of the fixed version",
    "twin",
    "seconds",
)
HEADER = f"| {' | '.join(HEADS)} |\n|{' --- |' * (len(HEADS) - 1)} ---: |"


def line(row: Row) -> str:
    """The row in Markdown."""
    count = len(_errors(row.broken))
    cells = (
        row.case.name,
        ", ".join(row.case.truth) or "sound",
        row.named + (f" ({count} errors)" if count > MOST_ERRORS else ""),
        _codes(row.broken),
        row.sentence.component if isinstance(row.sentence, Finding) else row.sentence or "",
        "" if row.search is None else row.search.words,
        _codes(row.fixed),
        "" if row.twin is None else "agrees" if _agree(row.broken, row.twin) else _codes(row.twin),
        f"{row.seconds:.1f}",
    )
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _codes(looked: Looked | None) -> str:
    if looked is None or isinstance(looked, str):
        return looked or ""
    told = _warnings(looked)
    return ", ".join(f.code + "!" * (f.severity == "error") for f in told) or "nothing"


def summary(rows: Sequence[Row]) -> list[str]:
    """What is counted, and what the searches for a repair took."""
    lines = [f"- {name}: {interval(k, n)}" for name, (k, n) in totals(rows).items()]
    if searched := [row.search for row in rows if row.search is not None]:
        trainings = [search.trainings for search in searched]
        minutes = [search.minutes for search in searched]
        usual = f"{median(trainings):g} trainings and {median(minutes):.1f} minutes (median)"
        worst = f"{max(trainings)} and {max(minutes):.1f} (worst)"
        lines.append(f"- a search for a repair: {usual}, {worst}")
    return lines


def block(rows: Sequence[Row]) -> str:
    """What is counted, and a table: of planted cases only those that are missed or wrongly accused."""
    shown = [row for row in rows if row.is_bad or not row.is_planted]
    lines = summary(rows)
    if shown:
        lines += ["", HEADER, *map(line, shown)]
    return "\n".join(lines)


def put_between_markers(text: str, group: str, words: str) -> str:
    """The text with the words between the two markers of a group; ValueError where these are not."""
    begin, end = f"<!-- confusion: {group} -->\n", f"<!-- end of {group} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{begin.strip()} and, after it, {end} are needed once each")
    before, rest = text.split(begin)
    return f"{before}{begin}\n{words}\n\n{end}{rest.split(end)[1]}"


# The cases, and what is said of them


def cases(group: str) -> Iterator[Case]:
    """Those of one group."""
    if group not in PLANTED:
        for each in reports(group):
            broken, fixed = (partial(_version, each, side) for side in ("broken", "fixed"))
            yield Case(group, each.name, each.components, (), broken, fixed, each)
        return
    from tests.diagnosis.planted import CASES

    for planted in CASES:
        if planted.held_out != (group == "held-out"):
            continue
        make = partial(_planted, planted)
        if planted.expect is None:
            yield Case(group, planted.name, (), fixed=make)
        else:
            yield Case(group, planted.name, (planted.expect,), planted.beside, broken=make)


def _version(each: Report, side: Side) -> Any:
    (x, y), validation = each.data(side)
    length = {"batch": each.batch_size, "epochs": each.epochs}
    return each.build(side), x, y, validation, length


def _planted(case: Any) -> Any:
    model, data = case.make()
    return model, data["x"], data["y"], data.get("validation"), {}


def _twin(make: Callable[[], Any]) -> Any:
    """None where the model is its own twin."""
    from deepcaptcha.keras.backend import keras
    from tests.reports.opaque import opaque

    model, x, *others = make()
    if isinstance(model, keras.Sequential) and not model.built:
        model.build((None, *x.shape[1:]))  # one input, as such models have
    twin = opaque(model)
    return None if twin is model else (twin, x, *others)


def look(make: Callable[[], Any], seed: int) -> tuple[Looked | None, float]:
    """What the check says of what `make` makes, and the seconds that it takes; None where that is None.
    A crash is an answer too, so that the cases after it are looked at."""
    from deepcaptcha.diagnosis.check import check
    from deepcaptcha.keras.backend import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    began = time.perf_counter()
    try:
        made = make()
        began = time.perf_counter()
        if made is None:
            return None, 0.0
        *arguments, length = made
        return check(*arguments, **length), time.perf_counter() - began
    except Exception as error:
        return _raised(error), time.perf_counter() - began


def _raised(error: Exception) -> str:
    first = next(iter(str(error).splitlines()), "")
    return f"raised {type(error).__name__}: {first[:80]}"


def _source(each: Report, tried: bool = True) -> Any:
    """Trials of the broken version."""
    from deepcaptcha.keras.rehearsal import rehearsed_source
    from deepcaptcha.trials.trial import Target

    target = Target(each.target, each.epochs, each.monitor, each.mode)
    build, settings = partial(each.build, "broken"), {"batch": each.batch_size, "name": each.name}
    return rehearsed_source(build, *each.data("broken"), target, tried=tried, **settings)


def failing_test(each: Report, seed: int) -> Finding | str | None:
    """What a failing convergence test of the broken version says first: the check's first error; without
    one, what most of two trials that miss the target show; None where both reach it."""
    from deepcaptcha.diagnosis.check import check
    from deepcaptcha.keras.source import forget_models
    from deepcaptcha.trials.history import diagnose

    try:
        source = _source(each)
        batch, epochs = source.length
        found = check(*source.start(seed), batch=batch, epochs=epochs)
        errors = [finding for finding in found if finding.severity == "error"]
        if errors:
            return errors[0]
        found = [diagnose(source.run(2 * seed + trial)) for trial in (1, 2)]
    except Exception as error:
        return _raised(error)
    finally:
        forget_models()
    told = {finding.code: finding for finding in reversed(found) if finding is not None}
    counts = Counter(finding.code for finding in found if finding is not None)
    return told[counts.most_common(1)[0][0]] if counts else None


def search(each: Report, seed: int) -> Search:
    """For the smallest repair of the broken version."""
    from deepcaptcha import repair
    from deepcaptcha.diagnosis.check import check
    from deepcaptcha.keras.source import forget_models

    try:
        source = _source(each, tried=False)
        batch, epochs = source.length
        findings = check(*source.start(seed), batch=batch, epochs=epochs)
        found = repair(source, findings=findings, max_trials=MOST_TRAININGS, first_seed=seed)
    except Exception as error:
        return Search(raised=_raised(error))
    finally:
        forget_models()
    shown = " + ".join(found.found.names) if found.found is not None and found.shown else ""
    return Search(shown, found.trials, found.seconds / 60)


def row_of(case: Case, seed: int, repair: bool) -> Row:
    """All that is said of a case; a repair is looked for where `repair` is true."""
    broken = fixed = twin = None
    seconds = 0.0
    if case.fixed is not None:
        fixed, seconds = look(case.fixed, seed)
    if case.broken is not None:
        broken, seconds = look(case.broken, seed)
        twin, _ = look(partial(_twin, case.broken), seed)
    return Row(
        case,
        broken,
        fixed,
        twin,
        None if case.report is None else failing_test(case.report, seed),
        search(case.report, seed) if repair and case.report is not None else None,
        seconds,
    )


def main(arguments: Sequence[str]) -> int:
    """1 if a planted fault is missed or taken for another, or a sound planted model refused."""
    options = _read(arguments)
    # Before the reports import Keras: trainings want TensorFlow as they set it.
    import deepcaptcha.keras.backend  # noqa: F401

    # A model anew is a trace anew, of which TensorFlow would warn in the midst of the table.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    bad = False
    for group in CHOICES[options.group]:
        print(f"\n{group}\n\n{HEADER}", flush=True)
        rows = []
        for case in cases(group):
            for seed in range(options.seeds):
                rows.append(row_of(case, seed, options.repair))
                print(line(rows[-1]), flush=True)
        print("", *summary(rows), sep="\n")
        bad |= any(row.is_bad for row in rows if row.is_planted)
        if options.write and rows:
            PAGE.write_text(put_between_markers(PAGE.read_text(), group, block(rows)))
    return int(bad)


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.confusion", usage=__doc__.split("`")[1], allow_abbrev=False
    )
    parser.add_argument("group", nargs="?", default="all", choices=CHOICES)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--repair", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.error = lambda message: sys.exit(f"tests.confusion: {message}")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error(f"--seeds is {options.seeds}; at least 1 is needed")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
