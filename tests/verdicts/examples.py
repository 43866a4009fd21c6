"""Trials, baselines and a plan that tests of verdicts share."""

from dataclasses import replace

from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.baseline import make_baseline
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
