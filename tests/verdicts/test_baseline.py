"""Recorded references: written, read, and noticed when a model trains less well."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from deepcaptcha import InputError
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.baseline import (
    Baseline,
    baseline_path,
    differences,
    find_record,
    make_baseline,
    read_baseline,
    require_comparable,
    write_baseline,
    write_record,
)
from tests.verdicts.examples import RECIPE, baseline, trial


def test_a_baseline_is_written_and_read_again(tmp_path):
    made = baseline(20)
    path = write_baseline(tmp_path, made)
    assert path == baseline_path(tmp_path, "same", "points") == tmp_path / "points" / "same.json"
    assert read_baseline(tmp_path, "same", "points") == made
    assert made.converged == 20
    assert made.outcomes[19:21] == ("converged", "stuck")
    assert made.epochs_to_target[19:21] == (1, None)
    assert read_baseline(tmp_path, "valid", "points") is None


def test_a_baseline_ends_with_the_digest_of_all_before_it(tmp_path):
    path = write_baseline(tmp_path, baseline())
    text = path.read_text()
    body, _, digest = text.rpartition(',\n  "digest": ')
    assert digest == f'"{hashlib.sha256(body.encode()).hexdigest()}"\n}}\n'
    assert read_baseline(tmp_path, "same", "points").digest == json.loads(digest[:-2])
    path.write_bytes(text.replace("\n", "\r\n").encode())  # as version control may write it
    assert read_baseline(tmp_path, "same", "points") == baseline()
    path.write_text(text.replace('"stuck"', '"converged"', 1).replace('"data": "d"', '"data": "e"'))
    with pytest.raises(InputError, match="it was changed after it was written"):
        read_baseline(tmp_path, "same", "points")


def test_a_baseline_of_another_row_is_refused(tmp_path):
    path = write_baseline(tmp_path, baseline())
    path.rename(path.with_name("valid.json"))
    with pytest.raises(
        InputError, match=r"valid\.json cannot be read \(it is of same under points\)"
    ):
        read_baseline(tmp_path, "valid", "points")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("outcomes", ["converged"] * 29 + ["perhaps"]),
        ("epochs_to_target", [1] * 29),
        ("epochs_to_target", [1] * 29 + [None]),
        ("first_seed", -1),
        ("date", "yesterday"),
        ("weights", ["aa"] * 3),
        ("history", [[{"loss": "low"}]] * 30),
        ("recipe", {**RECIPE, "epochs": "five"}),
        ("shapes", [["wide"]]),
    ],
)
def test_values_that_no_baseline_has_are_refused(tmp_path, field, value):
    """Of a file without a digest, nothing else tells that it was changed."""
    path = write_baseline(tmp_path, baseline())
    record = {**json.loads(path.read_text()), field: value, "format": 2}
    del record["digest"]
    path.write_text(json.dumps(record))
    with pytest.raises(
        InputError,
        match=r"same\.json cannot be read .*; restore it, or remove it and record it anew",
    ):
        read_baseline(tmp_path, "same", "points")


@pytest.mark.parametrize("name", ["../same", "/same", "a/b", "a\\b", "a\0b", "..", "", "x" * 300])
def test_a_name_never_leaves_its_folder(tmp_path, name):
    for row in ((name, "points"), ("same", name)):
        with pytest.raises(InputError, match="a name that is to be a file's has no slash"):
            baseline_path(tmp_path, *row)
        with pytest.raises(InputError, match="a name that is to be a file's has no slash"):
            find_record(tmp_path, *row, {})
    named = replace(baseline(), name=name)
    with pytest.raises(InputError, match="a name that is to be a file's has no slash"):
        write_baseline(tmp_path / "below", named)
    assert list(tmp_path.iterdir()) == []


def test_the_processor_of_a_foreign_record_is_no_way_out_of_its_folder(tmp_path):
    write_record(tmp_path / "below", baseline())
    foreign = replace(baseline(), environment={"machine": "../../elsewhere"})
    with pytest.raises(InputError, match=r"the class of processors is '\.\./\.\./elsewhere'"):
        write_record(tmp_path / "below", foreign)


def test_trials_of_a_baseline_must_belong_together():
    with pytest.raises(InputError, match="lacks seed 1"):
        make_baseline([trial(0), trial(2)])
    with pytest.raises(InputError, match="differ in their data"):
        make_baseline([trial(0), trial(1, data="other")])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}'])
def test_a_damaged_baseline_is_told(tmp_path, text):
    path = write_baseline(tmp_path, baseline())
    path.write_text(text)
    with pytest.raises(InputError, match=r"same\.json cannot be read"):
        read_baseline(tmp_path, "same", "points")


def test_a_later_format_is_refused(tmp_path):
    path = write_baseline(tmp_path, baseline())
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 4}))
    with pytest.raises(InputError, match="has format 4; this version reads 1 to 3"):
        read_baseline(tmp_path, "same", "points")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"shapes": [[1, 3], [3]]},
            "of another architecture: weights of shapes (1, 2) then, (1, 3)",
        ),
        ({"shapes": [[1, 2]]}, "2 weights then, 1 now"),
        ({"data": "e"}, "of another data (d then, e now)"),
        ({"protocol": 2}, "of another protocol (1 then, 2 now)"),
        ({"recipe": {**RECIPE, "epochs": 3}}, "of another recipe (epochs 5 -> 3)"),
    ],
)
def test_a_baseline_of_something_else_is_refused(change, words):
    require_comparable(baseline(), trial())
    with pytest.raises(InputError) as error:
        require_comparable(baseline(), trial(**change))
    assert words in str(error.value)


def test_a_baseline_can_be_made_by_hand():
    made = baseline(2, of=3)
    day = made.date
    shapes, environment = ((1, 2), (2,)), {"tensorflow": "2.19.1"}
    outcomes = ("converged", "converged", "stuck")
    epochs, weights = (1, 1, None), ("aa",) * 3
    by_hand = Baseline(
        "same", RECIPE, shapes, "d", 1, 1_000_000, outcomes, epochs, environment, day, weights
    )
    assert by_hand == made


def test_a_baseline_of_the_first_format_is_read():
    """One of version 0.2, without a digest."""
    read = read_baseline(Path("tests/data"), "same", "raw-subset")
    assert (read.first_seed, read.outcomes) == (0, ("stuck",) * 16)
    assert read.weights[0] == "3ac61131c047"
    assert (read.history, read.losses, read.digests) == ((), (), {})
    assert (read.backend, read.device, read.digest) == ("", "", "")


def test_what_the_second_format_adds_is_written_and_read_again(tmp_path):
    made = replace(
        baseline(2, of=2),
        history=(({"loss": 0.5}, {"loss": None}), ({"loss": 0.25},)),
        losses=(((0.75, 0.5), (None,)), ((0.5,),)),
        backend="jax",
        device="gpu",
        digests={"data": "ab"},
    )
    path = write_baseline(tmp_path, made)
    assert read_baseline(tmp_path, "same", "points") == made
    assert json.loads(path.read_text())["format"] == 3
    by_hand = replace(baseline(), history=())
    bare = json.loads(write_baseline(tmp_path, by_hand).read_text())
    assert not {"history", "losses", "backend", "device", "digests"} & bare.keys()


def test_a_function_without_a_model_has_a_baseline(tmp_path):
    def train(seed):
        yield {"val_accuracy": 0.5}
        yield {"val_accuracy": 0.95 if seed % 2 else 0.55}

    source = FunctionSource(train, Target(epochs=2, chance=0.5), name="train")
    made = make_baseline([source.run(seed) for seed in range(4)])
    write_baseline(tmp_path, made)
    read = read_baseline(tmp_path, "train", "own-training")
    assert (read, read.outcomes) == (made, ("stuck", "converged") * 2)
    require_comparable(read, source.run(9))
    assert read.environment == source.run(9).identity["environment"]
    other = replace(source, target=Target(epochs=3, chance=0.5))
    with pytest.raises(InputError, match=r"of another recipe \(epochs 2 -> 3\)"):
        require_comparable(read, other.run(9))


def test_an_environment_that_differs_is_told():
    now = {"tensorflow": "2.21.0", "threads": 1}
    told = differences(baseline().environment, now)
    assert told == "tensorflow 2.19.1 -> 2.21.0, threads None -> 1"
    assert differences(now, now) == ""
