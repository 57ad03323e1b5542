"""The yeast cell cycle from small files of the authors' layouts, and from the reference data."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scdash.datasets import _yeast, yeast_cell_cycle

GENES = ["YB", "YA", "YC"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write three genes, two times and two regulators in the layouts of the published files."""
    for name, shift in ((_yeast.TRAIN, 0.0), (_yeast.VALIDATION, 0.25)):
        rows = ["3,1", *(f"{gene + shift},{gene + shift + 0.5}" for gene in range(3)), "0,5"]
        (tmp_path / name).write_text("\n".join(rows))
    (tmp_path / _yeast.GENES).write_text("x\n" + "\n".join(GENES))
    (tmp_path / _yeast.GENES_500).write_text("x\nYB\nYC\n")
    (tmp_path / _yeast.MOTIFS).write_text("reg, aff,prior_weight\nYB,YA,1\nYB,YC,1\nYX,YA,1\nYA,YX,1\n")
    table = pd.DataFrame([[0.5, 0.0001, 0.2], [0.0001] * 3], index=["YB", "YC"], columns=["YA", "YC", "YX"])
    table.to_csv(tmp_path / _yeast.CHIP)
    return tmp_path


def test_the_authors_layout(folder: Path) -> None:
    adata = yeast_cell_cycle(folder=folder, check=False)
    assert list(adata.var_names) == GENES and adata.obs["minutes"].tolist() == [0, 5, 0, 5]
    assert adata.obs["replicate"].tolist() == ["train", "train", "validation", "validation"]
    np.testing.assert_allclose(adata.X[:, 1], [1.0, 1.5, 1.25, 1.75])  # a row of the file is a gene
    assert adata.uns["prior"].values.tolist() == [["YB", "YA", 1.0], ["YB", "YC", 1.0]]
    assert adata.uns["truth"].values.tolist() == [["YB", "YC"]]  # YC regulates nothing in the prior, YX is no gene


def test_the_small_set_is_a_part(folder: Path) -> None:
    adata = yeast_cell_cycle(n_genes=500, folder=folder, check=False)
    assert list(adata.var_names) == ["YB", "YC"]
    assert adata.uns["prior"].values.tolist() == [["YB", "YC", 1.0]]


def test_other_numbers_are_noticed(folder: Path) -> None:
    with pytest.raises(ValueError, match="expression differs, prior differs"):
        yeast_cell_cycle(folder=folder)
    with pytest.raises(ValueError, match="3551 or 500"):
        yeast_cell_cycle(n_genes=200, folder=folder)
    (folder / _yeast.GENES).write_text("x\nYA\n")
    with pytest.raises(ValueError, match="1 names of genes for 3 genes"):
        yeast_cell_cycle(folder=folder, check=False)


def test_without_files_it_says_what_to_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SCDASH_REFERENCE_DATA", raising=False)
    monkeypatch.setattr("socket.socket.connect", lambda *arguments: pytest.fail("the network was used"))
    with pytest.raises(FileNotFoundError, match=r"Download https://raw.*motif_prior.csv.*yeast_cell_cycle\(folder"):
        yeast_cell_cycle()
    with pytest.raises(FileNotFoundError, match="no file 'pramila_3551genes_1sample_24T.csv'; download it from https"):
        yeast_cell_cycle(folder=tmp_path)


@pytest.mark.reference
def test_the_published_numbers(reference: Path) -> None:
    adata = yeast_cell_cycle(folder=reference)
    assert adata.shape == (48, 3551) and len(adata.uns["prior"]) == 51254 and len(adata.uns["truth"]) == 3255
    assert adata.uns["truth"]["source"].nunique() == 63
    small = yeast_cell_cycle(n_genes=500, folder=reference)
    assert small.shape == (48, 500) and len(small.uns["prior"]) == 1146
    values = adata.copy()
    values.X = values.X + np.float32(1e-4)
    with pytest.raises(ValueError, match="expression differs, prior agrees"):
        _yeast.check_published(values)
