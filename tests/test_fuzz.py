"""Whatever is given to a public entry point ends in a value, or in one line that says what is wrong.

Few inputs here; `make fuzz` tries ten thousand.
"""

import datetime
import decimal
import io
import json
import os
import random
import re
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepcaptcha.cli.main import main
from deepcaptcha.errors import InputError, printable
from deepcaptcha.keras.data import read_data
from deepcaptcha.networks.architecture import Architecture, ConvBlock
from deepcaptcha.networks.digits import load_mnist, read_arrays
from deepcaptcha.networks.recipes import RECIPES, Recipe, Training
from deepcaptcha.plugin.marker import count_of, read_marker
from deepcaptcha.report.github import annotation, step_summary
from deepcaptcha.report.table import markdown
from deepcaptcha.report.words import failure_message, verdict_properties, verdict_table
from deepcaptcha.trials.ledger import FORMAT, Ledger, read_full_ledger, sealed
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.ledgers import compare as compare_ledgers
from tests.helpers import dense_model, make_trial
from tests.report.examples import HOSTILE, judged

COUNT = int(os.environ.get("DEEPCAPTCHA_FUZZ", "40"))


def fuzz(*strategies, share=1.0):
    """A test of as many examples as are asked for, or a share of them."""
    quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    limit = settings(
        max_examples=max(5, int(COUNT * share)),
        deadline=None,
        derandomize="DEEPCAPTCHA_FUZZ" not in os.environ,
        suppress_health_check=quiet,
        database=None,
    )
    return lambda test: limit(given(*strategies)(test))


@contextmanager
def one_line():
    """Nothing is raised but an InputError of one line that is shown as it is."""
    try:
        yield
    except InputError as error:
        told = str(error)
    else:
        told = "a value"
    assert told
    assert told.isprintable()


WORDS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30), st.just("x" * 5000))
NUMBERS = st.one_of(
    st.integers(-3, 100),
    st.sampled_from([10**400, -(10**400), 2**63, 1e308, 5e-324, -0.0]),
    st.floats(),
    st.floats(0, 1),
)
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS)
"""What JSON can say, and more."""


def nested(inner, keys):
    return st.recursive(
        inner,
        lambda each: st.lists(each, max_size=3) | st.dictionaries(keys, each, max_size=3),
        max_leaves=5,
    )


DEEP = "[" * 10_000 + "]" * 10_000
JSON = nested(PLAIN, WORDS)
OBJECTS = st.one_of(
    JSON,
    nested(PLAIN, st.one_of(st.none(), st.integers(), WORDS)),  # mixed keys
    st.binary(max_size=10),
    st.datetimes(),
    st.tuples(PLAIN, PLAIN),
    st.sampled_from(
        [
            *(object(), int, len, {1, 2}, 2 + 3j, Ellipsis, range(3), iter([1])),
            *(decimal.Decimal("NaN"), datetime.timedelta(1), np.float32("nan"), np.int64(3)),
            *(np.zeros(3), np.zeros((0, 2)), np.array([None]), np.array("a"), np.bool_(1)),
        ]
    ),
)


def fields(sound, others=OBJECTS):
    """Sound arguments of which some are changed, left out, or nothing that is known."""
    changes = st.dictionaries(st.sampled_from([*sound]) | WORDS, others, max_size=3)
    left = st.sets(st.sampled_from([*sound]), max_size=2)
    return st.builds(
        lambda new, out: {k: v for k, v in {**sound, **new}.items() if k not in out}, changes, left
    )


MARKER = {
    "hypotheses": 2,
    "rows": 1,
    "twin": "",
    "start": "same",
    "kind": "trains",
    "p_good": 0.95,
    "p_bad": 0.5,
    "target": 0.9,
    "epochs": 3,
    "monitor": "val_accuracy",
    "mode": "max",
    "also": ["val_loss <= 0.3"],
    "batch": 32,
    "chance": 0.1,
    "max_trials": 20,
    "minutes": 3.0,
}


@fuzz(st.lists(OBJECTS, max_size=1), fields(MARKER))
def test_markers(arguments, keywords):
    with one_line():
        read_marker(arguments, keywords)
    assert count_of(keywords).hypotheses >= 1


