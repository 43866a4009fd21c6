"""Trials on Keras' other backends, each in a process of its own: what they end with, to the bit."""

import importlib.util
import json
import subprocess
import sys

import pytest

from tests.helpers import ENVIRONMENT

pytestmark = pytest.mark.integration

TRAIN = """
import json
from deepcaptcha.errors import InputError
from deepcaptcha.keras.backend import KERAS_ERRORS, keras
from deepcaptcha.keras.settings import Training
from deepcaptcha.keras.source import KerasSource
from deepcaptcha.keras.training import Shuffled
from deepcaptcha.trials.trial import Target
from tests.helpers import points

def build():
    layers = [keras.Input((1,)), keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.2)]
    return keras.Sequential([*layers, keras.layers.Dense(2, "softmax")])

data = points(40)
target = Target(0.0, epochs=3, monitor="val_loss", mode="min")  # never reached
source = KerasSource(build, data, target, Training(batch=16), reuse_model=True)
first, again, other = (source.run(seed) for seed in (5, 5, 6))
shuffled = Shuffled(data, 16, 5)
orders = [shuffled.order.tolist()]
shuffled.on_epoch_end()
orders.append(shuffled.order.tolist())
print(json.dumps({
    "weights": [trial.weights_sha256 for trial in (first, again, other)],
    "seconds": [trial.seconds for trial in (first, again, other)],
    "logged": [sorted(epoch.metrics) for epoch in first.epochs],
    "changed": [epoch.weights_changed for epoch in first.epochs],
    "environment": first.identity["environment"],
    "first_loss": first.first_loss,
    "orders": orders,
    "batches": [len(shuffled[place][0]) for place in range(len(shuffled))],
}))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_seed_gives_the_same_bits_and_another_seed_others(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; the nightly job has it")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAIN],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, "KERAS_BACKEND": backend},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    first, again, other = found["weights"]
    assert first == again != other
    assert found["logged"] == 3 * [["accuracy", "loss", "val_accuracy", "val_loss"]]
    assert found["changed"] == [True] * 3
    assert found["environment"]["backend"] == backend
    assert "tensorflow" not in found["environment"]
    assert found["first_loss"] is None  # nobody looks at single batches there
    assert [sorted(order) for order in found["orders"]] == 2 * [list(range(40))]
    assert found["orders"][0] != found["orders"][1]
    assert found["batches"] == [16, 16, 8]


def test_a_model_of_legacy_keras_is_told_in_one_line():
    if importlib.util.find_spec("tf_keras") is None:
        pytest.skip("tf_keras is not installed; the nightly job has it")
    code = (
        "import tf_keras\n"
        "from deepcaptcha.errors import InputError\n"
        "from deepcaptcha.keras.fit import require_model\n"
        "try: require_model(lambda: tf_keras.Sequential([tf_keras.layers.Dense(1)]))\n"
        "except InputError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert done.stdout.startswith(
        "the factory returned a model of tf_keras, the legacy Keras 2; one"
    )
