"""The proof that a run can never move again: when it is given, when refused, and that it holds."""

import numpy as np
import pytest

from deepcaptcha.keras import frozen
from deepcaptcha.keras.backend import keras, tf
from deepcaptcha.keras.data import Examples
from deepcaptcha.networks.recipes import RECIPES
from tests.helpers import FROZEN as RECIPE
from tests.helpers import changed, hidden_softmax, points, train


def compiled(model=None, optimizer="adam", loss="categorical_crossentropy"):
    model = hidden_softmax() if model is None else model
    model.compile(optimizer=optimizer, loss=loss)
    return model


@pytest.mark.integration
def test_a_proved_run_that_goes_on_ends_with_the_very_weights():
    stopped = train(hidden_softmax, RECIPE, 0, points())
    ran_on = train(hidden_softmax, RECIPE, 0, points(), stop_when_frozen=False)
    assert (stopped.outcome, stopped.stop_reason) == ("stuck", "frozen")
    assert (ran_on.outcome, ran_on.stop_reason) == ("stuck", "epochs")
    assert len(stopped.epochs) == 1
    assert len(ran_on.epochs) == 6
    assert stopped.weights_sha256 == ran_on.weights_sha256
    assert stopped.frozen_at_step == ran_on.frozen_at_step == 8
    assert stopped.epochs[0].zero_gradient_share == 1


def test_a_frozen_run_that_meets_its_target_has_converged():
    right = points()
    labels = np.tile(np.array([[1, 0]], "float32"), (64, 1))
    examples = Examples(right.x_train, labels, right.x_train, labels)
    trial = train(hidden_softmax, RECIPE, 0, examples)
    assert (trial.outcome, trial.epochs_to_target) == ("converged", 1)
    assert trial.frozen_at_step == 8


@pytest.mark.integration
def test_a_plateau_with_a_living_gradient_runs_on():
    """At log-odds 15 the probability is 3.1e-7: beyond sight, but not beyond the clip."""
    recipe = changed(RECIPE, optimizer="sgd", optimizer_settings={"learning_rate": 0.0})
    trial = train(lambda: hidden_softmax(15.0), recipe, 0, points())
    assert (trial.stop_reason, trial.frozen_at_step) == ("epochs", None)
    assert len(trial.epochs) == 6


@pytest.mark.parametrize(
    ("log_odds", "proved"),
    # ln 1e7 = 16.118, margin 4, and 1e-4 of the logit's one term, 20: 20.12 is needed.
    [(16.2, False), (20.0, False), (20.1, False), (20.2, True), (400.0, True)],
)
def test_the_margin_beyond_the_clip(log_odds, proved):
    examples = points()
    model = compiled(hidden_softmax(log_odds))
    assert frozen.beyond_clip(model, examples.x_train, examples.y_train) == proved


def test_one_example_within_the_clip_is_enough_to_refuse():
    model = hidden_softmax()
    model.layers[0].set_weights([np.array([[50, 0]], "float32"), np.array([60, 0], "float32")])
    x = np.zeros((1200, 1), "float32")
    y = np.tile(np.array([[0, 1]], "float32"), (1200, 1))
    assert frozen.beyond_clip(compiled(model), x, y)
    x[-1] = -1  # its log-odds are 60 - 50 = 10
    assert not frozen.beyond_clip(model, x, y)


def adam_with(model, momentum, velocity, iterations):
    optimizer = model.optimizer
    optimizer.build(model.trainable_variables)
    optimizer.iterations.assign(iterations)
    for variable in optimizer._momentums:
        variable.assign(np.full(variable.shape, momentum, "float32"))
    for variable in optimizer._velocities:
        variable.assign(np.full(variable.shape, velocity, "float32"))


@pytest.fixture(scope="module")
def stock():
    """A model, and a function that takes stock Keras steps with zero gradients: the truth that `settled`
    predicts."""
    model = compiled()
    model.optimizer.build(model.trainable_variables)
    zeros = [tf.zeros(v.shape) for v in model.trainable_variables]

    @tf.function
    def steps():
        for _ in tf.range(150):
            model.optimizer.apply(zeros)

    return model, steps


