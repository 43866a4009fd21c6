"""Trials and baselines that tests of verdicts share."""

from dataclasses import replace

from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.baseline import make_baseline
from tests.helpers import make_trial

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
    return make_baseline(
        [trial(1_000_000 + i, "converged" if i < converged else "stuck", epochs) for i in range(of)]
    )
