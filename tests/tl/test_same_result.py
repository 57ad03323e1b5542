"""What must not change a result: other results in the data, threads, where time begins; and genes that never vary."""

from concurrent.futures import ThreadPoolExecutor

import anndata
import numpy as np
import pandas as pd
import pytest
import torch

import scdash
from scdash import Training, Validation

from .conftest import HOW

ALONE = Training(max_epochs=0)


def test_a_fit_of_a_subset_does_not_depend_on_results_carried_over(fitted):
    part = fitted[:, fitted.var_names[:10]].copy()
    fresh = anndata.AnnData(part.X.copy(), obs=part.obs.copy(), var=pd.DataFrame(index=part.var_names))
    for adata in (part, fresh):
        scdash.tl.fit_dynamics(adata, training=ALONE, **HOW)
    pd.testing.assert_frame_equal(scdash.get.grn(part), scdash.get.grn(fresh))


def test_threads_change_no_bit_of_a_fit(course):
    def losses(threads):
        if threads:
            torch.set_num_threads(threads)
        made = scdash.tl.fit_dynamics(
            course,
            course.uns["prior"],
            start="random",
            sparsity="imp",
            training=Training(max_epochs=6),
            copy=True,
            **HOW,
        )
        return scdash.get.history(made)["train_loss"].to_numpy()

    before = torch.get_num_threads()
    try:
        one, two = losses(1), losses(2)
        with ThreadPoolExecutor(2) as pool:
            many = list(pool.map(losses, [0, 0]))
    finally:
        torch.set_num_threads(before)
    assert len(one) == 6 and all(np.array_equal(one, other) for other in (two, *many))


def test_time_may_begin_below_zero(course):
    early = course.copy()
    early.obs["time"] = early.obs["time"] - 50
    networks = [
        scdash.tl.fit_dynamics(a, training=ALONE, copy=True, **HOW).varp["dynamics_grn"] for a in (course, early)
    ]
    assert (networks[0] != networks[1]).nnz == 0


def test_genes_that_never_vary_have_no_edges_and_no_nan(cells_of_a_line):
    adata = cells_of_a_line
    adata.X[:, 3], adata.X[:, 5] = 0, 1.7
    scdash.tl.fit_dynamics(
        adata, training=Training(max_epochs=5), validation=Validation(null_models=False), progress=False
    )
    edges = scdash.get.grn(adata, only_network=True)
    assert not {"g03", "g05"} & {*edges["source"], *edges["target"]}
    assert len(edges) and np.isfinite(scdash.tl.predict(adata).X).all()


def test_more_genes_than_are_taken_without_a_choice_are_refused():
    adata = anndata.AnnData(np.random.default_rng(0).random((20, 3001), dtype=np.float32))
    adata.obs["time"] = np.arange(20.0)
    with pytest.raises(ValueError, match="3001 genes.*mask_var|mask_var.*3001 genes"):
        scdash.tl.fit_dynamics(adata, time_key="time", observations="states", progress=False)


@pytest.fixture
def cells_of_a_line():
    rng = np.random.default_rng(1)
    place = np.sort(rng.random(120))
    values = np.exp(-((place[:, None] - np.linspace(0, 1, 8)) ** 2) / 0.1) * 3 + rng.random((120, 8)) * 0.2
    adata = anndata.AnnData(values.astype(np.float32))
    adata.obs_names, adata.var_names = [f"c{i}" for i in range(120)], [f"g{i:02d}" for i in range(8)]
    adata.obs["dpt_pseudotime"] = place
    return adata
