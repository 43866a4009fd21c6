"""A second way to get stuck: on the white paper of CAPTCHA images, where ink alone would be read.

The variant is `extra-conv`, a repair of the first way. Its pilot, seeds 0 and 1: ink reached its target
in epoch 2, twice; white paper sat at ln 10 for all three epochs, twice, in seed 1 with every unit of
the dense layer dead. The question's own depth leaves
that plateau in some seeds: `same` in 0 and 1, not within an epoch in 2; `same-reshape-first` in 0, not
within three epochs in 2.
"""

from dataclasses import replace

import pytest

from deepcaptcha.diagnosis.probes import SYMPTOMS
from deepcaptcha.networks.recipes import RECIPES
from deepcaptcha.trials.history import diagnose, is_at_chance_plateau, state_at_end
from deepcaptcha.trials.seeds import first_seed


def train(name):
    source = replace(RECIPES[name].source("extra-conv"), probes=SYMPTOMS)
    trial = source.run(first_seed("pull-request"))
    for epoch in trial.epochs:
        print(epoch)
    return trial


@pytest.mark.slow
def test_it_reads_captchas_drawn_as_ink():
    trial = train("captcha")
    assert trial.outcome == "converged"
    assert trial.epochs[-1].metrics["val_string_accuracy"] >= 0.90


@pytest.mark.slow
def test_white_paper_leaves_it_at_guessing_with_its_dense_units_dead():
    """Not the failure of raw pixels, where the loss reads clipped probabilities."""
    trial = train("captcha-white")
    assert trial.outcome == "stuck"
    assert trial.frozen_at_step is None
    assert trial.epochs[-1].weights_changed
    assert is_at_chance_plateau(trial.epochs[-1], 10)
    end = state_at_end(trial)
    assert end["dead_units"]["dense1"] >= 0.9
    assert end["zero_gradient_share"] == 0
    assert diagnose(trial).code in ("dead units", "plateau")
