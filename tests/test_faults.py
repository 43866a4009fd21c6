"""Faults brought about on purpose: nothing recorded is lost, and nothing altered goes unnoticed.

`make faults` brings about as many as are claimed; here is a sample of them.
"""

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from deepcaptcha.cli.main import main
from deepcaptcha.errors import InputError, write_file
from deepcaptcha.report.content import opening, rows_of_ledger, sections
from deepcaptcha.trials.ledger import Ledger, read_ledger
from deepcaptcha.trials.runner import Runner
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Epoch, Target
from deepcaptcha.verdicts.baseline import find_record, make_baseline, read_baseline, write_baseline
from tests.helpers import ENVIRONMENT, make_trial

COUNT = int(os.environ.get("DEEPCAPTCHA_FAULTS", "40"))
"""Changes of a byte that are tried on each kind of file."""


STEP = 1 if COUNT > 100 else 17
"""Bytes between two places where a file is cut."""


def learn(seed):
    """Converges where the seed is even."""
    for epoch in range(2):
        yield {"loss": 1 - epoch / 4 - seed / 1000, "accuracy": 0.95 if seed % 2 == 0 else 0.5}


SOURCE = FunctionSource(learn, Target(0.9, 2, "accuracy", chance=0.5), version="1")


def changed_bytes(whole, count=COUNT):
    """The text with one byte changed, at places and to values drawn by chance; any that differ."""
    draw = random.Random(len(whole))
    for _ in range(count):
        place = draw.randrange(len(whole))
        byte = draw.choice((*b'\n\r\0{}",:0123456789eE', draw.randrange(256)))
        if byte != whole[place]:
            yield place, whole[:place] + bytes([byte]) + whole[place + 1 :]


@pytest.fixture
def recorded(tmp_path):
    """A ledger of five trials in a folder of its own, and them."""
    with Runner(tmp_path / "ledger") as runner:
        trials = runner.run_all((SOURCE, seed) for seed in range(5))
    (path,) = (tmp_path / "ledger").glob("*.jsonl")
    return path, tuple(trials)


def test_no_changed_byte_of_a_ledger_is_accepted_in_silence(recorded, capsys):
    """Whoever reads it says so; the line alone is lost, if even that."""
    path, trials = recorded
    whole = path.read_bytes()
    lost = 0
    for number, (place, text) in enumerate(changed_bytes(whole)):
        path.write_bytes(text)
        found = read_ledger(path.parent)
        assert found == read_ledger(path)
        line = whole[:place].count(b"\n") + 1
        assert any(f"line {line} is" in problem for problem in found.problems), (place, text)
        assert set(map(repr, found.trials)) < set(map(repr, trials)) or found.trials == trials
        lost = max(lost, len(trials) - len(found.trials))
        with Runner(path.parent) as runner:
            assert runner.problems == found.problems
        rows = rows_of_ledger(found)
        assert opening(rows)
        assert sections(rows)
        if number % 50 == 0:
            told_by_commands(path.parent, found.problems, capsys)
    assert lost == 1


def told_by_commands(folder, problems, capsys):
    for words in (
        ("plan", "--p-good", "0.9", "--p-bad", "0.2", "--ledger"),
        ("report", "--page", str(folder.parent / "page.html"), "--ledger"),
        ("compare", str(folder)),
    ):
        assert main([*words, str(folder)]) == 0
        error = capsys.readouterr().err
        assert all(problem in error for problem in problems)
        assert error.count("damaged") <= 2 * len(problems)
    page = (folder.parent / "page.html").read_text()
    assert all("is damaged" in page or "is torn" in page for _ in problems)


def test_no_changed_byte_of_a_baseline_is_accepted(recorded, tmp_path):
    _, trials = recorded
    made = make_baseline(trials)
    path = write_baseline(tmp_path, made)
    whole = path.read_bytes()
    for place, text in changed_bytes(whole):
        path.write_bytes(text)
        for read in (
            lambda: read_baseline(tmp_path, SOURCE.name, SOURCE.recipe),
            lambda: find_record(tmp_path, SOURCE.name, SOURCE.recipe, made.environment),
        ):
            with pytest.raises(
                InputError, match="restore it, or remove it and record it anew"
            ) as error:
                read()
            assert len(str(error.value).splitlines()) == 1, (place, text)
    path.write_bytes(whole)
    assert read_baseline(tmp_path, SOURCE.name, SOURCE.recipe) == made


def test_a_last_record_cut_anywhere_costs_only_itself(recorded):
    path, trials = recorded
    whole = path.read_bytes()
    begin = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in {*range(begin, len(whole), STEP), *range(len(whole) - 5, len(whole))}:
        path.write_bytes(whole[:cut])
        found = read_ledger(path)
        # Of the last three bytes nothing depends but where the line ends.
        assert found.trials == (trials[:4] if cut < len(whole) - 3 else trials)
        assert len(found.problems) == (cut > begin)


