"""CAPTCHA images: the same for the same seed, kept once drawn."""

import hashlib
import random
import secrets
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.networks.captcha import draw_captchas, load_captchas
from deepcaptcha.networks.recipes import RECIPES, load_examples


def same(a, b):
    return np.array_equal(a.images, b.images) and np.array_equal(a.labels, b.labels)


def test_images_are_dark_ink_on_light_paper():
    images, labels = draw_captchas(8, 4, seed=0)
    assert (images.shape, images.dtype) == ((8, 30, 80), np.uint8)
    assert (labels.shape, labels.dtype) == ((8, 4), np.uint8)
    assert labels.max() <= 9
    # The package draws on 238 to 255; more than half of an image is paper.
    assert np.median(images, axis=(1, 2)).min() >= 238
    assert images.min(axis=(1, 2)).max() < 200


def test_a_seed_gives_the_same_images_whatever_the_count():
    eight = draw_captchas(8, 4, seed=0)
    assert same(draw_captchas(8, 4, seed=0), eight)
    three = draw_captchas(3, 4, seed=0)
    assert np.array_equal(three.images, eight.images[:3])
    other = draw_captchas(8, 4, seed=1)
    assert not (other.images == eight.images).all(axis=(1, 2)).any()


def test_digits_are_uniform():
    _, labels = draw_captchas(100, 4, seed=0)
    # 400 digits, 40 of each expected with standard deviation 6: within four of them.
    assert np.abs(np.bincount(labels.ravel(), minlength=10) - 40).max() <= 24


def test_the_shared_module_keeps_its_own_randomness():
    import captcha.image

    draw_captchas(1, 4, seed=0)
    assert captcha.image.secrets is secrets


def test_drawing_that_ignores_the_seed_is_refused(monkeypatch):
    monkeypatch.setattr(random, "Random", lambda seed: random.SystemRandom())
    with pytest.raises(InputError, match="draws differently from the same seed"):
        draw_captchas(1, 4, seed=0)


def test_images_are_kept_and_drawn_again_when_damaged_or_of_other_versions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn = load_captchas(3, 4, seed=0)
    (path,) = (tmp_path / "build").iterdir()
    written = path.stat().st_mtime_ns
    assert same(load_captchas(3, 4, seed=0), drawn)
    assert path.stat().st_mtime_ns == written
    path.write_bytes(path.read_bytes()[:-100])
    assert same(load_captchas(3, 4, seed=0), drawn)
    blank = np.zeros_like(drawn.images)
    np.savez_compressed(path, origin="other versions", images=blank, labels=drawn.labels)
    assert same(load_captchas(3, 4, seed=0), drawn)
    assert [found.name for found in (tmp_path / "build").iterdir()] == [path.name]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build").write_text("a file")
    with pytest.raises(InputError, match=r"cannot keep the CAPTCHA images in build/captcha-1-4-0"):
        load_captchas(1, 4, seed=0)


def test_ink_is_one_minus_unit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ink, white = (
        load_examples(replace(RECIPES[name], n_train=8, n_validation=4))
        for name in ("captcha", "captcha-white")
    )
    pixels = draw_captchas(8, 4, seed=0).images[..., np.newaxis].astype(np.float32)
    np.testing.assert_array_equal(white.x_train, pixels / np.float32(255))
    np.testing.assert_array_equal(ink.x_train, 1 - pixels / np.float32(255))
    assert np.array_equal(ink.y_train, white.y_train)
    assert np.array_equal(ink.y_train.argmax(-1), draw_captchas(8, 4, seed=0).labels)
    assert (ink.x_validation.shape, ink.y_validation.shape) == ((4, 30, 80, 1), (4, 4, 10))


def test_a_share_of_the_training_images_may_validate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    split = load_examples(replace(RECIPES["captcha"], n_train=8, validation_split=0.25))
    whole = load_examples(replace(RECIPES["captcha"], n_train=8, n_validation=1))
    np.testing.assert_array_equal(split.x_validation, whole.x_train[6:])
    np.testing.assert_array_equal(split.y_train, whole.y_train[:6])


@pytest.mark.parametrize("load", [load_captchas, draw_captchas])
def test_a_missing_package_is_one_line_that_names_the_extra(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "captcha"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(
        InputError,
        match="CAPTCHA images need a package: install pytest-deepcaptcha with its extra `captcha`",
    ):
        load(1, 4, seed=0)


@pytest.mark.integration
def test_two_processes_draw_the_same_images():
    code = (
        "import hashlib; from deepcaptcha.networks.captcha import draw_captchas; "
        "print(hashlib.sha256(draw_captchas(200, 4, seed=0).images.tobytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = hashlib.sha256(draw_captchas(200, 4, seed=0).images.tobytes()).hexdigest()
    assert done.stdout.strip() == here
