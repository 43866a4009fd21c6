"""The recorded reference of a factory and recipe, and whether it trains as reliably as it did."""

from __future__ import annotations

import datetime
import glob
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import InputError, error_words, require_file_name, write_file
from ..trials.code import LENGTH
from ..trials.draws import require_draws
from ..trials.ledger import UNREADABLE, digest_of, sealed
from ..trials.trial import OUTCOMES, SEED_LIMIT, Target, Trial, is_number
from .claim import Json
from .plan import binomial_interval

FORMAT = 3
"""Version of the file format that is written, which ends with the digest of all before it. Formats 1 and
2, without digest, are read too, later ones are refused."""

TRIALS = 30
"""Trials of a baseline, declared before the first is run."""

TASK = ("shapes", "recipe", "data", "protocol")
"""What of their identities must agree, or trials of one name cannot be compared."""

SEED_DIGESTS = ("order", "initial weights", "weights after 50 steps")
"""Digests of a trial that its seed has a part in; all others are the same for every seed of a row."""

SEVERAL = "several"
"""The digest of the code that trains, where a record's slices were trained by different ones."""

_OPTIONAL = (  # what format 1 lacks
    *("history", "losses", "first_losses", "backend", "device", "digests", "seed_digests"),
    *("prefix", "judged", "ruler", "accepted"),
)
_END = b',\n  "digest": "', b'"\n}\n'
_A_LINE_A_TRIAL = ("history", "losses")
_NO_ROUNDING = ("processor", "python")  # of an environment: neither changes any bits


@dataclass(frozen=True)
class Baseline:
    """Outcomes in seed order, and what they were recorded from; `identity` fields as in a trial.

    - `shapes`: of the model's weights; none where the source has no model.
    - `epochs_to_target`: None for a trial that did not converge.
    - `weights`: begin the SHA-256 of each trial's last weights, by which a later training in the same
      environment is known to be the same.
    - `history`: each trial's logged values by epoch; `losses`: by epoch its training losses every 50
      steps, of the first two epochs; `first_losses`: its loss of the first batch before any update; both
      in the loss' own unit. Empty where they were not recorded.
    - `backend`, `device`: what computed the trials. `digests`: of data, code and configuration, by name;
      `seed_digests`: those of each trial that depend on its seed. Empty where not recorded. `digest`: of
      the file it was read from; empty where that has none, and a change in it cannot be noticed.
    - `prefix`: what the first steps of one trial showed: `seed`, `steps`, `metrics` and `weights`.
    - `judged`: the verdicts on the row's judged seeds (`verdicts.recorded.judged_record`).
    - `accepted`: each time it was recorded anew on purpose: the `date`, the `reason`, and the lines that
      showed old beside new.
    - `ruler`: what harmless arithmetics do to its measures, the fields of `verdicts.ruler.Shift`.
    """

    name: str
    recipe: Json
    shapes: tuple[tuple[int, ...], ...]
    data: str
    protocol: int
    first_seed: int
    outcomes: tuple[str, ...]
    epochs_to_target: tuple[int | None, ...]
    environment: Json
    date: str
    weights: tuple[str, ...] = ()
    history: tuple[tuple[Mapping[str, float | None], ...], ...] = ()
    losses: tuple[tuple[tuple[float | None, ...], ...], ...] = ()
    backend: str = ""
    device: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    digest: str = field(default="", compare=False)
    first_losses: tuple[float | None, ...] = ()
    seed_digests: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    prefix: Json = field(default_factory=dict)
    judged: Json = field(default_factory=dict)
    ruler: tuple[Json, ...] = ()
    accepted: tuple[Json, ...] = ()

    @property
    def converged(self) -> int:
        """Trials that converged, of `len(outcomes)`."""
        return self.outcomes.count("converged")

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's exact 95 % interval for P(converged)."""
        return binomial_interval(self.converged, len(self.outcomes))

    def as_dict(self) -> Json:
        """JSON-ready; what was not recorded is left out."""
        fields = asdict(self)
        del fields["digest"]
        return {k: v for k, v in fields.items() if v or k not in _OPTIONAL}

    @classmethod
    def from_dict(cls, fields: Json) -> Baseline:
        """The inverse of `as_dict`, also after JSON; one of `UNREADABLE` for other fields, and for
        values that no baseline has."""
        by_seed = {k: _frozen(v) for k, v in fields.get("seed_digests", {}).items()}
        frozen = {name: _frozen(value) for name, value in fields.items()}
        made = cls(**{**frozen, **({"seed_digests": by_seed} if by_seed else {})})
        for name, sound in _sound(made):
            if not sound:
                raise InputError(f"its {name} is none that a baseline has")
        return made


