"""Genes renamed or left out after a fit: an error where none is left, tables that agree with `varp` where some are."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scdash
from scdash._core.fit_genes import GenesChangedError, fit_genes

from .test_other_versions import call, readers

# These speak of no gene of the data: errors of the fit, its weights, gene sets, or a layer that follows the genes.
WITHOUT_GENES = {
    "get.history", "get.model", "get.report", "get.pathways", "pl.pathways", "pl.masks", "pl.feature_scores",
    "pl.training", "pl.perturbation_shift",
}  # fmt: skip
NEED_ALL = {"tl.perturbation_shift"}


def other_genes(data, change):
    if hasattr(data, "mod"):
        data.mod["rna"] = change(data.mod["rna"])
        data.update()
        return data
    return change(data)


def renamed(adata):
    adata = adata.copy()
    adata.var_names = [f"ENSG{i:011d}" for i in range(adata.n_vars)]
    return adata


def halved(adata):
    return adata[:, np.arange(adata.n_vars) % 2 == 0].copy()


def test_none_some_and_all(caplog):
    data = ad.AnnData(np.zeros((1, 3), np.float32), var=pd.DataFrame(index=["a", "b", "c"]))
    with pytest.raises(
        GenesChangedError, match=r"None of the 2 genes of uns\['x'\] is in var_names.*or fit these data"
    ):
        fit_genes(data, ["A", "B"], "uns['x']")
    with caplog.at_level("INFO", logger="scdash"):
        assert fit_genes(data, ["a", "c"], "uns['x']").present.all() and not caplog.text
        some = fit_genes(data, ["a", "B", "c"], "uns['x']")
    assert "1 of the 3 genes of uns['x'] are not in var_names" in caplog.text
    table = pd.DataFrame({"source": ["a", "B", "c"], "target": ["c", "a", "B"]})
    assert some.rows(table, "source", "target")["source"].tolist() == ["a"]
    with pytest.raises(GenesChangedError, match="1 of the 3 genes.*first 'B'.*all of them are needed"):
        fit_genes(data, ["a", "B", "c"], "uns['x']", every=True)


@pytest.mark.parametrize(("name", "case"), list(readers()))
def test_renamed_genes_are_an_error(name, case):
    data = other_genes(case.data(), renamed)
    if name in WITHOUT_GENES:
        call(name, case, data)
        return
    with pytest.raises(GenesChangedError, match="were renamed after the fit"):
        call(name, case, data)


@pytest.mark.parametrize(("name", "case"), list(readers()))
def test_genes_that_are_gone_are_in_no_table(name, case, caplog):
    data = other_genes(case.data(), halved)
    left = set((data.mod["rna"] if hasattr(data, "mod") else data).var_names)
    if name in NEED_ALL:
        with pytest.raises(GenesChangedError, match="all of them are needed"):
            call(name, case, data)
        return
    with caplog.at_level("INFO", logger="scdash"):
        found = call(name, case, data)
    if name not in WITHOUT_GENES and name not in ("tl.network_stats", "tl.coregulation"):
        assert "are not in var_names" in caplog.text
    if isinstance(found, pd.DataFrame):
        for column in {"gene", "source", "target"} & set(found):
            assert set(found[column]) <= left


def test_the_table_is_the_network_in_varp():
    from .cases import fitted

    part = halved(fitted())
    table = scdash.get.grn(part, only_network=True)
    entries = part.varp["dynamics_grn"].tocoo()
    stored = {(part.var_names[s], part.var_names[t]) for s, t in zip(entries.row, entries.col, strict=True)}
    assert len(stored) and stored == set(zip(table["source"], table["target"], strict=True))
    scdash.tl.perturbation_scores(part)
    assert set(part.uns["dynamics_perturbation_scores"]["table"]["gene"]) <= set(part.var_names)
    with pytest.raises(GenesChangedError):
        scdash.tl.stability(renamed(_screen_fit()), n_repeats=2)
    with pytest.raises(GenesChangedError, match="all of them are needed"):
        scdash.tl.stability(halved(_screen_fit()), n_repeats=2)


def _screen_fit():
    from .cases import screen_fit

    return screen_fit()