@pytest.mark.parametrize(
    ("momentum", "settled"),
    [(0.0, True), (1e-3, False), (1e-9, False), (1e-15, False), (1e-22, True)],
)
def test_settled_needs_every_step_to_round_away(stock, momentum, settled):
    """A weight of exactly zero takes any step; the weight beside it is 400, so that creeping by 4e-18 in
    all may pass. From a momentum of 1e-15 it is 2.8e-13 a step and more than 1e-12 in all."""
    model, take_steps = stock
    model.layers[0].set_weights([np.ones((1, 2), "float32"), np.array([400, 0], "float32")])
    adam_with(model, momentum, 1e-3, 200)
    assert frozen.settled(model) == settled
    before = model.layers[0].get_weights()[1]
    take_steps()
    moved = np.abs(model.layers[0].get_weights()[1] - before).max()
    assert (moved <= 4e-18) == settled


@pytest.mark.parametrize("exponent", range(-12, -1))
def test_settled_is_never_wrong_about_adam(stock, exponent):
    model, take_steps = stock
    random = np.random.RandomState(0)
    model.layers[0].set_weights(
        [random.randn(1, 2).astype("float32"), random.randn(2).astype("float32")]
    )
    adam_with(model, 10.0**exponent, 1e-2, 100)
    claim = frozen.settled(model)
    before = [w.copy() for w in model.get_weights()]
    take_steps()
    moved = not all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert not (claim and moved)
    # The step is 1e-3 * sqrt(1 - 0.999**101) * 0.9 * m / sqrt(0.01) = 2.8e-3 * m; the smallest weight
    # is 0.40, where half a unit in the last place is 2**-26 = 1.5e-8: m below 5.3e-6 rounds away.
    assert claim == (exponent <= -6)


def test_settled_with_momentum_sgd():
    model = compiled(optimizer=keras.optimizers.SGD(0.1, momentum=0.9))
    model.optimizer.build(model.trainable_variables)
    assert frozen.settled(model)
    for variable in model.optimizer.momentums:
        variable.assign(np.full(variable.shape, 1.0, "float32"))
    assert not frozen.settled(model)


def test_no_proof_before_the_weights_are_settled():
    model = compiled()
    adam_with(model, 1e-3, 1e-3, 200)
    examples = points()
    assert frozen.beyond_clip(model, examples.x_train, examples.y_train)
    assert not frozen.is_frozen(model, examples.x_train, examples.y_train)


def refusals():
    layers, optimizers = keras.layers, keras.optimizers

    def sequence(*middle):
        return keras.Sequential(
            [
                keras.Input((4,)),
                *middle,
                layers.Dense(2, activation="softmax"),
                layers.Reshape((2,)),
            ]
        )

    schedule = optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    yield "dropout", compiled(sequence(layers.Dropout(0.5))), "not on the list of stateless layers"
    yield "batch norm", compiled(sequence(layers.BatchNormalization())), "not on the list"
    yield "noise", compiled(sequence(layers.GaussianNoise(0.1))), "not on the list"
    yield "regularizer", compiled(sequence(layers.Dense(3, kernel_regularizer="l2"))), "regularizer"
    yield (
        "constraint",
        compiled(sequence(layers.Dense(3, kernel_constraint="max_norm"))),
        "constraint",
    )
    yield "half", compiled(sequence(layers.Dense(3, dtype="mixed_float16"))), "float16"
    for name, settings in (
        ("weight decay", {"weight_decay": 0.01}),
        ("clipnorm", {"clipnorm": 1.0}),
        ("ema", {"use_ema": True}),
        ("loss scale", {"loss_scale_factor": 2.0}),
        ("accumulation", {"gradient_accumulation_steps": 2}),
        ("amsgrad", {"amsgrad": True}),
    ):
        yield name, compiled(optimizer=optimizers.Adam(**settings)), "the optimizer uses"
    yield "schedule", compiled(optimizer=optimizers.Adam(schedule)), "follows a schedule"
    yield "rmsprop", compiled(optimizer="rmsprop"), "RMSprop is not on the list"
    yield "other loss", compiled(loss="mse"), "is not categorical cross-entropy"
    smooth = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    yield "smoothing", compiled(loss=smooth), "smooths labels"
    bare = keras.Sequential([keras.Input((4,)), layers.Dense(2, activation="softmax")])
    yield "seen logits", compiled(bare), "sees the logits"
    shared = keras.Sequential(
        [keras.Input((4,)), layers.Dense(6, activation="softmax"), layers.Reshape((3, 2))]
    )
    yield "several predictions", compiled(shared), "never vanishes"
    yield from graph_refusals()

    class Own(keras.Model):
        def call(self, x):
            return x

    yield "subclass", compiled(Own()), "may run code of its own"


