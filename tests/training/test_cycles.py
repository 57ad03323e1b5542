"""Cosine cycles of doubling length, and the evidence on which another one is run."""

import numpy as np
import pytest

from scdash.training.cycles import Cycles, gained


def test_cycles_double_until_the_steps_are_used():
    assert Cycles.doubling(1000, 15_000).ends == (1000, 3000, 7000, 15_000)
    assert Cycles.doubling(1000, 4000).ends == (1000, 3000, 4000)
    assert Cycles.doubling(1000, 60).ends == (60,)


def test_the_last_fifth_settles():
    assert Cycles.settling(5000).ends == (4000, 5000)
    assert Cycles.settling(4).ends == (4,)
    assert Cycles.settling(5000).factor(4000) == 1.0


@pytest.mark.parametrize("start, end", [(0, 10), (10, 30), (30, 50)])
def test_the_rate_falls_as_a_cosine_within_a_cycle_and_starts_anew(start, end):
    cycles = Cycles.doubling(10, 50)
    found = [cycles.factor(step) for step in range(start, end)]
    wanted = 0.5 * (1 + np.cos(np.pi * np.arange(end - start) / (end - start)))
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_after_the_last_step_the_rate_is_zero():
    assert Cycles.doubling(10, 50).factor(50) == pytest.approx(0)  # schedulers ask once more


def test_a_gain_counts_if_it_exceeds_two_standard_errors_over_perturbations():
    before, noise = np.full(100, 5.0), np.tile([1.0, -1.0], 50)  # standard error .1005
    assert gained(before, before - 0.21 + noise)
    assert not gained(before, before - 0.20 + noise)
    assert not gained(before, before + 1)
    assert gained(np.array([2.0]), np.array([1.0])) and not gained(np.array([1.0]), np.array([2.0]))