@fuzz(
    fields(RECIPES["raw-subset"].facts | {"name": "a"}),
    fields(Target(0.9, 3).as_dict() | {"also": ()}),
    fields(Training().as_dict()),
)
def test_recipes(facts, target, training):
    known = facts.keys() <= {"name", *RECIPES["raw-subset"].facts} and "name" in facts
    made = {}
    with one_line(), suppress(KeyError):  # a field that is left out
        made["target"] = Target.from_dict(target)
        assert made["target"].text
        json.dumps(made["target"].as_dict(), allow_nan=False)
    with one_line():
        if training.keys() <= Training().as_dict().keys():
            made["training"] = Training(**training)
            hash(made["training"])
    with one_line():
        if known:
            recipe = Recipe(**facts, **made)
            json.dumps(recipe.as_dict(), allow_nan=False)
            recipe.fit(Architecture((ConvBlock(8),)))


BLOCK = {"filters": 8, "kernel": 3, "stride": 1, "padding": "same", "pool": 2}
SPEC = {
    "blocks": (ConvBlock(8),),
    "dense": (16,),
    "head": "logits",
    "input_shape": (28, 28, 1),
    "n_prediction": 2,
    "n_class": 10,
}


@fuzz(st.lists(fields(BLOCK), max_size=3), fields(SPEC))
def test_architectures(blocks, spec):
    with one_line():
        made = [ConvBlock(**b) for b in blocks if "filters" in b and b.keys() <= BLOCK.keys()]
        spec = {name: value for name, value in spec.items() if name in SPEC}
        spec.setdefault("blocks", tuple(made))
        found = Architecture(**(spec | {"blocks": tuple(made)} if made else spec))
        assert found.parameters >= 0
        assert len(found.features_shape) == 3


ARRAYS = st.one_of(
    st.sampled_from(
        [
            *(np.zeros((8, 1), "float32"), np.full((8, 1), np.nan), np.full((8, 1), np.inf)),
            *(np.arange(8), np.zeros((8, 2)), np.zeros((7, 1)), np.zeros((0, 1)), np.zeros(())),
            *(np.array(["a"] * 8), np.array([b"a"] * 8), np.array([None] * 8), np.eye(8)),
            *(np.zeros(8, "datetime64[s]"), np.zeros(8, [("a", "f4")]), np.zeros(8, "complex64")),
            *(np.zeros((8, 1), "float16"), np.zeros((8, 1), bool), np.full((8, 1), 1e308)),
            *([[1], [2, 3]], [1.0] * 8, {"a": np.zeros((8, 1))}, np.zeros((8, 1, 1, 1, 1, 1))),
            *(np.ma.masked_array(np.zeros((8, 1)), True), np.zeros((8, 1)).astype(">f8")),
            *(np.zeros((8, 1), "uint64") + 2**63, np.zeros((8, 1), "longdouble")),
        ]
    ),
    OBJECTS,
)
FRAMES = ARRAYS
with suppress(ImportError):
    import pandas

    FRAMES = ARRAYS | st.sampled_from(
        [
            pandas.DataFrame({"a": [1.0, None] * 4, "b": ["x", "y"] * 4}),
            pandas.DataFrame({"a": range(8)}, index=list("aabbccdd")),
            pandas.DataFrame({0: pandas.Categorical(list("abababab")), "b": range(8)}),
            pandas.DataFrame({"a": pandas.array([1, None] * 4, dtype="Int64")}),
            pandas.Series(pandas.date_range("2020", periods=8)),
            pandas.DataFrame(),
        ]
    )
PAIRS = st.tuples(FRAMES, FRAMES) | st.lists(FRAMES, max_size=3)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@fuzz(PAIRS, PAIRS)
def test_data(train, validation):
    with one_line():
        read_data(train, validation)


@pytest.fixture(scope="module")
def model():
    made = dense_model()
    made.compile("adam", "sparse_categorical_crossentropy")
    return made


@pytest.mark.filterwarnings("ignore")  # of NumPy and Keras, on what is no sound array
@fuzz(FRAMES, FRAMES, st.none() | PAIRS, st.none() | FRAMES, share=0.15)
def test_checks(model, x, y, validation, weight):
    from deepcaptcha import check

    with one_line():
        check(model, x, y, validation, sample_weight=weight)