def graph_refusals():
    """Models that look like the chain of layers that can be proved, and are not."""
    layers = keras.layers

    def ending(head, end=lambda p: layers.Reshape((2,))(p), size=4):
        inputs = keras.Input((size,))
        return compiled(keras.Model(inputs, end(head(inputs))))

    def softmax(z):
        return keras.activations.softmax(z / 10)

    def noisy(z):
        return z + keras.random.uniform((1,))

    dense = layers.Dense(2, activation="softmax")
    yield "arithmetic before", ending(dense, lambda p: layers.Reshape((2,))(p * 0.999)), "list"
    dense = layers.Dense(2, activation="softmax")
    yield "arithmetic after", ending(dense, lambda p: layers.Reshape((2,))(p) + 1e-4), "list"
    twice = layers.Dense(2, activation="softmax")
    yield "called twice", ending(lambda i: twice(twice(i)), size=2), "each called once"
    yield "own softmax", ending(layers.Dense(2, activation=softmax)), "activation that is not"
    yield "softmax layer", ending(layers.Dense(2, activation=layers.Softmax())), "activation"
    drawn = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, activation=noisy), dense_end(), layers.Reshape((2,))]
    )
    yield "random activation", compiled(drawn), "activation that is not"
    rank3 = keras.Sequential(
        [keras.Input((4,)), layers.Reshape((1, 4)), dense_end(), layers.Flatten()]
    )
    yield "head on a sequence", compiled(rank3), "never vanishes"

    class Loss(keras.losses.CategoricalCrossentropy):
        def call(self, y_true, y_pred):
            return super().call(y_true, 0.999 * y_pred)

    yield "own loss", compiled(loss=Loss()), "is not categorical cross-entropy"
    branches = keras.Input((4,))
    both = layers.Dense(3)(branches)
    yield (
        "residual",
        compiled(
            keras.Model(branches, layers.Reshape((2,))(dense_end()(layers.Add()([both, both]))))
        ),
        "not a plain chain",
    )


def dense_end():
    return keras.layers.Dense(2, activation="softmax")


def test_a_head_called_elsewhere_first_is_proved_where_it_stands():
    head = dense_end()
    head(keras.Input((1,)))
    inputs = keras.Input((1,))
    model = compiled(keras.Model(inputs, keras.layers.Reshape((2,))(head(inputs))))
    head.set_weights([np.zeros((1, 2), "float32"), np.array([400, 0], "float32")])
    examples = points()
    assert frozen.refusal(model) is None
    assert frozen.beyond_clip(model, examples.x_train, examples.y_train)


def test_labels_that_are_not_one_hot_are_never_proved():
    examples = points()
    mixed = np.tile(np.array([[0.7, 0.3]], "float32"), (64, 1))
    assert frozen.beyond_clip(compiled(), examples.x_train, examples.y_train)
    assert not frozen.beyond_clip(compiled(), examples.x_train, mixed)


def test_large_terms_that_cancel_need_a_larger_margin():
    """Log-odds of 24 as the difference of terms of 1e7: float32 knows them to about 1 at best."""
    model = hidden_softmax()
    weights = [np.array([[1e7, 0]], "float32"), np.array([-1e7 + 24, 0], "float32")]
    model.layers[0].set_weights(weights)
    x, y = np.ones((4, 1), "float32"), np.tile(np.array([[0, 1]], "float32"), (4, 1))
    assert not frozen.beyond_clip(compiled(model), x, y)


def test_adam_whose_steps_may_grow_again_is_never_settled():
    """For beta_1**2 > beta_2 the velocity falls faster than the momentum."""
    model = compiled(optimizer=keras.optimizers.Adam(beta_1=0.99, beta_2=0.975))
    adam_with(model, 0.0, 0.0, 500)
    assert not frozen.settled(model)


def test_no_proof_where_something_else_may_move_the_model():
    assert frozen.refusal(compiled()) is None
    for name, model, words in refusals():
        answer = frozen.refusal(model)
        assert answer is not None, name
        assert words in answer, (name, answer)


@pytest.mark.integration
def test_an_unprovable_run_trains_to_its_end():
    def factory():
        model = hidden_softmax()
        model.compile(
            keras.optimizers.Adam(weight_decay=1e-9),
            "categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model

    trial = train(factory, RECIPE, 0, points())
    assert (len(trial.epochs), trial.frozen_at_step) == (6, None)


def test_the_recipes_of_the_question_can_be_proved():
    assert {recipe.training.optimizer for recipe in RECIPES.values()} == {"adam"}
