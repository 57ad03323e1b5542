"""Bad input: a clear error that names the argument, and nothing changed."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

import scdash

from .conftest import HOW


def fit(adata, **changes):
    return scdash.tl.fit_dynamics(adata, **({**HOW, "training": scdash.Training(max_epochs=0)} | changes))


def slots(adata):
    return {name: set(getattr(adata, name).keys()) for name in ("obs", "var", "uns", "layers", "varp", "obsm")}


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"model": "pheonix"}, ValueError, "Did you mean 'phoenix'"),
        ({"sparsity": "dahs"}, ValueError, "Did you mean 'dash'"),
        ({"start": "match"}, ValueError, "Unknown start 'match'"),
        ({"time_key": "tme"}, KeyError, "Did you mean 'time'"),
        ({"trajectory_key": "trajectories"}, KeyError, "Did you mean 'trajectory'"),
        ({"split_key": "splt"}, KeyError, "Did you mean 'split'"),
        ({"layer": "cleen"}, KeyError, "Did you mean 'clean'"),
        ({"key_added": "a/b"}, ValueError, "key_added"),
        ({"rng": -1}, ValueError, "rng must be a seed"),
        ({"n_models": 0}, ValueError, "n_models"),
        ({"device": "qpu"}, ValueError, "device='qpu'"),
        ({"start": "random", "training": scdash.Training(max_epochs=5, tau=0.5)}, ValueError, "there is no prior"),
        ({"sparsity": "bio"}, ValueError, "pass `prior`"),
        ({"start": "random", "training": scdash.Training(max_epochs=2)}, ValueError, "ends before the schedule prunes"),
        ({"regulators": ["nobody"]}, KeyError, "regulators"),
        ({"prior": np.eye(16)}, TypeError, "does not say which axis"),
    ],
)
def test_arguments(course, change, error, match):
    before = slots(course)
    with pytest.raises(error, match=match):
        fit(course, **change)
    assert slots(course) == before


def broken(course, what):
    adata = course.copy()
    if what == "empty":
        return adata[:0].copy(), "empty"
    if what == "one cell":
        return adata[:1].copy(), "1 observation"
    if what == "nan":
        adata.X[3, 2] = np.nan
        return adata, "NaN or infinite, first at cell 3, gene 'g02'"
    if what == "inf":
        adata.X[0, 0] = np.inf
        return adata, "NaN or infinite"
    if what == "duplicate genes":
        adata.var_names = ["g00", *adata.var_names[:-1]]
        return adata, "var_names_make_unique"
    if what == "constant time":
        adata.obs["time"] = 1.0
        return adata, "constant"
    if what == "text time":
        adata.obs["time"] = "stage " + adata.obs["time"].astype(str)
        return adata, "must hold numbers"
    if what == "missing time":
        adata.obs.loc[adata.obs_names[0], "time"] = np.nan
        return adata, "is NaN for 1 of 140 observations: fill in"
    adata.obs["time"] = 1.0 + (np.arange(adata.n_obs) % 2)
    return adata, "two states at time"


@pytest.mark.parametrize(
    "what",
    [
        "empty",
        "one cell",
        "nan",
        "inf",
        "duplicate genes",
        "constant time",
        "text time",
        "missing time",
        "repeated time",
    ],
)
def test_data(course, what):
    adata, match = broken(course, what)
    with pytest.raises((ValueError, TypeError), match=match):
        fit(adata)
    assert "dynamics" not in adata.uns


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (lambda n: f"ENSG{int(n[1:]):011d}", "Ensembl"),
        (str.upper, "case"),
        (lambda n: f"other{n}", "shares 0 of 16 gene names"),
    ],
)
def test_a_prior_of_other_names(course, names, match):
    prior = course.uns["prior"].assign(source=lambda t: t["source"].map(names), target=lambda t: t["target"].map(names))
    with pytest.raises(ValueError, match=match):
        fit(course, prior=prior)


def test_a_prior_with_self_and_duplicate_edges_and_without_signs(course):
    prior = course.uns["prior"][["source", "target"]]
    extra = pd.DataFrame({"source": ["g01", *prior["source"][:2]], "target": ["g01", *prior["target"][:2]]})
    adata = course.copy()
    fit(adata, prior=pd.concat([prior, extra]))
    report = adata.uns["dynamics"]["prior"]["alignment"]
    assert report["dropped"]["self edge"] == 1 and report["n_used"] == len(prior)


def test_a_gene_that_is_not_in_the_model(fitted):
    with pytest.raises(KeyError, match=r"'g0l' is not in the model.*Did you mean"):
        scdash.tl.perturb(fitted, "g0l")
    with pytest.raises(ValueError, match="name at least one gene"):
        scdash.tl.perturb(fitted, [])


def test_nothing_fitted_yet(course):
    for use in (scdash.get.model, scdash.get.grn, scdash.get.history, scdash.get.report, scdash.tl.predict):
        with pytest.raises(KeyError, match="Run `scdash.tl.fit_dynamics"):
            use(course)


def test_overwriting_is_said(fitted, caplog):
    adata = fitted.copy()
    with caplog.at_level("INFO", logger="scdash"):
        fit(adata)
    assert "overwriting adata.uns['dynamics']" in caplog.text


@pytest.mark.parametrize("kind", ["csr", "csc", "float64", "float32", "read-only", "view", "dask", "backed", "fortran"])
def test_array_types_agree(course, kind, tmp_path):
    expected = fit(course, copy=True).varp["dynamics_grn"].toarray()
    adata = course.copy()
    if kind == "csr":
        adata.X = sp.csr_matrix(adata.X)
    elif kind == "csc":
        adata.X = sp.csc_matrix(adata.X)
    elif kind in ("float64", "float32"):
        adata.X = adata.X.astype(kind)
    elif kind == "read-only":
        adata.X.setflags(write=False)
    elif kind == "view":
        adata = AnnData(
            np.vstack([adata.X, adata.X]),
            obs=pd.concat([adata.obs, adata.obs]).reset_index(drop=True).rename(str),
            var=adata.var,
        )[: len(adata)]
    elif kind == "dask":
        dask = pytest.importorskip("dask.array")
        adata.X = dask.from_array(adata.X, chunks=(20, 16))
    elif kind == "backed":
        adata.write_h5ad(tmp_path / "x.h5ad")
        import anndata

        adata = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    elif kind == "fortran":
        adata.X = np.asfortranarray(adata.X)
    result = fit(adata, copy=kind != "backed")
    grn = (adata if result is None else result).varp["dynamics_grn"].toarray()
    np.testing.assert_allclose(grn, expected, rtol=1e-4, atol=1e-5)


def test_unused_categories_are_ignored(course):
    adata = course.copy()
    adata.obs["trajectory"] = adata.obs["trajectory"].cat.add_categories(["never"])
    fit(adata)
    assert "never" not in set(adata.uns["dynamics"]["series"]["trajectory"])


def test_counts_are_refused_for_cells():
    rng = np.random.default_rng(0)
    adata = AnnData(rng.poisson(3, (100, 5)).astype(np.float32))
    adata.obs["dpt_pseudotime"] = rng.random(100)
    with pytest.raises(ValueError, match="raw counts"):
        scdash.tl.fit_dynamics(adata)
    with pytest.raises(ValueError, match="n_bins"):
        adata.X = np.log1p(adata.X)
        scdash.tl.fit_dynamics(adata, observations=scdash.Cells(n_bins=200))
