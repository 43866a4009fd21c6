"""Exact tests against hand arithmetic."""

import pytest

from deepcaptcha.verdicts.exact import fisher, holm, mcnemar


def test_fisher_by_hand():
    # 3 of 3 against 0 of 3: one of C(6, 3) = 20 ways to share out three successes
    assert fisher((3, 3), (0, 3), "greater") == pytest.approx(1 / 20)
    assert fisher((3, 3), (0, 3), "less") == pytest.approx(1)
    assert fisher((0, 3), (3, 3)) == pytest.approx(2 / 20)


def test_mcnemar_by_hand():
    # Of four pairs that differ the first succeeds in three: (4 + 1) / 2**4 that it does so often.
    pairs = [(True, False)] * 3 + [(False, True)] + [(True, True)] * 5
    assert mcnemar(pairs, "greater") == pytest.approx(5 / 16)
    assert mcnemar(pairs, "less") == pytest.approx(15 / 16)
    assert mcnemar(pairs) == pytest.approx(10 / 16)
    assert mcnemar([(True, True), (False, False)]) == 1


def test_holm_by_hand():
    # 3 * 0.01, max(that, 2 * 0.02), max(that, 0.5); then back into the given order
    assert holm([0.5, 0.01, 0.02]) == pytest.approx([0.5, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
