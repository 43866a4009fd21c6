"""What people read of trials and verdicts: tables and words."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import printable
from ..finding import Finding, percent
from ..trials.code import LENGTH
from ..trials.history import symptom_lines
from ..trials.source import is_named, row_text
from ..trials.trial import OUTCOMES, Trial
from ..verdicts.claim import Claim, Verdict
from ..verdicts.judge import Evidence
from ..verdicts.ledgers import ALPHA, ComparedRow
from ..verdicts.recorded import NO_VERDICT
from .table import Table, code, columns, markdown

COMPARISONS = ("as reliable", "as fast", "as before")
"""What a row is judged for against its baseline."""


def recorded_text(recorded: Iterable[tuple[Path, str]]) -> str:
    """The files that were written and the digests of their last lines: what was cut off one later is
    known by nothing else."""
    return ", ".join(f"{path.name} ends with {digest[:LENGTH]}" for path, digest in recorded)


def plural(count: int, word: str, words: str | None = None) -> str:
    """`1 trial`, `2 trials`; thousands set apart by commas."""
    return f"{count:,} {word if count == 1 else words or word + 's'}"


def counts_text(counts: Mapping[str, int]) -> str:
    """What was counted, such as `clipped 6, learning 1`, without what was not seen."""
    return ", ".join(f"{what} {count}" for what, count in counts.items() if count)


def failures_text(outcomes: Mapping[str, int]) -> str:
    """The outcomes other than converged, such as `stuck 3, slow 1`."""
    return counts_text({outcome: outcomes[outcome] for outcome in OUTCOMES[1:]})


def interval_text(interval: tuple[float, float]) -> str:
    """An interval as whole percents, rounded outwards."""
    low, high = interval
    return f"{math.floor(100 * low)}-{math.ceil(100 * high)} %"


def claim_text(claim: Claim) -> str:
    """The claim with its rates, such as `trains 0.95/0.5`."""
    return claim.kind if claim.p_good is None else f"{claim.kind} {claim.p_good:g}/{claim.p_bad:g}"


def failure_message(evidence: Evidence) -> str:
    """Claim, evidence, what explains it, and how to see one failure again, in words that need no table.

    What explains it is as wide as a terminal of 80 columns takes; the verdict, which pytest repeats in
    its summary, and commands stay whole.
    """
    lines = [f"{evidence.confirmation[:1].upper()}{evidence.confirmation[1:]}."]
    lines = lines if evidence.confirmation else []
    for verdict in [verdict for verdict in evidence.verdicts if verdict.colour == "red"]:
        said = _red_text(verdict, evidence.claim)
        lines.append(f"{row_text(evidence.name, evidence.recipe)} {said}.")
        if verdict.alpha is not None:
            lines.append(f"The chance of such a red if all is well: {verdict.alpha:.2g}.")
    if missed := failures_text(evidence.summary.outcomes):
        lines.append(f"The target, {evidence.target.text}, was missed: {missed}.")
    lines += [wrapped(f"{line}.") for line in evidence.symptoms]
    lines += [f"Not as in the baseline, {line}." for line in evidence.changed]
    lines += [f"{evidence.start[:1].upper()}{evidence.start[1:]}."] if evidence.start else []
    if evidence.environment:
        lines.append(f"The baseline's environment differed: {evidence.environment}.")
    lines += evidence.repairs
    if evidence.compiled:
        lines.append(f"It was compiled with {evidence.compiled}.")
    if evidence.again:
        lines.append(f"One of them again: {evidence.again}")
    return printable("\n".join(lines), keep="\n")


def undecided_message(evidence: Evidence) -> str:
    """What was seen before a cap ended the trials, and what would decide it, in one line."""
    told = [
        f"{v.hypothesis}: {v.successes} of {v.trials} {_interval_words(v)}, {v.note}"
        if v.trials
        else f"{v.hypothesis}: {v.note}"
        for v in evidence.verdicts
        if v.colour == "undecided"
    ]
    return printable(f"undecided, {'; '.join(told)}")


def explanation(trials: Sequence[Trial], errors: Sequence[Finding], note: str = "") -> list[str]:
    """Why trials missed their target, a line each, without a full stop: what the check before training
    holds against it, then what the trials show.

    - `errors`: the check's, gravest first; of more than MOST_ERRORS the others are left out. Where there
      are any, a symptom is what was measured, and its advice is left out: theirs comes first.
    - `note`: why there was no check, if it could not be run.
    """
    lines = [f"check, {each.code}: {each.sentence}; {each.fix}" for each in errors[:MOST_ERRORS]]
    if note:
        lines.append(f"the check before training could not be run: {note}")
    return lines + symptom_lines(trials, advice=not errors)


MOST_ERRORS = 3
"""Of the check's errors, those that are told; whoever reads a fourth has stopped reading."""


