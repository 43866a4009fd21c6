"""Trials, baselines and a plan that tests of verdicts share."""

from dataclasses import replace

from deepcaptcha.trials.trial import Epoch, Target
from deepcaptcha.verdicts.baseline import make_baseline
from deepcaptcha.verdicts.confirm import choose_repetition, confirm
from deepcaptcha.verdicts.measures import Course
from deepcaptcha.verdicts.plan import Plan
from tests.helpers import make_trial

MIRRORED = Plan(
    *(0.9, 0.4, 0.05, 0.1, 9),
    (1, 2, 3, 3, 4, 5, 5, 6, 6, 6),
    (-1, -1, 0, 1, 1, 2, 3, 4, 5, 5),
)
"""A literal, as a design once gave it: asking for it would take longer than what is tested."""

RECIPE = {
    "name": "points",
    **Target(0.9, 5).as_dict(),
    "optimizer_settings": {"learning_rate": 0.001},
}


def trial(seed=0, outcome="converged", epochs=1, **identity):
    made = make_trial(seed, outcome=outcome, epochs=epochs)
    return replace(
        made,
        identity={
            "recipe": RECIPE,
            "data": "d",
            "protocol": 1,
            "shapes": [[1, 2], [2]],
            "environment": {"tensorflow": "2.19.1"},
            **identity,
        },
    )


def baseline(converged=30, of=30, epochs=1):
    """One of outcomes alone."""
    outcomes = ["converged" if place < converged else "stuck" for place in range(of)]
    trials = [trial(1_000_000 + place, each, epochs) for place, each in enumerate(outcomes)]
    return replace(make_baseline(trials), history=(), losses=())


def logged(accuracy, loss=0.5, validation_loss=0.25):
    return {"loss": loss, "val_loss": validation_loss, "val_accuracy": accuracy}


def courses(losses, first=1_000_000, accuracy=0.95, start="", **fields):
    """Trials of one epoch, whose training losses these are and whose validation loss is half of it."""
    return [
        Course(
            first + place,
            "converged",
            (logged(accuracy - loss / 100, loss, loss / 2),),
            start=f"{start}{place}" if start else "",
            first_loss=2.3 if start else None,
            **fields,
        )
        for place, loss in enumerate(losses)
    ]


LOGGED = {"name": "points", "n_class": 10, "rate": 0.001, **Target().as_dict()}


def with_numbers(**changes):
    """A baseline of 40 trials that converged in their first epoch with losses of 0.460 to 0.499."""
    history = tuple((logged(0.95, 0.46 + place / 1000),) for place in range(40))
    return replace(baseline(40, of=40), recipe=LOGGED, history=history, **changes)


AVX2 = {"machine": "x86_64", "instructions": ["avx", "avx2", "fma"], "tensorflow": "2.21.0"}
DIGESTS = {
    "training data": "t0",
    "validation data": "v0",
    "configuration": "c0",
    "callbacks": "none",
    "epochs": "5",
    "target": "val_accuracy max 0.9",
    "code": "k0",
}


def ended(seed, epochs=1, environment=AVX2, **digests):
    """A trial as it is recorded, all of whose figures depend on the seed."""
    values = [{"loss": 1 / (seed + n), "val_loss": 2 / (seed + n)} for n in range(1, epochs + 1)]
    return replace(
        trial(seed, epochs=epochs, environment=environment),
        epochs=tuple(Epoch(each, losses=(3.0 / seed, 2.5 / seed)) for each in values),
        weights_sha256=f"{seed:0>64}"[::-1],
        first_loss=2.3 + seed,
        digests={
            **DIGESTS,
            "order": f"o{seed}",
            "initial weights": f"i{seed}",
            "weights after 50 steps": f"w{seed}",
            **digests,
        },
    )


def record(*lengths, **digests):
    return make_baseline([ended(7 + i, epochs, **digests) for i, epochs in enumerate(lengths)])


def again(recorded, **changes):
    """The confirmation of the record's shortest trial, which comes again with some changes."""
    chosen = choose_repetition(recorded, "k0")
    repeated = ended(chosen.seed, len(recorded.history[chosen.place]))
    return confirm(recorded, chosen, replace(repeated, **changes))
