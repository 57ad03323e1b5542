"""Weights of cells in lineages: what is read, what is refused, and that a cell is never on both sides of a comparison."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from scdash._data import (
    Expression,
    as_expression,
    largest_weights,
    positions_in_groups,
    rank_align,
    read_memberships,
)
from scdash._data.time_series.bins import weighted_rank_align
from scdash._data.time_series.placed import Placed, resampled_weights
from scdash._data.time_series.within_places import within_moments


def table(*rows, names=("a", "b"), **uns):
    adata = AnnData(np.zeros((len(rows), 1), np.float32))
    adata.obsm["w"] = pd.DataFrame(rows, index=adata.obs_names, columns=list(names)) if names else np.array(rows)
    adata.uns |= uns
    return adata


def test_a_cell_has_an_entry_for_each_of_its_lineages():
    found = read_memberships(table((1.0, 0.0), (1.0, 0.7), (0.0, 0.0), (0.5, 0.5)), "w")
    assert found.cell.tolist() == [0, 1, 1, 3, 3]
    assert found.lineage.tolist() == ["a", "a", "b", "a", "b"]
    assert found.weight.tolist() == [1.0, 1.0, 0.7, 0.5, 0.5]


def test_the_largest_weight_names_the_lineage_of_a_cell():
    found = largest_weights(table((1.0, 0.0), (0.7, 1.0), (0.0, 0.0), (0.4, 0.6)), "w")
    assert found.astype(object).where(found.notna(), None).tolist() == ["a", "b", None, "b"]


def test_weights_below_the_smallest_count_as_none():
    found = read_memberships(table((0.97, 0.03), (0.1, 0.9)), "w")
    assert found.cell.tolist() == [0, 1, 1]


@pytest.mark.parametrize("key", ["w_names", "w_columns"])
def test_names_of_an_array_are_in_uns(key):
    found = read_memberships(table((1, 0), (0, 1), names=None, **{key: np.array(["Alpha", "Beta"])}), "w")
    assert list(found.lineage.cat.categories) == ["Alpha", "Beta"]


def test_an_array_without_names_gets_numbers():
    found = read_memberships(table((1, 0), (0, 1), names=None), "w")
    assert list(found.lineage.cat.categories) == ["lineage 1", "lineage 2"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (((0.5, np.nan), (0.5, 0.5)), "NaN or infinite for 1 of 2 cells"),
        (((1.2, -0.2), (0.5, 0.5)), "1 negative weights"),
        (((0.5, 0.2), (0.5, 0.5)), "1 of 2 cells do not sum to 1"),
        (((2.0, 0.0), (0.5, 0.5)), "1 of 2 cells do not sum to 1"),
        (((1.0, 0.0), (1.0, 0.0)), "no cell in lineage 'b'"),
    ],
)
def test_other_weights_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        read_memberships(table(*rows), "w")


def test_a_single_column_is_refused():
    with pytest.raises(ValueError, match="two lineages or more"):
        read_memberships(table((1.0,), (1.0,), names=("a",)), "w")


def test_equal_weights_place_cells_by_their_ranks():
    rng = np.random.default_rng(0)
    time, code = rng.integers(0, 9, 40).astype(float), rng.integers(0, 2, 40)
    np.testing.assert_allclose(weighted_rank_align(time, code, np.full(40, 0.3)), rank_align(time, code), atol=1e-12)


def test_a_cell_of_half_weight_takes_half_the_place():
    time, code = np.array([0.0, 1.0, 2.0]), np.zeros(3, np.int64)
    place, _ = positions_in_groups(time, code, "rank", np.array([1.0, 0.5, 0.5]))
    np.testing.assert_allclose(place, [0.25, 0.625, 0.875])


def placed(cells=30):
    cell = np.concatenate([np.arange(cells), np.arange(10)])
    code = np.repeat([0, 1], [cells, 10])
    groups = [np.flatnonzero(code == g) for g in (0, 1)]
    return Placed(code, np.linspace(0.01, 0.99, len(cell)), groups, np.ones(len(cell)), cell)


def test_a_cell_is_in_the_same_half_of_all_its_lineages():
    both = placed()
    part = both.deal(2, np.random.default_rng(0))
    np.testing.assert_array_equal(part[30:], part[:10])
    assert set(part) == {0, 1}


def test_a_cell_is_drawn_again_in_all_its_lineages_alike():
    both = placed()
    drawn = resampled_weights(3, 40, np.full(40, 0.5), both.cell, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn[:, 30:], drawn[:, :10])


def test_repeated_rows_are_read_without_copying():
    dense = np.random.default_rng(0).random((7, 3)).astype(np.float32)
    rows = np.array([0, 0, 2, 3, 3, 3, 6])
    for matrix in (dense, sp.csr_matrix(dense)):
        values = as_expression(matrix, ["x", "y", "z"]).repeated(rows)
        assert isinstance(values, Expression) and values.shape == (7, 3)
        np.testing.assert_array_equal(values.dense(), dense[rows])
        np.testing.assert_array_equal(values.dense_rows(np.array([5, 0])), dense[[3, 0]])
        parts = [
            (part, np.asarray(block.todense() if sp.issparse(block) else block)) for part, block in values.blocks(2)
        ]
        np.testing.assert_array_equal(np.concatenate([block for _, block in parts]), dense[rows])
        assert [part.start for part, _ in parts] == sorted(part.start for part, _ in parts)


def test_weighted_moments_are_those_of_repeated_cells():
    rng = np.random.default_rng(1)
    x, group, times = rng.random((20, 4)), rng.integers(0, 3, 20), rng.integers(1, 4, 20)
    once = within_moments(as_expression(x), group, np.zeros(20, np.int64), weights=times.astype(float))
    again = np.repeat(np.arange(20), times)
    often = within_moments(as_expression(x[again]), group[again], np.zeros(len(again), np.int64))
    np.testing.assert_allclose(once.cross, often.cross, atol=1e-12)
    np.testing.assert_allclose(once.squares, often.squares, atol=1e-12)
