"""Loops and forks are noticed, lines are left alone; simulated here, real ones in the tests marked `reference`."""

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdash
from scdash.pp._path_shape import FEWEST, PathShape, _mixed, _sweep, late_detour, path_shape, shape_warning

GENES = np.linspace(0, 1, 14)


@pytest.mark.parametrize("kind", ["loop", "fork"])
def test_a_warning_says_what_to_pass(kind):
    text = shape_warning(PathShape(kind, 0.5), "all", "dpt_pseudotime")
    assert "lineage_key" in text and "trajectory_key" in text and "adata.obsm" in text and "slingshot" in text
    assert shape_warning(PathShape("line", 0.0), "all", "dpt_pseudotime") == ""


def rows(X: np.ndarray, place: np.ndarray) -> ad.AnnData:
    """Return cells with the first twentieth of their places as a group to start from."""
    adata = ad.AnnData(X.astype(np.float32))
    adata.obs_names = [f"c{i}" for i in range(len(X))]
    adata.obs["root"] = np.where(place <= np.quantile(place, 0.05), "yes", "no")
    return adata


def line(n: int, seed: int) -> ad.AnnData:
    """A curve through gene space: each gene has its hump."""
    rng = np.random.default_rng(seed)
    place = rng.random(n)
    return rows(np.exp(-((place[:, None] - GENES) ** 2) / 0.1) * 3 + rng.random((n, 14)) * 0.2, place)


def noisy_line(n: int, seed: int) -> ad.AnnData:
    """A straight line under noise of a third of its length in every gene."""
    rng = np.random.default_rng(seed)
    place = rng.random(n)
    return rows(place[:, None] * np.ones((1, 10)) + rng.normal(0, 0.3, (n, 10)), place)


def loop(n: int, seed: int) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    phase = rng.random(n) * 2 * np.pi
    around = np.cos(phase[:, None] - np.linspace(0, 2 * np.pi, 20, endpoint=False))
    return rows(1.5 + around + rng.normal(0, 0.1, (n, 20)), phase)


def fork(n: int, seed: int) -> ad.AnnData:
    """The curve, with five more genes for each of two branches in its second half."""
    rng = np.random.default_rng(seed)
    place, left = rng.random(n), rng.random(n) < 0.5
    shared = np.exp(-((place[:, None] - GENES) ** 2) / 0.1) * 3
    late = np.clip(place - 0.5, 0, None)[:, None] * 6 * np.ones((1, 5))
    X = np.concatenate([shared, late * left[:, None], late * ~left[:, None]], axis=1)
    return rows(X + rng.random((n, 24)) * 0.2, place)


