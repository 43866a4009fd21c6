"""What surrounds a trial: TensorFlow's settings, and its share of the garbage collection."""

import gc
import json
import subprocess
import sys

import pytest

import deepcaptcha.keras.backend  # noqa: F401 - TensorFlow, as trials load it
from deepcaptcha.errors import InputError
from deepcaptcha.keras import environment
from tests.helpers import ENVIRONMENT


def test_what_tensorflow_keeps_is_looked_through_no_more():
    assert gc.isenabled()
    # 323,000 objects are left to the collector by a plain import of TensorFlow 2.21 with Keras 3.15.
    assert gc.get_freeze_count() > 100_000


def test_what_was_made_before_deepcaptcha_was_asked_can_be_freed():
    """Where TensorFlow is imported already, models may be alive, and they are full of cycles."""
    environment.require_single_thread()
    before = gc.get_freeze_count()
    environment._require_single_thread.cache_clear()
    environment.require_single_thread()
    assert gc.get_freeze_count() <= before


@pytest.mark.integration
def test_tensorflow_with_other_settings_or_more_threads_is_one_clear_error():
    """In one fresh process: without the settings, and with them once it runs on two threads."""
    code = (
        "import os; os.environ.pop('TF_ENABLE_ONEDNN_OPTS', None)\n"
        "import tensorflow as tf\n"
        "from deepcaptcha.errors import InputError\n"
        "from deepcaptcha.keras import environment\n"
        "def load():\n"
        "    try: environment.require_single_thread()\n"
        "    except InputError as error: print('refused:', error)\n"
        "load()\n"
        "os.environ.update(environment.SETTINGS)\n"
        "tf.config.threading.set_intra_op_parallelism_threads(2); tf.constant(1)\n"
        "load()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    imported, running = done.stdout.splitlines()
    assert "refused: TensorFlow was imported before its settings" in imported
    assert "TF_ENABLE_ONEDNN_OPTS=1" in imported
    assert "refused: TensorFlow already runs with 2 intra-op" in running


@pytest.mark.integration
def test_a_source_is_rehearsed_where_others_imported_tensorflow():
    """It is told to run on one thread before it computes anything. Where nobody did, see `test_fit`."""
    code = (
        "import os; from deepcaptcha.keras import environment\n"
        "os.environ.update(environment.SETTINGS); import tensorflow\n"
        "from tests.helpers import rehearsed_points\n"
        "print(rehearsed_points().run(0).seed)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ([], ""),
        ([("CPU", ""), ("cpu", "x86")], ""),
        ([("CPU", ""), ("GPU", "NVIDIA H100")], "NVIDIA H100"),
        ([("gpu", "NVIDIA H100"), ("gpu", "NVIDIA H100")], "2 x NVIDIA H100"),
        ([("GPU", "B"), ("GPU", "A")], "A, B"),
        ([("TPU", "")], "TPU"),
    ],
)
def test_what_a_backend_sees_beside_processors_is_named(devices, expected):
    assert environment.accelerator(devices) == expected


@pytest.mark.skipif(sys.platform == "win32", reason="asks for the lock as POSIX does")
def test_an_accelerator_is_one_processes_at_a_time(tmp_path):
    import fcntl

    def is_free():
        with (tmp_path / "deepcaptcha-device.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    with environment.own_device([("GPU", "NVIDIA H100")], tmp_path):
        assert not is_free()
    assert is_free()
    with environment.own_device([("CPU", "")], tmp_path):
        assert is_free()


def test_the_backend_is_what_keras_would_choose(tmp_path, monkeypatch):
    """As Keras documents it: its file of settings, the environment before it; loaded, its own word."""
    assert environment.backend() == "tensorflow"
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert environment.backend() == "tensorflow"
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "torch"}))
    assert environment.backend() == "torch"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert environment.backend() == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    with pytest.raises(InputError, match="KERAS_BACKEND is 'numpy'; one of tensorflow, jax, torch"):
        environment.require_extra()


@pytest.mark.integration
def test_what_was_computed_on_the_one_thread_of_the_environment_is_no_hindrance():
    code = (
        "import os; from deepcaptcha.keras import environment\n"
        "os.environ.update(environment.SETTINGS); import tensorflow as tf; tf.constant(1)\n"
        "environment.require_single_thread(); print('trains')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert done.stdout == "trains\n", done.stderr
