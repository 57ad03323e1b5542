"""All pairs of genes, ranked by the same score as the edges of the network and of the prior."""

import numpy as np
import pandas as pd
import pytest

import scdash

KEYS = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split", "progress": False}


@pytest.fixture(scope="module")
def fits():
    """Return a fit without a prior and one with a random prior, in which only co-regulation can find hidden edges."""
    adata = scdash.simulate.grn_dynamics(n_genes=24, n_trajectories=8, n_test=2, rng=1)
    prior = adata.uns["prior"]
    training = scdash.Training(max_epochs=0)
    scdash.tl.fit_dynamics(adata, training=training, regulators=list(adata.var_names[:12]), **KEYS)
    scdash.tl.fit_dynamics(adata, prior, training=training, key_added="known", **KEYS)
    return adata


def memory(series):
    """Return the mean correlation of states that are not for test with the next ones."""
    steps = (np.diff(series["time"]) > 0) & (np.asarray(series["split"])[1:] != "test")
    before, after = series["states"][:-1][steps], series["states"][1:][steps]
    return np.mean([max(np.corrcoef(before[:, gene], after[:, gene])[0, 1], 0) for gene in range(before.shape[1])])


def test_every_pair_is_there_once_by_rank(fits):
    edges = scdash.get.grn(fits, candidates=True)
    regulators = fits.var_names[:12]
    expected = {(a, b) for a in regulators for b in fits.var_names if a != b}
    listed = list(zip(edges["source"], edges["target"], strict=True))
    assert len(set(listed)) == len(listed) and expected <= set(listed)
    assert edges["rank"].is_monotonic_increasing and edges["score"].is_monotonic_decreasing
    network = scdash.get.grn(fits, only_network=True).drop(columns="rank")
    among = edges[edges["weight"] != 0].reset_index(drop=True)[network.columns.tolist()]
    pd.testing.assert_frame_equal(among, network)


def test_a_pair_that_nothing_selected_has_the_formula_of_the_others(fits):
    """The weighted mean of stability and association, whether or not the pair was stored with the fit."""
    edges = scdash.get.grn(fits, candidates=True)
    weight = fits.uns["dynamics"]["prior"]["association_weight"]
    assert weight == pytest.approx(1 - memory(fits.uns["dynamics"]["series"]) / 3, rel=1e-5)
    evidence = (1 - weight) * edges["stability"].fillna(0) + weight * edges["association"].fillna(0)
    np.testing.assert_allclose(edges["score"], evidence, rtol=1e-5)
    stored = set(map(tuple, fits.uns["dynamics"]["edges"][["source", "target"]].astype(str).to_numpy()))
    new = [pair not in stored for pair in zip(edges["source"], edges["target"], strict=True)]
    assert edges.loc[new, "score"].max() > 0


def test_sources_and_targets_choose(fits):
    gene = fits.var_names[3]
    edges = scdash.get.grn(fits, candidates=True, source=gene)
    assert set(edges["source"]) == {gene} and len(edges) == fits.n_vars - 1
    assert len(scdash.get.grn(fits, candidates=True, source=gene, target=list(fits.var_names[4:7]), top=2)) == 2


def test_with_a_prior_its_edges_come_before_other_pairs(fits):
    edges = scdash.get.grn(fits, key="known", candidates=True)
    rest = edges[(edges["weight"] == 0)]
    assert rest["in_prior"].to_numpy()[: rest["in_prior"].sum()].all()


def test_co_regulation_ranks_pairs_of_the_priors_regulators(fits):
    """The same percentiles as the fit would have stored, for pairs that it did not."""
    changed = fits.copy()
    entry = changed.uns["known"]
    entry["prior"] = entry["prior"] | {"by_coregulation": True, "fell_back": True}
    edges = scdash.get.grn(changed, key="known", candidates=True)
    assert set(edges["source"]) <= set(entry["edges"].query("in_prior | weight != 0")["source"]) | set(
        entry["edges"]["source"].astype(str)
    )
    new = edges[edges["stability"].isna() & ~edges["in_prior"] & edges["coregulation"].notna()]
    assert len(new)
    np.testing.assert_allclose(new["score"], new["coregulation"] / 2)
    assert set(edges["ranked_by"]) == {"prior and data"}


def test_what_means_nothing_is_refused(fits, monkeypatch):
    with pytest.raises(ValueError, match="only_network=True leaves candidates out"):
        scdash.get.grn(fits, candidates=True, only_network=True)
    monkeypatch.setattr("scdash.get._candidates.MAX_PAIRS", 20)
    with pytest.raises(ValueError, match=r"12 regulators x 24 genes .* source= or target="):
        scdash.get.grn(fits, candidates=True)
    assert len(scdash.get.grn(fits, candidates=True, target=fits.var_names[0])) >= 11


def test_screens_have_all_pairs_already(fits):
    screen = fits.copy()
    screen.uns["dynamics"] = screen.uns["dynamics"] | {"screen": {}}
    with pytest.raises(ValueError, match="of a screen"):
        scdash.get.grn(screen, candidates=True)
