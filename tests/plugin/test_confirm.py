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
    count = len(evidence.trials)
    assert evidence.confirmation.endswith(f"{ways} {count} training{'s' if count > 1 else ''}")
    assert evidence.confirmation in " ".join(summary_lines([evidence], 1, False))


def test_verdicts_on_another_target_do_not_stand(ask):
    assert ask(record=True).verdicts[0].colour == "green"  # 0.95 is above 0.9
    higher = Sure(target=Target(0.99, epochs=2, chance=0.1), digests={**DIGESTS, "target": "0.99"})
    evidence = ask(higher)
    assert evidence.confirmation.startswith("changed: target: 0.99, recorded val_accuracy")
    own, *others = evidence.verdicts
    assert (own.colour, own.trials) == ("cannot tell", 0)
    assert own.note == "its target was val_accuracy >= 0.9 within 2 epochs"
    assert [verdict.hypothesis for verdict in others] == ["as before"]


def test_a_record_takes_the_code_that_still_trains_it(ask):
    """Code that is another trains the longest trial; where that comes again, the code is recorded."""
    other = Sure(code="other")
    evidence = ask(other)
    assert evidence.unchanged
    assert "its longest trial: the code that trains is another" in evidence.confirmation
    record = read_baseline(ask.folder / "baselines", "sure", "tiny")
    assert record.digests["code"] == "other"
    assert "its shortest recorded trial" in ask(other).confirmation


def test_a_record_takes_the_copies_that_it_lacks(ask):
    copies = "0 of 9 in training, 0 of 9 in validation"
    assert ask(Sure(digests={**DIGESTS, "copies": copies}, code="other")).unchanged
    assert read_baseline(ask.folder / "baselines", "sure", "tiny").digests["copies"] == copies


def test_without_the_option_all_is_judged_as_ever(ask):
    evidence = ask(confirm=False)
    assert (evidence.unchanged, evidence.confirmation) == (False, "")


@pytest.fixture
def function(tmp_path):
    """Records a function's trials, or confirms them; gives how it is confirmed and how many trained."""

    def make(train, record=False, target=0.9, **options):
        reported = []
        marker = {
            "target": target,
            "epochs": 3,
            "p_good": 0.9,
            "p_bad": 0.1,
            "hypotheses": 3,
            "rows": 1,
        }
        with Runner(tmp_path / "ledger", reuse=False) as runner:
            asked = Convergence(
                Budget(3),
                2_000_000,
                runner,
                reported.append,
                "pytest",
                read_marker((), marker),
                record,
                confirm=not record,
            )
            before = trained_lines(tmp_path)
            asked.check_training(train, name="mine", baselines=tmp_path / "baselines", **options)
        if record:
            return None
        (evidence,) = reported
        return evidence.confirmation, trained_lines(tmp_path) - before

    return make


def trained_lines(folder):
    return sum(
        len(path.read_text().splitlines()) - 1 for path in (folder / "ledger").glob("*.jsonl")
    )


def improving(loss, first=0.5):
    """A function that reaches 0.9 in two epochs under even seeds, in three under odd ones."""

    def train(seed):
        for epoch in range(2 + seed % 2):
            yield {"val_accuracy": 0.95 if epoch == 1 + seed % 2 else first, "loss": loss(seed)}

    return train


def fine(seed):
    return 1 / (seed % 97 + 3**0.5)


def fine_too(seed):
    return 1 / (3**0.5 + seed % 97)


def coarse(seed):
    return 1.0


def coarse_too(seed):
    return 2.0 - 1.0


def test_a_function_with_another_target_is_not_said_to_read_another_file(function):
    function(improving(fine), record=True)
    confirmation, _ = function(improving(fine), target=0.92)
    assert confirmation.startswith("changed: target: ")
    assert "with the same code" not in confirmation


def test_a_function_of_the_same_code_is_confirmed_by_its_shortest_trial(function):
    function(improving(fine), record=True)
    confirmation, count = function(improving(fine))
    assert count == 1
    assert confirmation.startswith("unchanged: recorded on")
    assert "seed 1000000, its shortest recorded trial, came again bit for bit" in confirmation


def test_a_function_of_other_code_is_confirmed_by_its_longest_trial_where_that_says_enough(
    function,
):
    function(improving(fine), record=True)
    confirmation, count = function(improving(fine_too))
    assert (count, confirmation[:9]) == (1, "unchanged")
    assert "seed 1000001, its longest trial: the code that trains is another" in confirmation


def test_equal_shares_of_other_code_confirm_nothing(function):
    function(improving(coarse), record=True)
    assert function(improving(coarse))[0].startswith("unchanged")
    confirmation, count = function(improving(coarse_too))
    assert confirmation.startswith("changed: code: ")
    assert count > 1


def test_a_function_that_trains_otherwise_is_judged(function):
    function(improving(fine), record=True)
    with pytest.raises(pytest.fail.Exception) as failure:
        function(improving(fine, first=0.25))
    assert str(failure.value).startswith(
        "Changed: val_accuracy after epoch 1: 0.25, recorded 0.5 (-0.25)"
    )
    assert "worse in val_accuracy after epoch 1: 0.250, recorded 0.500" in str(failure.value)


def test_trials_of_a_changed_row_are_to_be_draws_too(function):
    function(improving(fine), record=True)
    with pytest.raises(pytest.fail.Exception, match="gave the very same metrics under seeds"):
        function(improving(lambda seed: fine(0)))


def test_the_same_code_that_trains_otherwise_read_something_unseen(function, tmp_path):
    (tmp_path / "rate").write_text("0.5")

    def train(seed):
        yield {
            "val_accuracy": 0.95,
            "loss": float((tmp_path / "rate").read_text()) * fine(seed),
        }

    function(train, record=True)
    (tmp_path / "rate").write_text("0.25")
    confirmation, count = function(train)
    assert count > 1
    assert "; with the same code: a file that it reads is another, or it ignores" in confirmation


def test_code_without_a_digest_is_confirmed_by_its_version_alone(function, tmp_path):
    with open(tmp_path / "data", "w") as handle:

        def train(seed):
            yield {"val_accuracy": 0.95, "loss": handle.tell() + fine(seed)}

        function(train, record=True)
        confirmation, _ = function(train)
        assert confirmation.startswith(
            "not confirmed: train: handle (_io.TextIOWrapper) has no digest; give the code a version"
        )
        confirmation, _ = function(train, version="1")
        assert "holds no digest of code, target" in confirmation
        function(train, record=True, version="1")
        confirmation, count = function(train, version="1")
        assert (count, confirmation[:9]) == (1, "unchanged")
        assert "its shortest recorded trial" in confirmation