KEYS = st.sampled_from(["loss", "val_loss", None, 0]) | WORDS
METRICS = st.dictionaries(KEYS, OBJECTS, max_size=3) | OBJECTS


@fuzz(METRICS | st.lists(METRICS, max_size=3), st.sampled_from(["loss", HOSTILE[0]]))
def test_functions(tmp_path, metrics, monitor):
    target = Target(0.9, 3, monitor, "min")
    with one_line():
        trial = FunctionSource(lambda seed: metrics, target, monitor, "1").run(0)
        with Ledger(tmp_path / "ledger") as book:
            book.append(trial)


OPTIONS = [
    *(
        "--json",
        "--baselines",
        "--p-good",
        "--p-bad",
        "--alpha",
        "--beta",
        "--max-trials",
        "--help",
    ),
    *("--ledger", "--page", "--seed", "--data", "--target", "--epochs", "--monitor", "--mode"),
    *("--batch", "--stream", "--seeds", "--version", "--output"),
]
VALUES = st.one_of(
    WORDS,
    NUMBERS.filter(lambda number: abs(number) < 10**500).map(str),
    st.sampled_from([*("same", "same:raw-subset", "nothing:here", "json:loads", "os:name", "led")]),
    st.sampled_from(["claims", "variants", "0.9", "0.5", "max", "x.npz", "\0.npz", "..", ""]),
).map(lambda text: text.replace("/", "_"))


