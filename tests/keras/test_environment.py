"""What surrounds a trial: TensorFlow's settings, and its share of the garbage collection."""

import gc
import subprocess
import sys

import pytest

import deepcaptcha.keras.backend  # noqa: F401 - TensorFlow, as trials load it
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