def test_a_baseline_cut_anywhere_is_refused(recorded, tmp_path):
    path = write_baseline(tmp_path, make_baseline(recorded[1]))
    whole = path.read_bytes()
    for cut in range(0, len(whole), STEP):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError, match="cannot be read"):
            read_baseline(tmp_path, SOURCE.name, SOURCE.recipe)


@pytest.mark.parametrize(
    ("order", "left", "line"),
    [
        ([0, 1, 2, 4, 5], [0, 1, 3, 4], 4),  # one removed
        ([0, 1, 5], [0, 4], 3),  # several
        ([1, 2, 3, 4, 5], [0, 1, 2, 3, 4], 1),  # the first line of all
        ([0, 1, 3, 2, 4, 5], [0, 2, 1, 3, 4], 3),  # two exchanged
        ([0, 5, 1, 2, 3, 4], [4, 0, 1, 2, 3], 2),  # the last one moved
        ([0, 1, 2, 2, 3, 4, 5], [0, 1, 2, 3, 4], 4),  # one copied
    ],
)
def test_missing_and_moved_lines_are_told_once(recorded, order, left, line):
    path, _ = recorded
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[place] for place in order))
    found = read_ledger(path)
    assert [trial.seed for trial in found.trials] == left
    assert found.problems == (
        f"{path}: lines are missing or moved before line {line}; all others count",
    )


def test_a_line_of_another_file_is_told(recorded):
    path, _ = recorded
    with Ledger(path.parent) as book:
        book.append(make_trial(9))
    foreign = book.path.read_bytes().splitlines(keepends=True)[1]
    with path.open("ab") as file:
        file.write(foreign)
    assert "lines are missing or moved before line 7" in read_ledger(path).problems[0]


def test_many_damaged_lines_are_a_few_words(recorded):
    path, trials = recorded
    with Ledger(path.parent) as book:
        for seed in range(40):
            book.append(make_trial(seed))
    book.path.write_bytes(book.path.read_bytes().replace(b'"seconds":1.5', b'"seconds":0.1'))
    found = read_ledger(path.parent)
    assert found.trials == trials
    assert [problem.partition(": ")[2] for problem in found.problems] == [
        *(f"line {number} is damaged and was skipped" for number in range(2, 7)),
        "35 more lines are damaged and were skipped",
    ]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": True}, "seed is True"),
        ({"outcome": "won"}, "outcome is 'won'"),
        ({"stop_reason": "bored"}, "stop_reason is 'bored'"),
        ({"epochs_to_target": 3}, "epochs_to_target is 3"),
        ({"outcome": "stuck"}, "epochs_to_target is 1"),
        ({"epochs": (Epoch({"loss": "low"}),)}, "epochs is (Epoch"),
        ({"epochs": (Epoch({"loss": 0.5}, 1.5),)}, "epochs is (Epoch"),
        ({"seconds": -1.0}, "seconds is -1.0"),
        ({"name": ""}, "name is ''"),
        ({"weights_sha256": None}, "weights_sha256 is None"),
        ({"digests": {"data": 1}}, "digests is {'data': 1}"),
        ({"identity": {"seed": 1, "recipe": {}}}, "'target'"),
    ],
)
def test_what_is_no_record_of_a_trial_is_not_recorded(tmp_path, fields, named):
    with Ledger(tmp_path) as book:
        with pytest.raises(InputError) as error:
            book.append(replace(make_trial(), **fields))
        assert named in str(error.value)
        book.append(make_trial())
    found = read_ledger(tmp_path)
    assert (found.trials, found.problems) == ((make_trial(),), ())


@pytest.mark.parametrize("fault", ["removed", "replaced", "emptied", "file removed"])
def test_a_folder_that_vanishes_during_a_study_costs_nothing(tmp_path, fault):
    folder = tmp_path / "ledger"

    def interfere(trial):
        if trial.seed == 1:
            if fault == "emptied":
                next(folder.glob("*.jsonl")).write_text("")
            elif fault == "file removed":
                next(folder.glob("*.jsonl")).unlink()
            else:
                shutil.rmtree(folder)
            if fault == "replaced":
                folder.mkdir()

    with Runner(folder, on_trial=interfere) as runner:
        trials = runner.run_all((SOURCE, seed) for seed in range(4))
        (told,) = runner.problems
    path, digest = runner.recorded
    assert f"written again to {path}" in told
    assert path.read_text().endswith(f'"{digest}"}}\n')
    found = read_ledger(folder)
    if fault == "emptied":  # what nobody holds any more is gone, and said to be
        assert [trial.seed for trial in found.trials] == [2, 3]
        assert "lines are missing or moved before line 1" in found.problems[0]
    else:
        assert (found.trials, found.problems) == (tuple(trials), ())


def test_a_folder_that_cannot_be_made_again_is_one_line(tmp_path):
    with Ledger(tmp_path / "ledger") as book:
        book.append(make_trial(0))
        shutil.rmtree(tmp_path / "ledger")
        (tmp_path / "ledger").write_text("a file in its place")
        with pytest.raises(
            InputError, match=r"^\S+ was removed or replaced .* its 1 trials are lost"
        ):
            book.append(make_trial(1))


