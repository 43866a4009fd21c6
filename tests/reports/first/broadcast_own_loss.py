"""A loss class of one's own subtracts outputs (n, 1) from targets (n,), which makes a table of n x n."""

from deepcaptcha.keras.backend import keras, tf
from tests.reports.first.broadcast_own_step import data
from tests.reports.report import Report


def build(side):
    class Distance(keras.losses.Loss):
        def call(self, y_true, y_pred):
            if side == "fixed" and y_true.shape.rank == 1:
                y_true = y_true[:, tf.newaxis]
            return tf.reduce_mean((y_true - y_pred) ** 2)

    error = keras.metrics.MeanSquaredError(name="error")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), Distance(), metrics=[error])
    return model


REPORT = Report(
    name="broadcast loss in an own class",
    source="public question on Keras",
    components=("loss", "labels"),
    cause="each output is compared with every target, and the mean answers that best",
    fix="give the targets a second axis",
    data=data,
    build=build,
    target=0.5,
    epochs=5,
    monitor="val_error",
    mode="min",
)