def _sound(made: Baseline) -> Iterator[tuple[str, bool]]:
    """By field, whether its value has the type and a meaning that a baseline's has."""
    count = len(made.outcomes)
    yield "name", type(made.name) is str and made.name != ""
    yield "recipe", type(made.recipe["name"]) is str and Target.from_dict(made.recipe) is not None
    yield "shapes", all(type(size) is int for shape in made.shapes for size in shape)
    yield "data", type(made.data) is str
    yield "protocol", type(made.protocol) is int
    yield "first_seed", type(made.first_seed) is int and 0 <= made.first_seed < SEED_LIMIT
    yield "outcomes", count > 0 and all(each in OUTCOMES for each in made.outcomes)
    reached = [each for each in made.epochs_to_target if each is not None]
    yield "epochs_to_target", len(made.epochs_to_target) == count and len(reached) == made.converged
    yield "epochs_to_target", all(type(each) is int and each > 0 for each in reached)
    yield "environment", isinstance(made.environment, Mapping)
    yield "date", bool(datetime.date.fromisoformat(made.date))
    for name in ("weights", "history", "losses", "first_losses"):
        yield name, len(getattr(made, name)) in (0, count)
    yield "weights", all(type(each) is str for each in made.weights)
    yield "history", all(map(is_number, (v for t in made.history for e in t for v in e.values())))
    yield "losses", all(map(is_number, (v for t in made.losses for epoch in t for v in epoch)))
    yield "first_losses", all(map(is_number, made.first_losses))
    yield "digests", all(type(each) is str for each in made.digests.values())
    yield "seed_digests", all(len(each) == count for each in made.seed_digests.values())
    for name in ("prefix", "judged"):
        yield name, isinstance(getattr(made, name), Mapping)
    for name in ("ruler", "accepted"):
        yield name, all(isinstance(each, Mapping) for each in getattr(made, name))


def _frozen(value: Any) -> Any:
    """Lists as tuples, to the bottom of what is no mapping."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def make_baseline(trials: Sequence[Trial]) -> Baseline:
    """The baseline of one factory's and recipe's trials, consecutive seeds, in order.

    Values and digests are only in it where every trial has them. Raises InputError where the trials are
    of different models, recipes, data or environments, or no independent draws.
    """
    first = trials[0]
    require_draws(trials)
    for place, trial in enumerate(trials):
        if trial.seed != first.seed + place:
            raise InputError(
                f"the baseline of {first.name} lacks seed {first.seed + place}; finish its trials"
            )
        for key in (*TASK, "environment"):
            if trial.identity[key] != first.identity[key]:
                raise InputError(
                    f"the trials of {first.name} differ in their {key}; record them anew"
                )
    return Baseline(
        name=first.name,
        recipe=first.settings,
        shapes=_frozen(first.identity["shapes"]),
        data=first.identity["data"],
        protocol=first.identity["protocol"],
        first_seed=first.seed,
        outcomes=tuple(trial.outcome for trial in trials),
        epochs_to_target=tuple(trial.epochs_to_target for trial in trials),
        environment=first.identity["environment"],
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        weights=tuple(trial.weights_sha256[:LENGTH] for trial in trials),
        history=tuple(tuple(epoch.metrics for epoch in trial.epochs) for trial in trials),
        losses=_losses(trials),
        backend=first.backend,
        device=first.device,
        first_losses=_first_losses(trials),
        **_digests(trials),
    )


def _losses(trials: Sequence[Trial]) -> tuple[tuple[tuple[float | None, ...], ...], ...]:
    """By trial and epoch, or none where no trial has any."""
    losses = tuple(tuple(epoch.losses for epoch in trial.epochs) for trial in trials)
    return losses if any(map(any, losses)) else ()


def _first_losses(trials: Sequence[Trial]) -> tuple[float | None, ...]:
    """By trial, or none where no trial has one."""
    losses = tuple(trial.first_loss for trial in trials)
    return () if set(losses) == {None} else losses


def _digests(trials: Sequence[Trial]) -> dict[str, Any]:
    """What of the trials' digests is the row's and what is each trial's, of those that all have."""
    names = [name for name in trials[0].digests if all(name in trial.digests for trial in trials)]
    by_seed = {
        name: tuple(trial.digests[name] for trial in trials)
        for name in names
        if name in SEED_DIGESTS
    }
    shared = {name: trials[0].digests[name] for name in names if name not in SEED_DIGESTS}
    for trial in trials:
        for name, value in shared.items():
            # Code that trains the same may change between two slices of a record.
            if trial.digests[name] != value and name != "code":
                raise InputError(
                    f"the trials of {trial.name} differ in their {name}; record them anew"
                )
    if any(trial.digests.get("code") != shared.get("code") for trial in trials):
        shared = {name: SEVERAL if name == "code" else shared[name] for name in shared}
    return {"digests": shared, "seed_digests": by_seed}


