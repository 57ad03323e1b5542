"""What a function writes: with `copy` elsewhere, without it in place, and the same after h5ad and zarr."""

import anndata as ad
import pandas as pd
import pytest

from .cases import AFTER, KEEPING, RETURNING, WRITING, public
from .same import difference

SLOW = {"tl.cross_validate", "tl.cross_validate_sbnn", "tl.latent_tsne", "tl.sbnn", "tl.sparsity_path", "tl.stability"}


def cases(names):
    return [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in sorted(names)]


@pytest.fixture(autouse=True)
def quiet():
    import scdash

    before, scdash.settings.verbosity = scdash.settings.verbosity, 0
    yield
    scdash.settings.verbosity = before


def skip_without(name):
    if name == "tl.latent_tsne":
        pytest.importorskip("openTSNE")


def round_trip(data, folder, kind):
    if hasattr(data, "mod"):
        import mudata

        if kind == "h5ad":
            data.write_h5mu(folder / "data.h5mu")
            return mudata.read_h5mu(folder / "data.h5mu")
        data.write_zarr(folder / "data.zarr")
        return mudata.read_zarr(folder / "data.zarr")
    if kind == "h5ad":
        data.write_h5ad(folder / "data.h5ad")
        return ad.read_h5ad(folder / "data.h5ad")
    data.write_zarr(folder / "data.zarr")
    return ad.read_zarr(folder / "data.zarr")


@pytest.mark.parametrize("name", cases(WRITING))
def test_in_place_and_copy_agree_and_survive_files(name, tmp_path):
    skip_without(name)
    case, function = WRITING[name], public(name)
    data = case.data()
    untouched = case.data()
    copied = case.call(function, data, copy=True)
    assert type(copied) is type(data)
    assert difference(data, untouched) is None  # copy=True leaves its input alone
    assert case.call(function, data) is None
    assert difference(data, copied) is None
    assert difference(data, untouched) is not None
    for kind in ("h5ad", "zarr"):
        (tmp_path / kind).mkdir()
        assert difference(data, round_trip(data, tmp_path / kind, kind)) is None


@pytest.mark.parametrize("name", cases(RETURNING))
def test_results_are_tables_or_data_that_survive_files(name, tmp_path):
    case, function = RETURNING[name], public(name)
    data, before = case.data(), case.data()
    result = case.call(function, data)
    kept = {key for key in data.uns if key not in before.uns}
    for key in kept:  # kept besides being returned: to be read by `scdash.get`
        assert name in KEEPING and round_trip_of(data, tmp_path, key) is None
    if not kept:
        assert difference(data, before) is None
    for kind in ("h5ad", "zarr"):
        if isinstance(result, ad.AnnData):
            (tmp_path / kind).mkdir(exist_ok=True)
            assert difference(result, round_trip(result, tmp_path / kind, kind)) is None
    if not isinstance(result, ad.AnnData) and name not in (
        "get.model",
        "get.settings",
        "get.regulons",
        "get.report_html",
    ):
        assert isinstance(result, pd.DataFrame)


def round_trip_of(data, folder, key):
    folder = folder / key
    folder.mkdir()
    return difference(data.uns[key], round_trip(data, folder, "h5ad").uns[key])


@pytest.mark.slow
@pytest.mark.parametrize("reader", sorted(AFTER))
def test_what_was_kept_is_read_again(reader):
    case = RETURNING[AFTER[reader]]
    data = case.data()
    table = case.call(public(AFTER[reader]), data)
    read = public(reader)(data)
    assert len(read) and set(read.columns) <= set(table.columns) | set(read.columns)
    pd.testing.assert_frame_equal(read.reset_index(drop=True)[list(read)], read.reset_index(drop=True))
