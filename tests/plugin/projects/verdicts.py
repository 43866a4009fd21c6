"""Each factory three times: it trains; it does not; it does not, which is known."""

from functools import partial

import keras
import numpy as np
import pytest
from factories import (
    build_lenet5,
    build_lstm,
    build_mlp,
    build_regression,
    build_resnet,
    build_subclassed,
    images,
    points,
    sequences,
    sums,
)

accurate = pytest.mark.convergence(target=0.9, epochs=6, batch=16, p_good=0.999, p_bad=0.05)
hopeless = pytest.mark.convergence(target=0.9, epochs=1, batch=16, p_good=0.999, p_bad=0.05)
close = {"monitor": "val_loss", "mode": "min", "p_good": 0.999, "p_bad": 0.05, "batch": 16}
pipeline = {"target": 0.9, "epochs": 6, "p_good": 0.999, "p_bad": 0.05}
known = pytest.mark.xfail(reason="a learning rate of zero", strict=True)


@accurate
def test_mlp(convergence):
    convergence.check(build_mlp, train=points(0), validation=points(1))


@accurate
def test_lenet5(convergence):
    convergence.check(build_lenet5, train=images(0), validation=images(1))


@accurate
def test_resnet(convergence):
    convergence.check(
        build_resnet,
        train=images(0),
        validation=images(1),
        callbacks=lambda: [keras.callbacks.ReduceLROnPlateau()],
    )


@accurate
def test_subclassed(convergence):
    convergence.check(build_subclassed, train=points(0), validation=points(1), version="1")


@pytest.mark.convergence(**pipeline)
def test_lstm(convergence):
    convergence.check(
        build_lstm, train=lambda: sequences(0), validation=sequences(1, shuffled=False)
    )


@pytest.mark.convergence(target=0.02, epochs=8, **close)
def test_regression(convergence):
    convergence.check(build_regression, train=sums(0), validation=sums(1))


@hopeless
def test_mlp_on_unrelated_labels(convergence):
    x, y = points(0)
    convergence.check(
        build_mlp, train=(x, np.random.RandomState(2).permutation(y)), validation=points(1)
    )


@hopeless
def test_lenet5_without_a_rate(convergence):
    convergence.check(partial(build_lenet5, 0.0), train=images(0), validation=images(1))


@hopeless
def test_resnet_without_a_rate(convergence):
    convergence.check(partial(build_resnet, 0.0), train=images(0), validation=images(1))


@hopeless
def test_subclassed_without_a_rate(convergence):
    convergence.check(partial(build_subclassed, 0.0), train=points(0), validation=points(1))


@pytest.mark.convergence(**{**pipeline, "epochs": 1})
def test_lstm_without_a_rate(convergence):
    convergence.check(
        partial(build_lstm, 0.0),
        train=lambda: sequences(0),
        validation=sequences(1, shuffled=False),
    )


@pytest.mark.convergence(target=0.02, epochs=1, **close)
def test_regression_without_a_rate(convergence):
    convergence.check(partial(build_regression, 0.0), train=sums(0), validation=sums(1))


@known
@hopeless
@pytest.mark.parametrize(
    ("build", "data"),
    [
        (build_mlp, points),
        (build_lenet5, images),
        (build_resnet, images),
        (build_subclassed, points),
    ],
)
def test_known(build, data, convergence):
    convergence.check(partial(build, 0.0), train=data(0), validation=data(1))


@known
@pytest.mark.convergence(**{**pipeline, "epochs": 1})
def test_known_lstm(convergence):
    convergence.check(
        partial(build_lstm, 0.0),
        train=lambda: sequences(0),
        validation=sequences(1, shuffled=False),
    )


@known
@pytest.mark.convergence(target=0.02, epochs=1, **close)
def test_known_regression(convergence):
    convergence.check(partial(build_regression, 0.0), train=sums(0), validation=sums(1))
