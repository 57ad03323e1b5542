"""Edges are ordered by what the data say, never by name or by the prior; what nothing tells apart shares a rank."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdash
from scdash._core.edge_order import association, n_tied, rank_edges


def table(score, weight=0.0, names=None, **columns):
    count = len(score)
    names = names or [f"g{i:02d}" for i in range(count)]
    return pd.DataFrame({"source": names, "target": names[::-1], "weight": weight, "score": score, **columns})


def test_ties_are_broken_by_data_in_a_fixed_order():
    edges = table(
        [0.5] * 6,
        stability=[0.1, 0.2, 0.1, 0.1, 0.1, 0.1],
        contribution=[0.3, 0.0, 0.4, 0.3, 0.3, 0.3],
        weight=[1.0, 0, 0, -2.0, 1.0, 1.0],
        association=[0.2, 0, 0, 0, 0.9, 0.2],
    )
    found = rank_edges(edges)
    assert found["source"].tolist()[:4] == ["g01", "g02", "g03", "g04"]
    assert set(found["source"].tolist()[4:]) == {"g00", "g05"}
    assert found["rank"].tolist() == [1, 2, 3, 4, 5, 5] and n_tied(found) == 2


def test_names_order_of_rows_and_the_prior_decide_nothing():
    rng = np.random.default_rng(0)
    edges = table([0.5] * 200, in_prior=np.arange(200) < 100)
    found = rank_edges(edges)
    assert (found["rank"] == 1).all() and n_tied(found) == 200
    first = found.head(100)
    assert 30 < first["in_prior"].sum() < 70
    assert 30 < (first["source"].str[1:].astype(int) < 100).sum() < 70
    again = rank_edges(edges.iloc[rng.permutation(200)])
    pd.testing.assert_frame_equal(found, again)  # the same whatever the order of the rows


def test_score_comes_first_and_missing_values_last():
    found = rank_edges(table([0.1, 0.9, 0.5, 0.5], selection_frequency=[1.0, 0.0, np.nan, 0.0]))
    assert found["source"].tolist() == ["g01", "g03", "g02", "g00"]
    assert rank_edges(table([])).empty


def test_association_of_time_courses_is_the_correlation_with_the_next_change():
    rng = np.random.default_rng(1)
    states = rng.random((12, 3))
    entry = {
        "genes": ["a", "b", "c"],
        "series": {
            "states": states,
            "time": np.tile(np.arange(6.0), 2),
            "trajectory": np.repeat(["x", "y"], 6),
            "split": ["train"] * 10 + ["test"] * 2,
        },
    }
    steps = [0, 1, 2, 3, 4, 6, 7, 8]
    edges = pd.DataFrame({"source": ["a", "b", "c"], "target": ["b", "b", "a"]})
    expected = [
        abs(np.corrcoef(states[steps][:, s], (states[np.add(steps, 1)] - states[steps])[:, t])[0, 1])
        for s, t in ((0, 1), (1, 1), (2, 0))
    ]
    np.testing.assert_allclose(association(edges, entry), expected)


def test_association_of_screens_leaves_out_perturbations_of_the_target():
    rng = np.random.default_rng(2)
    change = rng.normal(size=(7, 2))
    targets = np.zeros((7, 2), bool)
    targets[3, 1] = targets[5, 1] = True
    entry = {"genes": ["a", "b"], "screen": {"change": change, "targets": sp.csr_matrix(targets.astype(np.int8))}}
    rows = [0, 1, 2, 4, 6]
    (found,) = association(pd.DataFrame({"source": ["a"], "target": ["b"]}), entry)
    assert found == pytest.approx(abs(np.corrcoef(change[rows].T)[0, 1]))


def cells(n=240, g=30, seed=1):
    rng = np.random.default_rng(seed)
    place = np.sort(rng.random(n))
    x = np.exp(-((place[:, None] - np.linspace(0, 1, g)) ** 2) / 0.1) * 3 + rng.random((n, g)) * 0.2
    adata = ad.AnnData(x.astype(np.float32))
    adata.obs_names = [f"c{i}" for i in range(n)]
    adata.var_names = [f"g{i:02d}" for i in range(g)]
    adata.obs["dpt_pseudotime"] = place
    return adata


def test_every_row_of_the_table_is_in_the_model_or_the_prior(caplog):
    adata = cells()
    rng = np.random.default_rng(3)
    prior = pd.DataFrame({"source": rng.choice(adata.var_names, 80), "target": rng.choice(adata.var_names, 80)})
    prior = prior[prior["source"] != prior["target"]].drop_duplicates()
    scdash.tl.fit_dynamics(adata, prior=prior, max_epochs=0, controls=False, progress=False)
    with caplog.at_level("INFO", logger="scdash"):
        edges = scdash.get.grn(adata)
    assert ((edges["weight"] != 0) | edges["in_prior"]).all()
    assert edges["score"].is_monotonic_decreasing
    known = set(zip(prior["source"], prior["target"], strict=True))
    assert set(zip(*edges.loc[edges["in_prior"], ["source", "target"]].to_numpy().T, strict=True)) == known
    assert edges["rank"].is_monotonic_increasing and edges["association"].between(0, 1 + 1e-9).all()
    tied = edges[edges["rank"].duplicated(keep=False)]
    assert ("share their rank" in caplog.text) == bool(len(tied))
