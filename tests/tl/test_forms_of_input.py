"""One thing said in several ways has one answer: start states, bins, and the unit of a gene."""

import numpy as np
import pandas as pd
import pytest

import scdash
from scdash.dynamics.options import FitOptions

from .conftest import HOW


def test_every_way_to_name_a_start_predicts_the_same(fitted):
    genes = list(scdash.get.model(fitted).genes)
    names = [fitted.obs_names[5], fitted.obs_names[0]]
    frame = fitted[names].to_df()
    by_name = scdash.tl.predict(fitted, names)
    flags = fitted.obs_names.isin(names)
    for start in (fitted[names], frame, frame[frame.columns[::-1]], frame[genes].to_numpy()):
        np.testing.assert_allclose(scdash.tl.predict(fitted, start).X, by_name.X, atol=1e-6)
    assert list(by_name.obs["trajectory"].cat.categories) == names
    assert list(scdash.tl.predict(fitted, frame.to_numpy()).obs["trajectory"].cat.categories) == ["start0", "start1"]
    in_order = scdash.tl.predict(fitted, flags)
    assert list(in_order.obs["trajectory"].cat.categories) == names[::-1]
    one = scdash.tl.predict(fitted, names[0])
    np.testing.assert_allclose(one.X, by_name[by_name.obs["trajectory"] == names[0]].X, atol=1e-6)
    first = one[one.obs["time"] == one.obs["time"].min()]
    np.testing.assert_allclose(first.X[0], frame.iloc[0], atol=1e-6)  # a prediction begins where it was told to


@pytest.mark.parametrize(
    ("start", "error", "match"),
    [
        ("cel", KeyError, "start: 'cel' is not in adata.obs_names"),
        (np.ones((2, 3)), ValueError, r"one column per modelled gene \(16.*found shape \(2, 3\)"),
        (np.full((1, 16), np.nan), ValueError, "must be finite"),
        (pd.DataFrame({"g00": [1.0]}), KeyError, "15 genes of the model are missing, first 'g01'"),
        ([], ValueError, "start"),
    ],
)
def test_a_start_that_is_none_is_named(fitted, start, error, match):
    with pytest.raises(error, match=match):
        scdash.tl.predict(fitted, start)


def test_a_start_without_the_models_genes_is_named(fitted):
    with pytest.raises(KeyError, match="1 genes of the model are missing, first 'g03'"):
        scdash.tl.predict(fitted, fitted[:2, fitted.var_names != "g03"])


def test_a_knock_down_halves_the_gene_unless_told(fitted):
    gene = scdash.get.perturbable_genes(fitted)["gene"].iloc[0]
    at_start = scdash.tl.predict(fitted).X[0, list(scdash.get.model(fitted).genes).index(gene)]
    for level, fraction in ((None, 0.5), (0.1, 0.1)):
        held = scdash.tl.perturb(fitted, gene, kind="knockdown", level=level)
        values = held[held.obs["condition"] == "perturbed", gene].X.ravel()
        assert values[0] == pytest.approx(fraction * at_start, rel=1e-4)
        first = held.obs.loc[held.obs["condition"] == "perturbed", "trajectory"].iloc[0]
        own = held[(held.obs["condition"] == "perturbed") & (held.obs["trajectory"] == first), gene].X.ravel()
        np.testing.assert_allclose(own, own[0], rtol=1e-5)


def test_the_unit_of_a_gene_does_not_matter(course):
    """Values far from [0, 1] are rescaled by each gene's range, so an affine change of units changes nothing else."""
    unit, zero = np.geomspace(1, 3, 16), np.linspace(2, 9, 16)  # more would make some genes flat beside others
    other = course.copy()
    course = course.copy()
    course.X = np.asarray(course.X, dtype=np.float64) * 10  # neither is near [0, 1]
    other.X = course.X * unit + zero
    for adata in (course, other):
        scdash.tl.fit_dynamics(adata, training=scdash.Training(max_epochs=0), **HOW)
    ours, theirs = (x.varp["dynamics_grn"].toarray() for x in (course, other))
    assert (ours != 0).sum() > 10
    np.testing.assert_allclose(theirs, ours, atol=0.02 * np.abs(ours).max())
    ours, theirs = (np.asarray(x.layers["dynamics_velocity"]) for x in (course, other))
    np.testing.assert_allclose(theirs / unit, ours, atol=0.02 * np.abs(ours).max())


@pytest.fixture(scope="module")
def line():
    """Cells of two lineages along smooth curves."""
    rng = np.random.default_rng(0)
    place = rng.random(240)
    lineage = np.repeat(["left", "right"], 120)
    centre = np.linspace(0, 1, 8) * np.where(lineage == "left", 1, 0.7)[:, None]
    import anndata as ad

    adata = ad.AnnData((3 * np.exp(-((place[:, None] - centre) ** 2) / 0.1) + 0.1 * rng.random((240, 8))).astype("f4"))
    adata.obs["dpt_pseudotime"], adata.obs["lineage"] = place, lineage
    return adata


def test_bins_are_taken_as_pp_made_them(line):
    """No key is needed: time, trajectories, split, the scaled layer and the units come with the bins."""
    bins = scdash.pp.trajectories(line, lineage_key="lineage", n_bins=15)
    scdash.tl.fit_dynamics(bins, progress=False, training=scdash.Training(max_epochs=0))
    stored = bins.uns["dynamics"]
    assert sorted(set(map(str, stored["series"]["trajectory"]))) == sorted(bins.obs["trajectory"].unique())
    model = scdash.get.model(bins)
    np.testing.assert_allclose(model.minimum, bins.var["minimum"], rtol=1e-5)
    np.testing.assert_allclose(model.range, bins.var["range"], rtol=1e-5)
    future = scdash.tl.predict(bins, bins[:1], layer=None)
    np.testing.assert_allclose(future.X[0], bins.X[0], atol=1e-5)  # predictions are in the log units of X
    named = bins.copy()
    del named.uns["dynamics"]
    scdash.tl.fit_dynamics(
        named,
        time_key="time",
        trajectory_key="trajectory",
        split_key="split",
        layer="scaled",
        progress=False,
        training=scdash.Training(max_epochs=0),
    )
    assert abs(named.varp["dynamics_grn"] - bins.varp["dynamics_grn"]).max() == 0


def test_a_plateau_can_be_given_as_a_dict():
    from scdash.dynamics.options import recipe
    from scdash.training import Plateau

    options = FitOptions(start="random", training={"plateau": {"patience": 7}})
    assert recipe(options).config.plateau == Plateau(patience=7)
