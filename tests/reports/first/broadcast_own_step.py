"""A train_step of one's own subtracts outputs (n, 1) from targets (n,), which makes a table of n x n."""

import numpy as np

from deepcaptcha.keras.backend import keras, tf
from tests.reports.data import cut
from tests.reports.report import Report


def data(side):
    """A linear function of three numbers, and a little noise."""
    draw = np.random.default_rng(202)
    x = draw.standard_normal((1500, 3))
    y = 3 + 2 * x[:, 0] - x[:, 1] + x[:, 2] / 2 + 0.1 * draw.standard_normal(1500)
    return cut(x.astype("float32"), y.astype("float32"), 1000)


def build(side):
    class Regression(keras.Model):
        def train_step(self, batch):
            x, y = batch
            targets = y if side == "broken" else y[:, tf.newaxis]
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((targets - self(x, training=True)) ** 2)
            weights = self.trainable_weights
            self.optimizer.apply(tape.gradient(loss, weights), weights)
            return {"loss": loss}

    inputs = keras.Input((3,))
    model = Regression(inputs, keras.layers.Dense(1)(inputs))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


REPORT = Report(
    name="broadcast loss in an own train_step",
    source="public question on Keras",
    components=("loss", "labels"),
    cause="each output is compared with every target, and the mean answers that best",
    fix="give the targets a second axis",
    data=data,
    build=build,
    target=0.5,
    epochs=5,
    monitor="val_loss",
    mode="min",
)
