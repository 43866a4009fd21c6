"""The digits: the subset that is carried, whole files, strips."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.networks import digits as data
from deepcaptcha.networks.digits import Digits, digit_strips, load_mnist

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def fresh_cache():
    load_mnist.cache_clear()
    yield
    load_mnist.cache_clear()


def test_subset_is_balanced_uint8():
    (x_train, y_train), (x_test, y_test) = load_mnist()
    assert (x_train.shape, x_test.shape) == ((12_000, 28, 28), (2_000, 28, 28))
    assert x_train.dtype == x_test.dtype == np.uint8
    assert x_train.max() == 255
    assert np.bincount(y_train).tolist() == [1200] * 10
    assert np.bincount(y_train[:6400]).tolist() == [640] * 10
    assert np.bincount(y_test).tolist() == [200] * 10


def test_subset_has_no_digit_twice():
    train, test = load_mnist()
    seen = {image.tobytes() for image in np.concatenate([train.images, test.images])}
    assert len(seen) == 14_000


def test_a_damaged_subset_is_refused(tmp_path, monkeypatch):
    damaged = bytearray((ROOT / "fixtures" / "mnist.npz").read_bytes())
    damaged[100_000] ^= 1
    (tmp_path / "mnist.npz").write_bytes(damaged)
    monkeypatch.setattr(data, "_CARRIED", tmp_path / "mnist.npz")
    with pytest.raises(InputError, match="is damaged: its SHA-256 is not"):
        load_mnist()


def test_the_wheels_copy_comes_first_and_the_repositorys_stands_in(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "_REPOSITORY", tmp_path / "nowhere.npz")
    monkeypatch.setattr(data, "_CARRIED", ROOT / "fixtures" / "mnist.npz")
    assert len(load_mnist().train.labels) == 12_000
    load_mnist.cache_clear()
    monkeypatch.setattr(data, "_CARRIED", tmp_path / "nowhere.npz")
    with pytest.raises(InputError, match=r"cannot read the digits from .*nowhere\.npz"):
        load_mnist()


@pytest.mark.integration
def test_the_wheel_carries_the_subset(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        carried = file.read("deepcaptcha/_fixtures/mnist.npz")
    assert hashlib.sha256(carried).hexdigest() == data.SUBSET_SHA256


def save(path, **changes):
    arrays = {
        "x_train": np.zeros((20, 28, 28), np.uint8),
        "y_train": np.arange(20, dtype=np.uint8) % 10,
        "x_test": np.zeros((10, 28, 28), np.uint8),
        "y_test": np.arange(10, dtype=np.uint8),
    }
    arrays.update(changes)
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return str(path)


def test_a_file_in_keras_layout_is_read(tmp_path):
    mnist = load_mnist(save(tmp_path / "mnist.npz"))
    assert mnist.train.labels.tolist() == [*range(10), *range(10)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_test": None}, "x_test"),
        ({"x_train": np.zeros((20, 28, 27), np.uint8)}, "x_train is uint8 (20, 28, 27)"),
        ({"x_train": np.zeros((20, 28, 28))}, "x_train is float64"),
        ({"y_train": np.zeros(19, np.uint8)}, "y_train has shape (19,) for 20 images"),
        ({"y_test": np.arange(1, 11)}, "y_test holds 1 to 10; whole labels 0 to 9"),
        ({"y_test": np.array(["7"] * 10)}, "y_test is <U1 (10,); at least one whole label"),
        (
            {"x_test": np.zeros((0, 28, 28), np.uint8), "y_test": np.zeros(0, np.uint8)},
            "y_test is uint8 (0,); at least one whole label",
        ),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, changes, words):
    path = save(tmp_path / "mnist.npz", **changes)
    with pytest.raises(InputError) as error:
        load_mnist(path)
    assert words in str(error.value)
    assert path in str(error.value)


def test_not_an_npz_is_refused(tmp_path):
    path = tmp_path / "mnist.npz"
    path.write_bytes(b"not a zip file")
    with pytest.raises(InputError, match="is not an npz file"):
        load_mnist(str(path))


def test_a_single_array_or_a_damaged_file_is_no_npz(tmp_path):
    np.save(tmp_path / "digits.npy", np.zeros(3))
    path = tmp_path / "mnist.npz"
    digits = np.arange(20 * 28 * 28, dtype=np.uint8).reshape(20, 28, 28)
    np.savez_compressed(path, x_train=digits)
    whole = bytearray(path.read_bytes())
    for place in range(80, len(whole) - 200):  # behind the header, before the directory at the end
        whole[place] ^= 0xFF
    path.write_bytes(whole)
    for damaged in (tmp_path / "digits.npy", path):
        with pytest.raises(InputError, match="is not an npz file"):
            load_mnist(str(damaged))


def test_strips_hold_their_digits_side_by_side():
    digits = Digits(
        np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 28, 28), np.uint8),
        np.arange(5, dtype=np.uint8),
    )
    strips = digit_strips(3, digits)
    assert (strips.images.shape, strips.labels.shape) == ((5, 28, 84), (5, 3))
    for image, labels in zip(strips.images, strips.labels, strict=True):
        assert image[0, ::28].tolist() == labels.tolist()  # each digit is painted as its label
    assert sorted(strips.labels[:, 1]) == [0, 1, 2, 3, 4]
    assert digit_strips(2).images.shape == (12_000, 28, 56)
    assert (digit_strips(3, digits).labels == strips.labels).all()


@pytest.mark.parametrize("count", [0, -1, 2.0, True])
def test_strips_of_no_digit_are_refused(count):
    with pytest.raises(InputError, match="n_prediction is"):
        digit_strips(count)


def npy(header, data=b"", version=b"\x01\x00"):
    """An array's file with any header."""
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


HEADER = "{{'descr': {}, 'fortran_order': False, 'shape': {}}}".format


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        npy(HEADER("'|u1'", "(10**13,)")),
        npy(HEADER("'|u1'", f"({10**13},)")),
        npy(HEADER("'|u1'", f"({'9' * 400},)")),
        npy(HEADER("'|u1'", "(2,)"), b"abc"),  # a part left unread has no checksum
        npy(HEADER("'|u1'", "(-1, -3)"), b"abc"),
        npy(HEADER("'<U0'", f"({10**13},)")),
        npy(HEADER("'|O'", "(1,)"), b"\x80\x04N."),
        npy(HEADER("'|S99999999999'", "(0,)")),
        npy(HEADER("[('a', '|O')]", "()"), b"\x80\x04N."),
        npy("(" * 9000),
        npy("{" * 200 + "}" * 200),
        npy(HEADER("'|u1'", "(0,)"), version=b"\x09\x00"),
    ],
)
def test_what_is_no_array_is_not_read(content, tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x_train.npy", content)
    with pytest.raises(InputError) as error:
        load_mnist(str(path))
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 700


@pytest.mark.parametrize("lie", [False, True])
def test_an_npz_file_that_unpacks_to_too_much_is_not_unpacked(lie, tmp_path, monkeypatch):
    monkeypatch.setattr("deepcaptcha.networks.digits.MOST_BYTES", 10_000)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x_train=np.zeros(20_000, "uint8"))
    if lie:  # of the size in the directory, the last four of the 24 bytes from its beginning on
        whole = bytearray(path.read_bytes())
        place = whole.index(b"PK\x01\x02") + 24
        whole[place : place + 4] = (500).to_bytes(4, "little")
        path.write_bytes(whole)
    with pytest.raises(InputError, match="Bad CRC-32" if lie else "it unpacks to 20,128 bytes"):
        load_mnist(str(path))
