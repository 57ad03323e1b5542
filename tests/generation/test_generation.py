"""What must hold on every generation of the ecosystem, without torch: import, preprocessing, tables, round trips."""

import subprocess
import sys
import warnings

import anndata
import numpy as np
import pandas as pd
import pytest

import scdash


def test_import_loads_no_heavy_library():
    code = "import sys, scdash; print([m for m in ('torch', 'gseapy', 'mudata', 'scanpy', 'matplotlib') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_cells_to_trajectories_survive_a_round_trip(tmp_path):
    adata = scdash.datasets.hsmm()
    scdash.pp.order_cells(adata, root=("hours", 0))
    scdash.pp.align_prior(adata, scdash.datasets.myogenic_prior())
    bins = scdash.pp.trajectories(adata)
    for name, data in (("cells", adata), ("bins", bins)):
        data.write_h5ad(tmp_path / f"{name}.h5ad")
        again = anndata.read_h5ad(tmp_path / f"{name}.h5ad")
        np.testing.assert_array_equal(np.asarray(again.obs_names), np.asarray(data.obs_names))
        assert set(again.uns) == set(data.uns) and set(again.layers.keys()) == set(data.layers.keys())
    np.testing.assert_array_equal(again.X, bins.X)


def test_tables_of_a_stored_fit():
    adata = scdash.datasets.hsmm()
    edges = pd.DataFrame(
        {
            "source": ["MYOD1", "MYOG"],
            "target": ["MYOG", "CDK1"],
            "weight": [0.5, 0.0],
            "contribution": [1.0, 0.0],
            "in_prior": [True, True],
            "selection_frequency": [0.9, np.nan],
            "score": [0.4, 0.9],
        }
    )
    adata.uns["dynamics"] = {"params": {}, "genes": ["CDK1", "MYOD1", "MYOG"], "edges": edges}
    assert scdash.get.grn(adata)["source"].tolist() == ["MYOG", "MYOD1"]
    assert scdash.get.grn(adata, only_network=True)["target"].tolist() == ["MYOG"]


@pytest.mark.parametrize("category", [FutureWarning, DeprecationWarning, UserWarning, RuntimeWarning])
def test_warnings_that_our_own_code_causes_are_errors_here(category):
    """Otherwise a suite that passes on the newest generation says nothing of its deprecations."""
    with pytest.raises(category, match="planted"):
        warnings.warn_explicit("planted", category, "planted.py", 1, module="scdash.tl._planted")
    with pytest.warns(category, match="planted"):
        warnings.warn_explicit("planted", category, "planted.py", 1, module="another.library")
