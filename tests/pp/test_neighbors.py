"""The neighbour graph holds the nearest cells, for numbers of cells at which scanpy and pynndescent do not fit together."""

import anndata as ad
import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.neighbors import NearestNeighbors

import scdash
from scdash._data import neighbors as _neighbors

N_CELLS = 9_000  # scanpy searches approximately from 8,192 cells on


def line(n_cells: int) -> ad.AnnData:
    """Return cells on a strip that is a hundred times as long as it is wide."""
    rng = np.random.default_rng(0)
    place = np.sort(rng.random(n_cells))
    adata = ad.AnnData(np.column_stack([10 * place, 0.1 * rng.random(n_cells)]).astype(np.float32))
    adata.obs["place"], adata.obs["root"] = place, np.where(place < 0.02, "yes", "no")
    adata.obsm["space"] = adata.X
    return adata


def test_nine_thousand_cells_are_ordered() -> None:
    adata = line(N_CELLS)
    scdash.pp.order_cells(adata, root=("root", "yes"), use_rep="space")
    assert spearmanr(adata.obs["dpt_pseudotime"], adata.obs["place"]).statistic > 0.99


@pytest.mark.parametrize("most_exact", [_neighbors.MOST_EXACT, pytest.param(100, marks=pytest.mark.slow)])
def test_distances_are_those_to_the_nearest_cells(monkeypatch: pytest.MonkeyPatch, most_exact: int) -> None:
    """The second case searches approximately; to compile pynndescent takes minutes."""
    monkeypatch.setattr(_neighbors, "MOST_EXACT", most_exact)
    adata = line(300)
    _neighbors.add_neighbors(adata, n_neighbors=10, use_rep="space", seed=0, method="gauss")
    expected = NearestNeighbors(n_neighbors=9).fit(adata.X).kneighbors_graph().toarray()
    found = adata.obsp["distances"].toarray() > 0
    assert (found == expected).mean() > 0.99
    assert found.sum(1).max() == 9


def test_few_cells_have_fewer_neighbours_than_asked_for() -> None:
    adata = line(6)
    _neighbors.add_neighbors(adata, n_neighbors=15, use_rep="space", seed=0, method="gauss")
    assert (adata.obsp["distances"] > 0).sum(1).max() == 4


def test_cells_that_are_alike_are_each_others_neighbours() -> None:
    adata = line(60)
    adata.obsm["space"] = np.repeat(np.asarray(adata.X)[:12], 5, axis=0)
    _neighbors.add_neighbors(adata, n_neighbors=4, use_rep="space", seed=0, method="gauss")
    indices = adata.obsp["distances"].tocsr().indices.reshape(60, 3)
    assert (indices // 5 == np.arange(60)[:, None] // 5).all() and (indices != np.arange(60)[:, None]).all()