FULL = """
import sys
from pathlib import Path
from deepcaptcha.errors import InputError, write_file
from deepcaptcha.trials import ledger
from tests.helpers import make_trial

folder, kept = Path(sys.argv[1]), 0
write_file(folder / "report.html", "the old one")
ledger._LEAST_FREE = 0
with ledger.Ledger(folder / "ledger") as book:
    try:
        for seed in range(10_000):
            book.append(make_trial(seed))
            kept += 1
    except InputError as error:
        print(error)
try:
    write_file(folder / "report.html", "x" * 2**20, "the report")
except InputError as error:
    print(error)
print(kept)
"""


def run_full(folder, **options):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(folder)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        **options,
    )
    assert (done.returncode, done.stderr) == (0, "")
    trial, page, kept = done.stdout.splitlines()
    found = read_ledger(folder / "ledger")
    assert [t.seed for t in found.trials] == list(range(int(kept)))
    assert int(kept) > 10
    assert found.problems == ()
    assert (folder / "report.html").read_text() == "the old one"
    assert sorted(path.name for path in folder.iterdir()) == ["ledger", "report.html"]
    return trial, page


@pytest.mark.integration
def test_a_file_that_may_not_grow_loses_nothing(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    for words in run_full(tmp_path, preexec_fn=limit):
        assert os.strerror(errno.EFBIG) in words or os.strerror(errno.ENOSPC) in words


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 256 KiB, and how to remount it; skips where only an administrator may do so."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options, *more):
        command = ["mount", *more, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True).returncode

    if not shutil.which("mount") or mount("size=256k"):
        pytest.skip("mounting a disk is not allowed here")
    yield folder, mount
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


@pytest.mark.integration
def test_a_full_disk_loses_nothing(small_disk):
    for words in run_full(small_disk[0]):
        assert words.startswith(("cannot record a trial in", "cannot write the report"))
        assert os.strerror(errno.ENOSPC) in words


@pytest.mark.integration
def test_a_disk_that_turns_read_only_or_goes_away_is_told(small_disk, tmp_path, monkeypatch):
    monkeypatch.setattr("deepcaptcha.trials.ledger._LEAST_FREE", 0)
    folder, mount = small_disk
    with Ledger(folder / "ledger") as book:
        book.append(make_trial(0))
        # An open file keeps a disk from being made read-only; another mount of it need not be.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        book.append(make_trial(1))
        assert "written again to" in book.problems[0]
    assert [trial.seed for trial in read_ledger(folder / "ledger").trials] == [0, 1]
    assert mount("size=256k,ro") == 0
    with pytest.raises(InputError, match="choose a writable folder"):
        Ledger(folder / "ledger")
    with pytest.raises(InputError, match=os.strerror(errno.EROFS)):
        write_file(folder / "page.html", "x")


STUDY = """
import sys
from pathlib import Path
from deepcaptcha.trials.runner import Runner
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Target

source = FunctionSource(lambda seed: {"loss": 0.5}, Target(0.9, 1, "loss", "min"), "one", "1")
with Runner(Path(sys.argv[1]), on_trial=lambda trial: print(trial.seed, flush=True)) as runner:
    for seed in range(100_000):
        runner.run(source, seed)
"""


@pytest.mark.integration
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_what_was_said_to_be_recorded_survives_a_signal(tmp_path, sent):
    draw = random.Random(int(sent))
    announced = set()
    for _ in range(max(2, COUNT // 100)):
        command = [sys.executable, "-c", STUDY, str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        first = [process.stdout.readline() for _ in range(4)]
        time.sleep(draw.uniform(0, 0.3))
        process.send_signal(sent)
        # The last line may be cut: it was not yet said.
        said = [*first, *process.communicate()[0].splitlines(keepends=True)]
        announced.update(int(line) for line in said if line.endswith("\n"))
        assert process.returncode == -sent
        found = read_ledger(tmp_path)
        assert announced <= {trial.seed for trial in found.trials}
        assert all("is torn" in problem for problem in found.problems)
    assert len(announced) > 3


@pytest.mark.parametrize(
    "first", [b"", b"\xff\xfe", b"[" * 100_000, b'{"deepcaptcha_ledger":true}']
)
def test_what_is_no_ledger_is_one_line(tmp_path, first):
    (tmp_path / "a.jsonl").write_bytes(first + b"\n" + first + b"\n")
    with pytest.raises(InputError) as error:
        read_ledger(tmp_path / "a.jsonl")
    assert "is not a ledger" in str(error.value)
    assert "\n" not in str(error.value)


def test_old_lines_that_no_trial_has_are_skipped(tmp_path):
    text = Path("tests/data/ledger-0.2.jsonl").read_text()
    path = tmp_path / "old.jsonl"
    digits = f'"seed":{"9" * 400}'
    path.write_text(text.replace('"seed":0,"outcome"', f'{digits},"outcome"'))
    found = read_ledger(path)
    assert [trial.seed for trial in found.trials] == [1]
    assert found.problems[0] == f"{path}: line 3 is damaged and was skipped"
    assert "1 of its trials are unsigned" in found.problems[1]