def processor_class(environment: Json) -> str:
    """The class of processors with the same instructions to round by, such as `x86_64-avx2`."""
    named = [name for name in environment.get("instructions", ()) if name != "fma"]
    return "-".join(filter(None, [str(environment.get("machine", "")), *named[-1:]])) or "unknown"


def rounding(environment: Json) -> Json:
    """What of an environment may change bits: versions of libraries, instructions, threads, oneDNN."""
    return {key: value for key, value in environment.items() if key not in _NO_ROUNDING}


def baseline_path(folder: Path, name: str, recipe: str) -> Path:
    """Where the baseline of one factory and recipe lies; InputError for names that no file can have."""
    require_file_name("a recipe's name", recipe)
    return folder / recipe / f"{require_file_name('the name', name)}.json"


def write_baseline(folder: Path, baseline: Baseline) -> Path:
    """Write it, one line a field or a trial, replacing an older one; returns the path."""
    path = baseline_path(folder, baseline.name, baseline.recipe["name"])
    record = {**baseline.as_dict(), "format": FORMAT}
    lines = [
        f'  "{key}": {_lines(value) if key in _A_LINE_A_TRIAL else json.dumps(value)}'
        for key, value in record.items()
    ]
    text, _ = sealed(("{\n" + ",\n".join(lines)).encode(), _END)
    write_file(path, text.decode(), "the baseline")
    return path


def _lines(trials: Sequence[object]) -> str:
    return "[\n" + ",\n".join(f"    {json.dumps(trial)}" for trial in trials) + "\n  ]"


def write_record(folder: Path, baseline: Baseline) -> Path:
    """Write it beside those of other classes of processors: in the folder itself where it has none or
    one of the same class, else in a folder of the class; returns the path."""
    name, recipe = baseline.name, baseline.recipe["name"]
    own = processor_class(baseline.environment)
    there = read_baseline(folder, name, recipe)
    if there is not None and processor_class(there.environment) != own:
        folder = folder / require_file_name("the class of processors", own)
    return write_baseline(folder, baseline)


def find_record(folder: Path, name: str, recipe: str, environment: Json) -> Baseline | None:
    """Of a row's records, one a class of processors, the one whose numbers are compared: of those that
    hold each trial's values, or of all where none does, the nearest to this environment, first by its
    instructions, then by how much else differs. None where there is none; InputError for a damaged
    one."""

    def distance(record: Baseline) -> tuple[bool, bool, int]:
        then, now = rounding(record.environment), rounding(environment)
        differing = [key for key in {**then, **now} if then.get(key) != now.get(key)]
        return not record.history, processor_class(then) != processor_class(now), len(differing)

    return min(_records(folder, name, recipe), key=distance, default=None)


def find_most(folder: Path, name: str, recipe: str) -> Baseline | None:
    """Of a row's records the one that P(converged) is compared with: of the most trials, the one in the
    folder itself among equals. None and errors as for `find_record`."""
    return max(_records(folder, name, recipe), key=lambda each: len(each.outcomes), default=None)