@fuzz(
    st.sampled_from(["list", "plan", "compare", "report", "check", "params", "judge", ""]) | VALUES,
    st.lists(st.sampled_from(OPTIONS) | VALUES, max_size=6),
)
def test_command_lines(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    if name in ("check", "judge"):  # which may train
        words = [word.replace("same", "none") for word in words]
    if name == "plan":
        words += ["--p-good", "0.9", "--p-bad", "0.5"]
    out, told = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(told):
        try:
            code = main([name, *words])
        except SystemExit as ended:  # --help, --version
            code = ended.code
    assert code in (0, 1, 2)
    assert (
        printable(out.getvalue() + told.getvalue(), keep="\n") == out.getvalue() + told.getvalue()
    )
    if code == 2:
        assert told.getvalue().startswith("deepcaptcha: ")
        assert told.getvalue().count("\n") == 1


def places(record, path=()):
    """The paths to everything in nested lists and dicts."""
    yield path
    for key in record if isinstance(record, dict) else range(len(record)):
        if isinstance(record[key], dict | list):
            yield from places(record[key], (*path, key))
        else:
            yield (*path, key)


SOUND = json.loads(json.dumps(make_trial().as_dict()))
CHANGES = st.lists(st.tuples(st.sampled_from([*places(SOUND)][1:]), JSON), max_size=2)


def changed(record, changes):
    record = json.loads(json.dumps(record))
    for path, value in changes:
        with suppress(KeyError, IndexError, TypeError):  # what a change before has removed
            inner = record
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value
    return record


def signed_ledger(records):
    """Such as anybody can make: every line has the digest that it should."""
    lines, last = [], ""
    for record in ({"deepcaptcha_ledger": FORMAT}, *records):
        with suppress(ValueError):  # a number of more digits than Python writes
            body = json.dumps({"previous": last, **record})[:-1].encode()
            line, last = sealed(body, (b',"digest":"', b'"}\n'))
            lines.append(line)
    return b"".join(lines)


@fuzz(
    st.lists(CHANGES, max_size=3),
    st.sampled_from([b"", b"\xff\xfe\n", DEEP.encode() + b"\n"]),
    share=0.2,
)
def test_ledgers(tmp_path, every, torn):
    records = [changed(SOUND, change) for change in every]
    path = tmp_path / "led.jsonl"
    path.write_bytes(signed_ledger(records) + torn)
    with one_line():
        found = read_full_ledger(path)
        compare_ledgers(found, found)
    page, told = tmp_path / "p.html", io.StringIO()
    for words in (
        ["report", "--page", str(page), "--ledger", str(path)],
        ["compare", str(path), str(path)],
        ["plan", "--p-good=.9", "--p-bad=.5", "--ledger", str(path)],
    ):
        with redirect_stdout(io.StringIO()), redirect_stderr(told):
            assert main(words) in (0, 1, 2)
    assert all(line.startswith("deepcaptcha: ") for line in told.getvalue().splitlines())
    if page.exists():
        text = page.read_text("utf-8")
        assert printable(text, keep="\n\N{NO-BREAK SPACE}") == text


@fuzz(WORDS, WORDS, share=0.5)
def test_names(name, other):
    evidence, _ = judged(name or "a", ["stuck"] * 4, test=other)
    evidence.__dict__.update(recipe=other or "b", compiled=other, again=other, repairs=(name,))
    terminal = io.StringIO()
    table = verdict_table([evidence])
    table.write(terminal)
    lines = table.as_markdown_rows().splitlines()
    assert len(lines) == 3
    summary = step_summary([evidence], [markdown(name)])
    shown = [terminal.getvalue(), failure_message(evidence), summary, *lines]
    assert all(printable(text, keep="\n") == text for text in shown)
    assert len(re.findall(r"(?<!\\)<[\w/!?]", summary)) == 4  # details, summary, and their ends
    assert "\n" not in annotation(evidence, other, 1)
    for _, value in verdict_properties(evidence):
        ElementTree.fromstring(f"<a>{value.translate({38: '+', 60: '+'})}</a>")


PROJECT = """
import pytest
from deepcaptcha import FunctionSource, Target

@pytest.mark.convergence(p_good=0.9, p_bad=0.2)
def test_it(convergence):
    target = Target(0.9, 2, "loss", "min")
    convergence.judge(FunctionSource(lambda seed: {"loss": 2.0 + seed}, target, NAME, "1"))
"""


@pytest.mark.integration
def test_no_name_costs_a_report(pytester, monkeypatch):
    name = "\x1b[2J\x1b[31mred\0\r\nnext | <b>\u202egnp \ud800"
    pytester.makepyfile(f"NAME = {name!r}\n{PROJECT}")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    options = ["-v", "--convergence-report=page.html", "--junitxml=junit.xml", "--color=no"]
    done = pytester.runpytest_inprocess(*options, "-p", "no:cacheprovider")
    done.assert_outcomes(failed=1)
    shown = r"\x1b[2J\x1b[31mred\x00\r\nnext | <b>\u202egnp \ud800"
    assert f"{shown} is claimed 'trains'" in str(done.stdout)
    ElementTree.parse(pytester.path / "junit.xml")
    summary = (pytester.path / "summary.md").read_text("utf-8")
    assert re.sub(r"\\([\\|<\[])", r"\1", summary).count(shown) == 3  # in both tables, and below
    page = (pytester.path / "page.html").read_text("utf-8")
    assert page.count(shown.replace("<b>", "&lt;b&gt;")) > 3
    for text in (str(done.stdout), summary, page):
        assert printable(text, keep="\n\N{NO-BREAK SPACE}") == text


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """An npz file and its arrays."""
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    draw = np.random.RandomState(0)
    images, labels = draw.randint(0, 256, (6, 28, 28)).astype("uint8"), np.arange(6, dtype="uint8")
    arrays = {"x_train": images, "y_train": labels, "x_test": images[:2], "y_test": labels[:2]}
    np.savez_compressed(path, **arrays)
    return path.read_bytes(), arrays


def test_a_byte_of_an_npz_file_is_changed(packed, tmp_path):
    """Every byte of the directory and the headers, and others."""
    whole, arrays = packed
    draw = random.Random(0)
    path = tmp_path / "a.npz"
    for number in range(max(400, COUNT)):
        place = len(whole) - 1 - number if number < 300 else draw.randrange(len(whole))
        damaged = bytearray(whole)
        damaged[place] ^= draw.randrange(1, 256)
        path.write_bytes(damaged)
        with suppress(InputError):
            train, test = load_mnist(str(path))
            found = (train.images, train.labels, test.images, test.labels)
            assert all(map(np.array_equal, found, arrays.values()))
        with suppress(OSError, ValueError):
            everything = read_arrays(path)
            assert all(np.array_equal(each, arrays[name]) for name, each in everything.items())
