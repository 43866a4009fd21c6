"""One recorded seed trained again in the place of a whole judgement."""

from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import pytest

from deepcaptcha.keras import environment
from deepcaptcha.plugin.judging import Convergence
from deepcaptcha.plugin.marker import read_marker
from deepcaptcha.report.words import summary_lines, verdict_line, verdict_table
from deepcaptcha.trials.ledger import read_ledger
from deepcaptcha.trials.runner import Runner
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.baseline import make_baseline, read_baseline, write_record
from deepcaptcha.verdicts.claim import Budget, Claim

CLAIM = Claim("trains", 0.9, 0.1)
DIGESTS = {
    **dict.fromkeys(("training data", "validation data", "configuration", "callbacks"), "d"),
    "epochs": "2",
    "target": "val_accuracy",
}


@dataclass(frozen=True)
class Sure:
    """A source whose trials have the digests of a Keras model; `moved` is added to what it logs."""

    name: str = "sure"
    recipe: str = "tiny"
    target: Target = field(default_factory=lambda: Target(0.9, epochs=2, chance=0.1))
    moved: float = 0.0
    digests: dict = field(default_factory=lambda: DIGESTS)
    code: str = "k"

    def _source(self):
        return FunctionSource(self._train, self.target, self.name, "1", self.recipe)

    def _train(self, seed):
        yield {"val_accuracy": 0.5 + self.moved, "loss": 1 / (seed + 1)}
        yield {"val_accuracy": 0.95 + self.moved, "loss": 1 / (seed + 2)}

    def identity(self, seed):
        return {**self._source().identity(seed), "environment": environment.describe()}

    def run(self, seed, *, steps=None):
        trial = self._source().run(seed, steps=None)
        own = {"order": f"o{seed}", "initial weights": f"i{seed}", "code": "k"}
        return replace(trial, identity=self.identity(seed), digests={**self.digests, **own})


@pytest.fixture
def ask(tmp_path):
    """Judges `Sure` in a folder with a record of two trials; gives the evidence, or how it failed."""
    write_record(tmp_path / "baselines", make_baseline([Sure().run(seed) for seed in (5, 6)]))

    def make(source=Sure(), record=False, confirm=True):
        reported = []
        runner = runners.enter_context(Runner(tmp_path / "ledger", reuse=False))
        declared = read_marker((), {"hypotheses": 3, "rows": 1})
        asked = Convergence(
            Budget(3),
            2_000_000,
            runner,
            reported.append,
            "pytest",
            declared,
            record,
            confirm=confirm,
        )
        asked.judge(source, CLAIM, baselines=tmp_path / "baselines")
        (evidence,) = reported
        return evidence

    with ExitStack() as runners:
        make.folder = tmp_path
        yield make


def trained(folder):
    return len(read_ledger(folder / "ledger").trials)


def test_an_unchanged_row_costs_one_training(ask):
    evidence = ask()
    assert evidence.unchanged
    assert trained(ask.folder) == 1
    assert "recorded on" in evidence.confirmation
    assert "with 2 of 2 converged, no verdict is recorded; seed 5" in evidence.confirmation
    assert evidence.colour == "cannot tell"
    lines = " ".join(summary_lines([evidence, replace(evidence, name="twin")], 2, False))
    assert "2 rows unchanged: a recorded seed of each came again bit for bit" in lines
    assert "2 rows of them have no verdict on record" in lines
    assert "sure under tiny and twin under tiny are one piece of evidence" in lines
    assert "trials took" not in lines
    assert "unchanged" in verdict_table([evidence]).as_markdown()
    assert "unchanged: recorded on" in verdict_line(evidence)


def test_a_verdict_is_recorded_once_and_stands_from_then_on(ask):
    first = ask(record=True)
    assert first.verdicts[0].colour == "green"
    after = trained(ask.folder)
    assert after > 1  # it was judged
    again = ask()
    assert (again.unchanged, again.verdicts) == (True, first.verdicts)
    assert trained(ask.folder) == after  # but for the repetition, which the ledger holds already
    assert "judged on" in again.confirmation
    # At 0.9 / 0.1 with a third of 5 % each: the share the verdict was reached with.
    assert again.verdicts[0].alpha <= 0.05 / 3


def test_a_recorded_red_stays_red_and_says_since_when(ask):
    ask(record=True)
    record = read_baseline(ask.folder / "baselines", "sure", "tiny")
    record.judged["verdicts"][0]["colour"] = "red"
    write_record(ask.folder / "baselines", record)
    with pytest.raises(pytest.fail.Exception) as failed:
        ask()
    assert str(failed.value).startswith("Unchanged: recorded on ")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"moved": 0.01}, "changed: val_accuracy after epoch 1: 0.51, recorded 0.5 (+0.01)"),
        (
            {"digests": {**DIGESTS, "validation data": "leaked"}},
            "changed: validation data: leaked, recorded d",
        ),
        ({"name": "new", "digests": {}}, "not confirmed: no record"),
    ],
)
def test_what_is_not_the_same_is_judged_and_says_why(ask, change, words):
    source = Sure(**change)
    if source.name == "new":
        made = make_baseline([source.run(seed) for seed in (5, 6)])
        write_record(ask.folder / "baselines", replace(made, history=()))
        words = f"not confirmed: its record of {made.date} holds no values or digests of its trials"
    evidence = ask(source)
    assert not evidence.unchanged
    assert evidence.confirmation.startswith(words)
    ways = "judged instead, with" if source.name == "new" else "compared by"
    assert evidence.confirmation.endswith(f"{ways} {len(evidence.trials)} trainings")
    assert evidence.confirmation in " ".join(summary_lines([evidence], 1, False))


def test_a_record_takes_the_code_that_still_trains_it(ask):
    """Code that is another trains the longest trial; where that comes again, the code is recorded."""
    other = Sure(code="other")
    evidence = ask(other)
    assert evidence.unchanged
    assert "its longest trial: the code that trains is another" in evidence.confirmation
    record = read_baseline(ask.folder / "baselines", "sure", "tiny")
    assert record.digests["code"] == "other"
    assert "its shortest recorded trial" in ask(other).confirmation


def test_without_the_option_all_is_judged_as_ever(ask):
    evidence = ask(confirm=False)
    assert (evidence.unchanged, evidence.confirmation) == (False, "")
