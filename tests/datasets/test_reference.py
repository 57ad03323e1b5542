"""Data sets that are read from the folder of reference data, here with small files of the same layout."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scdash


def paul15_file(folder):
    """Write three cells as the excerpt has them: a column of obs for the weight and the pseudotime in each lineage."""
    columns = ("pseudotime_lineage1", "weight_lineage1", "pseudotime_lineage2", "weight_lineage2")
    values = np.array([[0.1, 1, 0.2, 0.9], [5, 1, 3, 0], [4, 0, 7, 1]])
    obs = pd.DataFrame(values, columns=list(columns), index=["a", "b", "c"]).assign(cell_type="Monocytes")
    (folder / "paul15_240").mkdir()
    ad.AnnData(np.ones((3, 2)), obs=obs).write_h5ad(folder / "paul15_240" / "paul15_240.h5ad")


@pytest.mark.parametrize("named", ["argument", "variable"])
def test_lineages_of_paul15_are_tables(tmp_path, monkeypatch, named):
    paul15_file(tmp_path)
    if named == "variable":
        monkeypatch.setenv("SCDASH_REFERENCE_DATA", str(tmp_path))
    adata = scdash.datasets.paul15(tmp_path if named == "argument" else None)
    assert list(adata.obs) == ["cell_type"]
    expected = pd.DataFrame({"myeloid": [1.0, 1, 0], "erythroid": [0.9, 0, 1]}, index=["a", "b", "c"])
    pd.testing.assert_frame_equal(adata.obsm["weights"], expected)
    assert list(adata.obsm["pseudotimes"]["erythroid"]) == [0.2, 3, 7]


@pytest.mark.parametrize(("name", "folder"), [("paul15", "paul15_240"), ("papalexi", "papalexi_eccite")])
def test_an_absent_file_is_named_with_the_remedy(tmp_path, name, folder):
    with pytest.raises(FileNotFoundError, match=rf"{folder}.*pass folder=, or set SCDASH_REFERENCE_DATA"):
        getattr(scdash.datasets, name)(tmp_path)
