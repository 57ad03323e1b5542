"""R2 of the mean trajectory."""

import numpy as np
import pytest

from scdash.dynamics.following import trajectory_r2

TIMES = np.linspace(0, 1, 20)


def observed(genes: int = 6) -> np.ndarray:
    """Genes that rise by 1, 2, ..., (times, genes)."""
    return TIMES[:, None] * np.arange(1, genes + 1)


def test_the_same_trajectory_has_r2_of_one_and_the_mean_over_time_of_zero():
    seen = observed()
    same = trajectory_r2(seen, seen)
    assert (same.top_genes, same.median_gene, same.genes) == (1, 1, 6)
    still = trajectory_r2(seen, np.broadcast_to(seen.mean(axis=0), seen.shape))
    assert still.top_genes == pytest.approx(0) and still.median_gene == pytest.approx(0)


def test_it_is_the_formula_of_its_docstring_over_the_genes_that_change_most():
    seen, rng = observed(), np.random.default_rng(0)
    made = seen + rng.normal(size=seen.shape)
    top = seen[:, 3:], made[:, 3:]  # genes 4, 5, 6 rise most
    expected = 1 - ((top[0] - top[1]) ** 2).sum() / ((top[0] - top[0].mean(0)) ** 2).sum()
    found = trajectory_r2(seen, made, top=3)
    assert found.top_genes == pytest.approx(expected) and found.genes == 3
    each = [1 - ((a - b) ** 2).sum() / ((a - a.mean()) ** 2).sum() for a, b in zip(top[0].T, top[1].T, strict=True)]
    assert found.median_gene == pytest.approx(np.median(each))


def test_genes_are_chosen_by_what_is_observed_not_by_what_is_predicted():
    seen = observed(3)
    made = seen.copy()
    made[:, 0] = 100 * TIMES  # predicted to change most, which it does not
    assert trajectory_r2(seen, made, top=2).top_genes == 1


def test_trajectories_are_averaged_before_they_are_compared():
    seen = observed()
    shift = np.sin(7 * TIMES)[:, None]
    both = np.stack([seen + shift, seen - shift])
    assert trajectory_r2(both, np.stack([seen, seen])).top_genes == pytest.approx(1)
    assert trajectory_r2(both[0], seen).top_genes < 1


def test_flat_genes_do_not_count_and_nothing_is_said_where_nothing_changes():
    seen = observed(2)
    flat = np.column_stack([seen, np.ones(20)])
    noisy = np.column_stack([seen, np.arange(20.0)])
    assert trajectory_r2(flat, noisy).genes == 2 and trajectory_r2(flat, noisy).top_genes == 1
    nothing = trajectory_r2(np.ones((20, 2)), np.zeros((20, 2)))
    assert not nothing.known and nothing.genes == 0


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="observed has the shape"):
        trajectory_r2(np.ones((20, 2)), np.ones((19, 2)))