@pytest.mark.parametrize(
    ("kind", "make", "n"),
    [
        ("line", line, 100), ("line", line, 300), ("line", line, 1000), ("line", noisy_line, 100), ("line", noisy_line, 300),
        ("loop", loop, 150), ("loop", loop, 300), ("loop", loop, 1000), ("fork", fork, 400), ("fork", fork, 1000),
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_shapes_are_told_apart(kind: str, make: Callable[[int, int], ad.AnnData], n: int, seed: int) -> None:
    adata = make(n, seed)
    scdash.pp.order_cells(adata, root=("root", "yes"))
    table = adata.uns["dpt_pseudotime"]["shape"]
    assert table["shape"].tolist() == [kind]


def test_the_log_names_the_shape_and_the_remedy(messages: Callable[[], str]) -> None:
    scdash.pp.order_cells(line(300, 0), root=("root", "yes"))
    assert "lineage_key" not in messages()
    scdash.pp.order_cells(loop(300, 0), root=("root", "yes"))
    assert "loop (a cycle" in messages() and "lineage_key" in messages() and "the path forks. adata" not in messages()
    scdash.pp.order_cells(fork(400, 1), root=("root", "yes"))
    assert "the path forks. adata" in messages() and "trajectory_key" in messages()


def test_each_lineage_has_a_shape_of_its_own(messages: Callable[[], str], tmp_path: Path) -> None:
    both = ad.concat([line(200, 0), loop(200, 0)], join="outer", fill_value=0.0, index_unique="-")
    both.obs["lineage"] = pd.Categorical(["straight"] * 200 + ["round"] * 200)
    scdash.pp.order_cells(both, root=("root", "yes"), lineage_key="lineage")
    assert "'round' lie on a loop" in messages() and "'straight'" not in messages()
    both.write_h5ad(tmp_path / "both.h5ad")
    table = ad.read_h5ad(tmp_path / "both.h5ad").uns["dpt_pseudotime"]["shape"].set_index("group")["shape"]
    assert table.astype(str).to_dict() == {"round": "loop", "straight": "line"}


def test_the_shipped_myoblasts_are_a_line() -> None:
    adata = scdash.datasets.hsmm()
    scdash.pp.order_cells(adata, root=("hours", 0))
    assert adata.uns["dpt_pseudotime"]["shape"]["shape"].tolist() == ["line"]


def test_detour_of_a_star_is_the_whole_way_and_of_a_line_none() -> None:
    along = np.linspace(0, 1, 301)
    one = np.column_stack([along, 0 * along])
    assert late_detour(one, along, 0) < 1e-12
    there_and_back = np.concatenate([one, -one])  # the root in the middle: cells on different sides meet at time 0
    assert late_detour(there_and_back, np.abs(there_and_back[:, 0]), 0) == pytest.approx(1.0)


def test_a_sweep_finds_the_division_of_least_conductance() -> None:
    rng = np.random.default_rng(0)
    full = np.triu(rng.random((30, 30)) < 0.3, 1)
    full[:18, 18:] &= rng.random((18, 12)) < 0.1
    graph = sp.csr_matrix((full + full.T).astype(float))
    degree, component = np.asarray(graph.sum(1)).ravel(), np.arange(30.0)[::-1]
    conductance, group = _sweep(graph, degree, component)
    dense, expected = graph.toarray(), []
    for first in range(5, 26):
        inside = np.arange(30) >= 30 - first
        volume = min(degree[inside].sum(), degree[~inside].sum())
        expected.append(dense[inside][:, ~inside].sum() / volume)
    assert conductance == pytest.approx(min(expected))
    np.testing.assert_array_equal(group, np.arange(30) >= 30 - (5 + int(np.argmin(expected))))


def test_groups_that_follow_each_other_are_not_mixed() -> None:
    rank = np.arange(100) / 100
    assert _mixed(rank, rank < 0.4) == 0
    assert _mixed(rank, np.arange(100) % 2 == 0) == 1
    assert _mixed(rank, (rank >= 0.4) & (rank < 0.6)) == 0  # the middle against both ends


def test_few_cells_are_not_evaluated() -> None:
    shape = path_shape(sp.identity(FEWEST - 1), np.zeros((FEWEST - 1, 2)), np.zeros(FEWEST - 1))
    assert shape.kind == "line" and np.isnan(shape.detour)


def _ordered(X: ad.AnnData, root: np.ndarray) -> PathShape:
    X.obs["start_here"] = np.where(root, "yes", "no")
    scdash.pp.order_cells(X, root=("start_here", "yes"))
    table = X.uns["dpt_pseudotime"]["shape"]
    return PathShape(str(table["shape"].iloc[0]), float(table["detour"].iloc[0]))  # type: ignore[arg-type]


def _log(adata: ad.AnnData) -> ad.AnnData:
    X = np.asarray(adata.X.toarray() if sp.issparse(adata.X) else adata.X, dtype=np.float64)
    X, first = np.unique(X, axis=0, return_index=True)
    total = np.maximum(X.sum(1, keepdims=True), 1)
    return ad.AnnData(np.log1p(X / total * np.median(total)).astype(np.float32), obs=adata.obs.iloc[first].copy())


@pytest.mark.reference
def test_branching_and_linear_real_data(reference: Path) -> None:
    """Myeloid progenitors together (a fork) and per lineage (lines); erythroid cells of each batch (lines)."""
    paul = _log(ad.read_h5ad(reference / "paul15_240" / "paul15_240.h5ad"))
    assert _ordered(paul.copy(), (paul.obs["cell_type"] == "Multipotent progenitors").to_numpy()).kind == "fork"
    for lineage in (1, 2):
        time = paul.obs[f"pseudotime_lineage{lineage}"]
        own = paul[(paul.obs[f"weight_lineage{lineage}"] > 0.5) & time.notna()].copy()
        early = own.obs[f"pseudotime_lineage{lineage}"]
        assert _ordered(own, (early <= early.quantile(0.05)).to_numpy()).kind == "line"
    eryth = _log(ad.read_h5ad(reference / "hematopoiesis" / "eryth.h5ad"))
    for batch in eryth.obs["batch"].unique():
        own = eryth[eryth.obs["batch"] == batch].copy()
        assert _ordered(own, (own.obs["pseudotime"] <= own.obs["pseudotime"].quantile(0.05)).to_numpy()).kind == "line"


@pytest.mark.reference
@pytest.mark.parametrize(("name", "kind"), [("LI", "line"), ("CY", "loop")])
def test_simulations_of_beeline(reference: Path, name: str, kind: str) -> None:
    adata = ad.read_h5ad(reference / "beeline_original" / f"synthetic_{name}.h5ad")
    for replicate in list(adata.obs["replicate"].unique())[:3]:
        own = adata[adata.obs["replicate"] == replicate].copy()
        time = own.obs[[column for column in own.obs if str(column).startswith("pseudotime")]].min(axis=1)
        assert _ordered(own, (time <= time.quantile(0.05)).to_numpy()).kind == kind
