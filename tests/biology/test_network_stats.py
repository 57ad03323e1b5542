import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scdash._core.errors import NotFittedError
from scdash.tl._network_stats import coregulation, network_stats


def test_degrees_hubs_and_summary(fitted):
    network_stats(fitted, n_random=5)
    table = fitted.varm["dynamics_network"]
    assert table["out_degree"].idxmax() == "G3" == table["hub"].idxmax()
    assert table.loc["G3", ["activates", "represses"]].tolist() == [6, 1]
    summary = fitted.uns["dynamics_network"]["summary"]
    assert summary["genes"] == 24  # modelled ones
    assert summary["average_out_degree"] == pytest.approx(9 / 24)
    motifs = fitted.uns["dynamics_network"]["motifs"].set_index("motif")
    assert motifs["count"].sum() == 0


def test_no_motifs_when_not_asked_for(fitted):
    network_stats(fitted, n_random=0)
    assert "motifs" not in fitted.uns["dynamics_network"]


def test_coregulation_is_the_correlation_of_effects(fitted):
    grn = fitted.varp["dynamics_grn"].tolil()
    grn[6, 10:14] = -0.7
    fitted.varp["dynamics_grn"] = grn.tocsr()
    coregulation(fitted)
    found = fitted.varp["dynamics_coregulation"].toarray()
    effects = grn.toarray()[:24, :24]
    assert found[3, 6] == pytest.approx(np.corrcoef(effects[3], effects[6])[0, 1], abs=1e-6)
    assert found[3, 6] < 0
    np.testing.assert_allclose(found, found.T)
    assert found[10].sum() == 0  # a single target
    assert found.dtype == np.float32


def test_results_survive_h5ad(fitted, tmp_path):
    network_stats(fitted, n_random=3)
    coregulation(fitted)
    fitted.write_h5ad(tmp_path / "x.h5ad")
    again = ad.read_h5ad(tmp_path / "x.h5ad")
    pd.testing.assert_frame_equal(again.varm["dynamics_network"], fitted.varm["dynamics_network"])
    assert again.uns["dynamics_network"]["summary"] == fitted.uns["dynamics_network"]["summary"]
    np.testing.assert_array_equal(
        again.varp["dynamics_coregulation"].toarray(), fitted.varp["dynamics_coregulation"].toarray()
    )


def test_without_a_network(fitted):
    with pytest.raises(NotFittedError, match="fit_dynamics"):
        network_stats(fitted, key="other")
    with pytest.raises(ValueError, match="min_targets"):
        coregulation(fitted, min_targets=0)
