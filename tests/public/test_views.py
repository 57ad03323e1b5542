"""A view of an AnnData or a MuData: calls write to it without a warning of anndata, and what it was cut from stays as it was."""

import warnings
from typing import Any

import pytest
from anndata import ImplicitModificationWarning

import scdash

from .cases import WRITING, cells, public, raw_pairs

ON_ANNDATA = [name for name, case in WRITING.items() if not hasattr(case.data(), "mod")]


def slots(adata: Any) -> list[set[str]]:
    """Return the names of what an object holds."""
    return [set(map(str, part)) for part in (adata.uns, adata.obs, adata.var, adata.varp, adata.varm, adata.layers)]


@pytest.mark.parametrize("name", ON_ANNDATA)
def test_a_view_is_written_to_without_a_warning(name: str) -> None:
    case = WRITING[name]
    whole = case.data()
    before = slots(whole)
    view = whole[: whole.n_obs]
    assert view.is_view
    with warnings.catch_warnings():
        warnings.simplefilter("error", ImplicitModificationWarning)
        case.call(public(name), view)
    assert not view.is_view
    assert slots(whole) == before


def test_a_view_of_a_mudata_is_refused_before_anything_is_written() -> None:
    mdata = raw_pairs()
    view = mdata[:40]
    before = [slots(one) for one in mdata.mod.values()]
    for call in (scdash.pp.normalize_paired, scdash.pp.select_by_dropout):
        with pytest.raises(ValueError, match="mdata is a view of another MuData"):
            call(view)
    assert [slots(one) for one in mdata.mod.values()] == before
    assert scdash.pp.normalize_paired(view, copy=True)["rna"].n_obs == 40


def test_cells_of_a_view_keep_their_order() -> None:
    whole = cells()
    view = whole[::2]
    scdash.pp.order_cells(view, root=("root", "yes"), key_added="found")
    assert list(view.obs_names) == list(whole.obs_names[::2]) and "found" in view.obs