def with_ruler(folder: Path, record: Baseline) -> Baseline:
    """The record, with what others of its recipe and class of processors say of rounding beside its own
    ruler. One of another row that cannot be read says nothing here: where its row is judged, it is
    told."""
    recipe, own = record.recipe["name"], processor_class(record.environment)
    within = f"**/{glob.escape(recipe)}/*.json"
    names = sorted({path.stem for path in folder.glob(within)} - {record.name})
    others: list[Baseline] = []
    for name in names:
        with suppress(InputError):
            others += _records(folder, name, recipe)
    same = [each for each in others if processor_class(each.environment) == own]
    rulers: dict[tuple[str, ...], tuple[Json, ...]] = {}
    for each in (record, *same):
        if each.ruler:
            rulers.setdefault(each.weights, each.ruler)  # twins are one training, and scatter once
    return replace(record, ruler=sum(rulers.values(), ()))


def _records(folder: Path, name: str, recipe: str) -> list[Baseline]:
    within = baseline_path(Path("*"), glob.escape(name), glob.escape(recipe))
    places = [folder, *(path.parents[1] for path in sorted(folder.glob(str(within))))]
    return [record for each in places if (record := read_baseline(each, name, recipe))]


def read_baseline(folder: Path, name: str, recipe: str) -> Baseline | None:
    """The baseline, None where there is none; InputError for a later one, and for one that is damaged,
    was changed after it was written, or is another row's."""
    path = baseline_path(folder, name, recipe)
    try:
        text = path.read_bytes().replace(b"\r\n", b"\n")  # as version control may write it
        record = json.loads(text)
        if (version := record.pop("format")) not in range(1, FORMAT + 1):
            raise ValueError(f"it has format {version}; this version reads 1 to {FORMAT}")
        digest = digest_of(text, _END)
        if record.pop("digest", "") != digest or bool(digest) != (version == FORMAT):
            raise ValueError("it was changed after it was written: its digest is another")
        made = Baseline.from_dict(record)
        if (made.name, made.recipe["name"]) != (name, recipe):
            raise ValueError(f"it is of {made.name} under {made.recipe['name']}")
        return replace(made, digest=digest)
    except FileNotFoundError:
        return None
    except (OSError, *UNREADABLE) as error:
        raise InputError(
            f"the baseline {path} cannot be read ({error_words(error)}); restore it, or remove it "
            "and record it anew"
        ) from None


def unsigned_text(folder: Path) -> str:
    """That baselines of the folder carry no digest."""
    return (
        f"unsigned baselines in {folder}, recorded by an earlier version: a change in them cannot be "
        "noticed"
    )


def require_comparable(baseline: Baseline, trial: Trial) -> None:
    """InputError where model shapes, recipe, data or protocol differ: then nothing can be compared."""
    if (shapes := _frozen(trial.identity["shapes"])) != baseline.shapes:
        pairs = zip(baseline.shapes, shapes, strict=False)
        numbers = f"{len(baseline.shapes)} weights", len(shapes)
        was, now = next((pair for pair in pairs if pair[0] != pair[1]), numbers)
        raise InputError(
            f"the baseline of {baseline.name} is of another architecture: weights of shapes "
            f"{was} then, {now} now; record it anew"
        )
    for key in TASK[1:]:
        was, now = getattr(baseline, key), trial.identity[key]
        if was != now:
            what = differences(was, now) if isinstance(was, Mapping) else f"{was} then, {now} now"
            raise InputError(
                f"the baseline of {baseline.name} is of another {key} ({what}); record it anew"
            )


def changes(baseline: Baseline, trial: Trial) -> tuple[str, ...]:
    """What of the task is another one than the baseline's, a line each; of recipes, what differs."""
    lines = []
    for key in TASK:
        was, now = getattr(baseline, key), _frozen(trial.identity[key])
        if was != now:
            what = differences(was, now) if isinstance(was, Mapping) else f"{was} -> {now}"
            lines.append(f"{key}: {what}")
    return tuple(lines)


def require_same_monitor(baseline: Baseline, trial: Trial) -> None:
    """InputError where another monitor, or the other direction of it, was recorded: numbers of two
    monitors say nothing of one another."""
    for key in ("monitor", "mode"):
        was, now = baseline.recipe.get(key), trial.settings.get(key)
        if was != now:
            raise InputError(
                f"the baseline of {baseline.name} is of another {key} ({was} then, {now} now); record "
                "it anew"
            )


def differences(was: Json, now: Json) -> str:
    """What differs, such as `tensorflow 2.19.1 -> 2.21.0, ...`; empty where nothing does."""
    keys = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    return ", ".join(f"{key} {was.get(key)} -> {now.get(key)}" for key in keys)