def wrapped(line: str, width: int = 79) -> str:
    """The line in lines of at most `width` columns, all but the first indented; no word is broken."""
    return textwrap.fill(
        line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _red_text(verdict: Verdict, claim: Claim) -> str:
    counted, interval = f"{verdict.successes} of {verdict.trials} trials", _interval_words(verdict)
    if verdict.hypothesis == "as fast":
        return f"trains more slowly than its baseline: {verdict.note}"
    if verdict.hypothesis == "as before":
        return f"does not train as its baseline did: {verdict.note}"
    if verdict.hypothesis == "as reliable":
        return f"trains less reliably than its baseline: {counted} converged {interval}; {verdict.note}"
    return (
        f"is claimed {claim.kind!r} in at least {100 * (claim.p_good or 0):g} % of trainings; {counted} "
        f"were so {interval}"
    )


def _interval_words(verdict: Verdict) -> str:
    return f"(95 % interval {interval_text(verdict.interval)})"


def row_names(reported: Sequence[Evidence]) -> list[str]:
    """The factory's name for each evidence, with that of the test where several have the same under
    recipes of the same name."""
    counts = Counter((evidence.name, evidence.recipe) for evidence in reported)
    return [
        evidence.name
        if counts[evidence.name, evidence.recipe] == 1
        else f"{evidence.name} ({evidence.test.rpartition('::')[2]})"
        for evidence in reported
    ]


def verdict_table(reported: Sequence[Evidence]) -> Table:
    """A row a factory and recipe, in order of recipe and name, but what is red before all else."""
    named = zip(row_names(reported), reported, strict=True)
    titles = columns(
        *("<factory", "<recipe", "<claim", "k/n", "95 % interval", "verdict"),
        *(f"<{hypothesis}" for hypothesis in COMPARISONS),
        "<bits",
        *("epochs", "min", "<missed", "<symptoms"),
    )
    ordered = sorted(named, key=lambda pair: (not pair[1].red, pair[1].recipe, pair[0]))
    rows = tuple(_verdict_row(name, evidence) for name, evidence in ordered)
    spare = ("symptoms", "epochs", "claim", "missed", "min")
    return Table("Verdicts", titles, rows, spare).without_empty_columns()


def _verdict_row(name: str, evidence: Evidence) -> tuple[str, ...]:
    own, *others = evidence.verdicts
    compared = {verdict.hypothesis: _colour_text(verdict) for verdict in others}
    summary = evidence.summary
    return (
        name,
        evidence.recipe if is_named(evidence.recipe) else "",
        claim_text(evidence.claim),
        f"{own.successes}/{own.trials}",
        interval_text(own.interval),
        "interval only" if evidence.claim.kind == "mixed" else _colour_text(own),
        *(compared.get(hypothesis, "") for hypothesis in COMPARISONS),
        evidence.confirmation.partition(":")[0],
        "" if summary.median_epochs is None else f"{summary.median_epochs:g}",
        f"{summary.seconds / 60:.1f}",
        failures_text(summary.outcomes),
        counts_text(evidence.symptom_counts),
    )


def _colour_text(verdict: Verdict) -> str:
    if verdict.sees is not None:
        sign = "+" if verdict.hypothesis == "as fast" else ""
        return f"{verdict.colour} ({sign}{verdict.sees:.2g})"
    return verdict.colour + ("" if verdict.detects is None else f" ({percent(verdict.detects)})")


def summary_lines(reported: Sequence[Evidence], workers: int, nightly: bool) -> list[str]:
    """What the colours are worth, what they cost on so many `workers` and what they may cost."""
    budget = reported[0].budget
    confirmed = _confirmation_lines(reported, workers)
    if not (reported := [evidence for evidence in reported if not evidence.unchanged]):
        return confirmed
    spent, worst, most = (
        minutes_text(seconds / workers)
        for seconds in (
            sum(evidence.summary.seconds - evidence.seconds_saved for evidence in reported),
            sum(e.worst_expected_trials * e.seconds_per_trial for e in reported),
            sum(e.most_trials * e.seconds_per_trial for e in reported),
        )
    )
    trials = sum(evidence.summary.trials for evidence in reported)
    reused = sum(evidence.reused for evidence in reported)
    from_ledger = f", {reused} of them from the ledger," if reused else ""
    shared = (
        "1 hypothesis has" if budget.hypotheses == 1 else f"{budget.hypotheses} hypotheses share"
    )
    lines = [
        f"{shared} the suite's rates: any false red with at most "
        f"{100 * budget.alpha:g} %, any false green of a claim with at most {100 * budget.beta:g} % "
        f"probability ({budget.share[0]:g} and {budget.share[1]:g} each).",
        *([f"Of alpha, {'; '.join(budget.lines)}."] if budget.rows else []),
        f"{trials} trials{from_ledger} took {spent} on {workers} "
        f"worker{'s' if workers > 1 else ''}; expected at most {worst}, never more than {most}.",
    ]
    for recipe in sorted({evidence.recipe for evidence in reported}):
        chosen = [evidence for evidence in reported if evidence.recipe == recipe]
        if frozen := sum(evidence.frozen for evidence in chosen):
            lines.append(
                f"{recipe}: {frozen} trials were proved stuck early, which saved "
                f"{sum(evidence.epochs_saved_by_proof for evidence in chosen)} of "
                f"{sum(evidence.summary.epochs_planned for evidence in chosen)} epochs."
            )
    verdicts = [(evidence, verdict) for evidence in reported for verdict in evidence.verdicts]
    if any(verdict.detects is not None for _, verdict in verdicts):
        lines.append(
            "verdict (p), as reliable (p): a fall of the rate to p turns it red with 90 % probability."
        )
    seeing = {verdict.hypothesis for _, verdict in verdicts if verdict.sees is not None}
    if "as fast" in seeing:
        lines.append("as fast (+n): n epochs more turn it red with 90 % probability.")
    if "as before" in seeing:
        lines.append(
            "as before (s): a shift of any one measure by s spreads of its seeds is seen with 90 % "
            "probability."
        )
    lines += [
        f"{row_text(evidence.name, evidence.recipe)} trains otherwise than its baseline did: "
        f"{verdict.note}."
        for evidence, verdict in verdicts
        if verdict.colour == "yellow"
    ]
    lines += [
        f"{row_text(name, evidence.recipe)}, {verdict.hypothesis}: undecided, {verdict.note}."
        for name, evidence in zip(row_names(reported), reported, strict=True)
        for verdict in evidence.verdicts
        if verdict.colour == "undecided"
    ]
    lines += [  # a green that says in no number what it would have seen
        f"{row_text(evidence.name, evidence.recipe)} {verdict.hypothesis}: {verdict.note}."
        for evidence, verdict in verdicts
        if (verdict.hypothesis, verdict.colour, verdict.sees) == ("as before", "green", None)
    ]
    lines += [
        f"{row_text(evidence.name, evidence.recipe)}: not as in the baseline, {line}."
        for evidence in reported
        for line in evidence.changed
    ]
    lines += [
        f"{row_text(evidence.name, evidence.recipe)}: cannot tell whether {verdict.hypothesis}: "
        f"{verdict.note}."
        for evidence, verdict in verdicts
        if verdict.hypothesis in COMPARISONS and verdict.colour == "cannot tell"
    ]
    lines += [f"{e.name} under {e.recipe}: {e.start}." for e in reported if e.start]
    for difference in sorted({evidence.environment for evidence in reported} - {""}):
        lines.append(f"Not the environment of the baselines: {difference}.")
    lines = [*confirmed, *lines]
    if nightly:
        alarms = 365 * budget.alpha  # of all hypotheses, while every claim is true
        lines.append(f"Run every night, expect at most {alarms:.0f} false alarms a year.")
    return lines


def _confirmation_lines(reported: Sequence[Evidence], workers: int) -> list[str]:
    """What training recorded seeds again showed; nothing where none was."""
    same = [evidence for evidence in reported if evidence.unchanged]
    lines = []
    if same:
        seconds = sum(evidence.summary.seconds for evidence in same) / workers
        lines.append(
            f"{plural(len(same), 'row')} unchanged: a recorded seed of each came again bit for bit, in "
            f"{seconds:.0f} s on {plural(workers, 'worker')}; recorded verdicts stand, with the rates "
            "they were reached with."
        )
    if bare := sum(e.verdicts[0].note == NO_VERDICT for e in same):
        lines.append(
            f"{plural(bare, 'row')} of them have no verdict on record; judge them once: "
            "--convergence-confirm --convergence-record."
        )
    keys = Counter(evidence.evidence_key for evidence in same)
    for key in [key for key, count in keys.items() if count > 1]:
        twins = [row_text(e.name, e.recipe) for e in same if e.evidence_key == key]
        lines.append(
            f"{' and '.join(twins)} are one piece of evidence: their recorded trials ended in the same "
            "weights."
        )
    # An environment is another one for all rows; what it cost stands after the last semicolon.
    others: dict[str, list[Evidence]] = {}
    for evidence in reported:
        if evidence.confirmation and not evidence.unchanged:
            others.setdefault(evidence.confirmation.rpartition("; ")[0], []).append(evidence)
    for why, rows in others.items():
        if len(rows) == 1:
            (row,) = rows
            lines.append(f"{row_text(row.name, row.recipe)}: {row.confirmation}.")
        else:
            count = plural(sum(row.summary.trials for row in rows), "training")
            lines.append(f"{plural(len(rows), 'row')}: {why}; {count} in all.")
    return lines


def minutes_text(seconds: float) -> str:
    """`40 s`, `3.2 min`, `25 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 600 else f"{seconds / 60:.0f} min"


def verdict_line(evidence: Evidence) -> str:
    """A factory's verdict in one line: the claim's, and those against its baseline."""
    own, *others = evidence.verdicts
    compared = "".join(f"; {verdict.hypothesis}: {verdict.colour}" for verdict in others)
    return (
        f"convergence: {evidence.name} {claim_text(evidence.claim)}: {own.colour}, {own.successes} of "
        f"{own.trials} {_interval_words(own)}{compared}; "
        f"{evidence.summary.seconds - evidence.seconds_saved:.0f} s{_reused_text(evidence)}"
        + "".join(f"; {said}" for said in (evidence.confirmation, evidence.start) if said)
    )


def made_lines(reported: Sequence[Evidence]) -> list[str]:
    """Of each row, red ones first, in Markdown: its test, what was compiled, how long it took, and how
    to see a failing seed again."""
    named = zip(row_names(reported), reported, strict=True)
    return [
        f"{markdown(name)} ({evidence.colour})"
        + (f": {code(evidence.test)}" if evidence.test else "")
        + (f"; compiled with {markdown(evidence.compiled)}" if evidence.compiled else "")
        + f"; {plural(evidence.summary.trials, 'training')}, {evidence.summary.seconds:.0f} s"
        + _reused_text(evidence)
        + (f"; a failing seed again: {code(evidence.again)}" if evidence.again else "")
        for name, evidence in sorted(named, key=lambda pair: not pair[1].red)
    ]


def _reused_text(evidence: Evidence) -> str:
    if not evidence.reused:
        return ""
    return f"; {evidence.reused} of {evidence.summary.trials} from the ledger"


def verdict_properties(evidence: Evidence) -> list[tuple[str, str]]:
    """The main figures as pairs of name and value, for a JUnit file."""
    own, *others = evidence.verdicts
    pairs: dict[str, object] = {
        "factory": evidence.name,
        "recipe": evidence.recipe,
        "target": evidence.target.text,
        "claim": claim_text(evidence.claim),
        "verdict": own.colour,
        "successes": own.successes,
        "trials": own.trials,
        "interval_95": interval_text(own.interval),
        **{verdict.hypothesis.replace(" ", "_"): verdict.colour for verdict in others},
        "confirmation": evidence.confirmation,
        "start": evidence.start,
        "outcomes_missed": failures_text(evidence.summary.outcomes),
        "compiled": evidence.compiled,
        "failed_seeds": " ".join(map(str, evidence.failed_seeds)),
        "symptoms": "; ".join(evidence.symptoms),
        "repairs": "\n".join(evidence.repairs),
        "identified": evidence.identified,
        "hypotheses": evidence.budget.hypotheses,
        "seconds": round(evidence.summary.seconds - evidence.seconds_saved, 1),
        "from_ledger": evidence.reused or "",
    }
    return [
        (f"convergence.{name}", printable(str(value), keep="\n"))
        for name, value in pairs.items()
        if value != ""
    ]


def comparison_table(rows: Sequence[ComparedRow]) -> Table:
    """One line a row of two ledgers, with what changed in words."""
    titles = columns(
        "<factory", "<recipe", "before", "after", "epochs", "same bits", "p (Holm)", "<verdict"
    )
    cells = tuple(
        (
            row.name,
            row.recipe,
            _share(*row.before),
            _share(*row.after),
            " -> ".join("-" if m is None else f"{m:g}" for m in row.median_epochs),
            f"{row.same_bits}/{row.common}",
            f"{row.p:.2g}",
            _change_text(row),
        )
        for row in rows
    )
    return Table("What changed", titles, cells)


def _change_text(row: ComparedRow) -> str:
    if row.common and row.same_bits == row.common:
        return "identical"
    told = []
    if row.p <= ALPHA:
        fell = row.after[0] / row.after[1] < row.before[0] / row.before[1]
        told.append(f"trains {'less' if fell else 'more'} reliably")
    if row.moved is not None:
        told.append(f"{row.moved.way} in {row.moved.text}")
    if told:
        return "; ".join(told)
    fall = "no fall" if row.sees_fall == math.inf else f"falls of {100 * row.sees_fall:.0f} points"
    shifts = f", shifts of {row.sees:.2g} spreads" if 0 < row.sees < math.inf else ""
    return f"no change seen (sees {fall}{shifts}{', paired' if row.paired else ''})"


def _share(converged: int, trials: int) -> str:
    return f"{converged}/{trials} ({percent(converged / trials)})"
