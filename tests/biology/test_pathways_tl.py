import gzip

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import rankdata

from scdash._core.errors import NotFittedError
from scdash.get._biology import pathways as get_pathways
from scdash.networks.pathways.controls import built_in_controls
from scdash.networks.pathways.permutation import null_moments
from scdash.tl._influence import gene_influence
from scdash.tl._pathways import pathways

SETS = {"driver": ["G3", "G10", "G6"], "targets": [f"G{i}" for i in range(11, 17)], "mixed": ["G0", "G1", "G2", "G7"],
        "rest": [f"G{i}" for i in range(8, 24)]}  # fmt: skip
CONTROLS = ("prior out-degree", "correlation with time")


def only_modelled(values):
    return np.where(np.arange(30) < 24, values, np.nan)


@pytest.fixture
def scored(fitted):
    gene_influence(fitted, n_starts=10)
    return fitted


def test_fits_controls_and_scores_side_by_side(scored):
    scored.var["variance"] = scored.X.var(0)
    pathways(scored, SETS, scores="variance", min_size=3)
    table = get_pathways(scored)
    assert set(table["fit"]) == {"dynamics", "variance", *CONTROLS}
    assert set(table.loc[table["control"], "fit"]) == set(CONTROLS)
    assert (table.groupby("fit").size() == 4).all()
    row = get_pathways(scored, fit="dynamics").set_index("pathway").loc["driver"]
    assert row["p_value"] < 0.02
    assert row["leading_genes"].split(";")[0] == "G3"
    values = scored.varm["dynamics_influence"]["absolute"].to_numpy()[:24]  # every modelled gene but G4, G5 is in a set
    universe = values[[i for i in range(24) if i not in (4, 5)]]
    mean, variance = null_moments(universe, np.array([3]))
    assert row["z"] == pytest.approx((values[[3, 10, 6]].sum() - mean[0]) / np.sqrt(variance[0]))


def test_spread_of_z_over_the_models_of_an_ensemble(scored):
    pathways(scored, SETS, min_size=3, annotated_only=False)
    row = get_pathways(scored, fit="dynamics").set_index("pathway").loc["driver"]
    by_model = scored.uns["dynamics_influence"]["by_model"]
    z = []
    for scores in by_model.T:
        mean, variance = null_moments(scores, np.array([3]))
        z.append((scores[[3, 10, 6]].sum() - mean[0]) / np.sqrt(variance[0]))
    assert row["z_spread"] == pytest.approx(np.std(z, ddof=1))
    assert np.isnan(get_pathways(scored, fit="prior out-degree")["z_spread"]).all()


def test_report_says_when_the_prior_alone_finds_the_same(scored):
    sets = {"hub": ["G3", "G10"], **{f"other{i}": [f"G{i}", f"G{i + 1}"] for i in range(11, 22)}}
    scored.varm["dynamics_influence"]["absolute"] = only_modelled(
        np.arange(30) == 3
    )  # nothing but the hub of the prior
    pathways(scored, sets, min_size=2, annotated_only=False, n_permutations=20_000)
    # one gene of 24 in a pair: p is 2 / 24, whatever the number of permutations
    assert get_pathways(scored).query("fit == 'dynamics'")["p_value"].min() == pytest.approx(2 / 24, abs=0.01)
    assert "No fit finds a set beyond chance" in scored.uns["pathways"]["report"]
    big = {"hub": ["G3", "G10", "G6"], "rest": [f"G{i}" for i in range(11, 24)]}
    strong = np.isin(np.arange(30), [3, 10, 6]) * 1.0
    scored.varm["dynamics_influence"]["absolute"] = only_modelled(strong)
    edges = scored.uns["dynamics"]["edges"]
    edges["in_prior"] = True
    pathways(scored, big, min_size=2, annotated_only=False)
    table = get_pathways(scored, significant=True)
    assert set(table["fit"]) == {"dynamics", "prior out-degree"}
    assert table["in_control"].all()
    assert "not a discovery of the model" in get_pathways(scored).attrs["report"]
    pathways(scored, big, min_size=2, annotated_only=False, controls=False)
    assert "prior out-degree" not in get_pathways(scored).attrs["report"]
    assert "No control was tested" in get_pathways(scored).attrs["report"]


def rising(scored, genes):
    """Let some genes rise with time, in all cells; the others are noise."""
    x = np.random.default_rng(1).random(scored.shape).astype(np.float32)
    x[:, genes] += 3 * scored.obs["dpt_pseudotime"].to_numpy(dtype=np.float32)[:, None]
    scored.X = x


def test_correlation_with_time_is_pearsons_with_the_rank_within_trajectories(scored):
    rising(scored, [0, 5])
    scored.obs["line"] = np.tile(["a", "b"], 20)
    scored.obs.loc[scored.obs["line"] == "b", "dpt_pseudotime"] *= -1.0  # what rises in one falls in the other
    scored.uns["dynamics"]["params"]["trajectory_key"] = "line"
    scored.X = sp.csr_matrix(np.where(scored.X < 0.3, 0, scored.X))
    genes = scored.var_names[:24]
    given = {"dynamics": pd.Series(0.0, index=genes)}
    found = built_in_controls(scored, ["dynamics"], given, signed=True)["correlation with time"]
    expected = []
    for line in "ab":
        rows = (scored.obs["line"] == line).to_numpy()
        rank = rankdata(scored.obs["dpt_pseudotime"][rows])
        expected.append([np.corrcoef(rank, column)[0, 1] for column in scored.X.toarray()[rows, :24].T])
    np.testing.assert_allclose(found, np.mean(expected, axis=0), atol=1e-6)
    absolute = built_in_controls(scored, ["dynamics"], given, signed=False)["correlation with time"]
    np.testing.assert_allclose(absolute, found.abs())
    del scored.obs["dpt_pseudotime"]
    assert set(built_in_controls(scored, ["dynamics"], given, signed=True)) == {"prior out-degree"}


def test_report_points_to_time_where_influence_is_silent(scored):
    rising(scored, np.arange(11, 17))  # the set "targets"
    scored.varm["dynamics_influence"]["absolute"] = only_modelled(np.random.default_rng(0).random(30))
    pathways(scored, SETS, min_size=3, annotated_only=False, n_permutations=5000)
    report = get_pathways(scored).attrs["report"]
    assert "No fit finds a set beyond chance" in report
    assert "Correlation with time alone finds targets:" in report


def test_report_names_what_is_beyond_the_controls_and_how_stable_it_is(scored):
    rising(scored, np.arange(18, 24))
    strong = np.isin(np.arange(30), [0, 1, 2, 7]) + 0.1 * np.random.default_rng(0).random(30)
    scored.varm["dynamics_influence"]["absolute"] = only_modelled(strong)
    noise = np.random.default_rng(2).random((24, 2))
    scored.uns["dynamics_influence"]["by_model"] = np.column_stack([strong[:24], noise])  # one of three knows the set
    pathways(scored, SETS, min_size=3, annotated_only=False, n_permutations=5000)
    report = get_pathways(scored).attrs["report"]
    assert "dynamics, beyond the controls: mixed (not in every model)." in report
    assert "two of its 3 models agree" in report
    scored.uns["dynamics_influence"]["by_model"] = np.repeat(strong[:24, None], 3, axis=1)
    pathways(scored, SETS, min_size=3, annotated_only=False, n_permutations=5000)
    assert "dynamics, beyond the controls: mixed." in get_pathways(scored).attrs["report"]


def test_a_fit_with_a_shuffled_prior_is_a_control(scored, make_fit):
    make_fit("shuffled", scored, seed=5)
    gene_influence(scored, key="shuffled", n_starts=5)
    strong = only_modelled(np.isin(np.arange(30), [3, 10, 6]) * 1.0)
    for key in ("dynamics", "shuffled"):
        scored.varm[f"{key}_influence"]["absolute"] = strong
    big = {"hub": ["G3", "G10", "G6"], "rest": [f"G{i}" for i in range(11, 24)]}
    options = {"keys": ["dynamics", "shuffled"], "min_size": 2, "annotated_only": False}
    pathways(scored, big, controls=["shuffled"], **options)
    table = get_pathways(scored)
    assert set(table.loc[table["control"], "fit"]) == {"shuffled", *CONTROLS}
    assert len(table) == 2 * 4  # the shuffled fit has one place
    report = table.attrs["report"]
    assert "1 of them also by shuffled" in report
    assert "not a discovery of the model" in report
    with pytest.raises(ValueError, match="'shufled'"):
        pathways(scored, big, controls=["shufled"], **options)


@pytest.mark.parametrize("method", ["over_representation", "prerank"])
def test_the_other_methods(scored, method):
    pathways(scored, SETS, method=method, n_top=3, min_size=3, n_permutations=100)
    table = get_pathways(scored, fit="dynamics").set_index("pathway")
    assert len(table) == 4
    if method == "prerank":  # 18 of 22 influences are zero: only the head of the ranking means anything
        assert table["normalised_score"].idxmax() == "driver"
    else:
        assert table["p_value"].idxmin() == "driver"


def test_gmt_files_and_the_shipped_collections(scored, tmp_path):
    path = tmp_path / "sets.gmt.gz"
    path.write_bytes(gzip.compress("\n".join(f"{name}\tx\t" + "\t".join(g) for name, g in SETS.items()).encode()))
    pathways(scored, str(path), min_size=3, key_added="from_file")
    pathways(scored, SETS, min_size=3, key_added="from_dict")
    pd.testing.assert_frame_equal(get_pathways(scored, key="from_file"), get_pathways(scored, key="from_dict"))


def test_several_fits_in_one_table(scored, make_fit):
    make_fit("other", scored, seed=5)
    gene_influence(scored, key="other", n_starts=5)
    pathways(scored, SETS, keys=["dynamics", "other"], min_size=3)
    table = get_pathways(scored)
    # both fits share a prior: its control appears once
    assert list(pd.unique(table["fit"])) == ["dynamics", "other", *CONTROLS]


def test_signed_influence_and_two_sided(scored):
    pathways(scored, SETS, score="signed", alternative="two-sided", min_size=3)
    assert get_pathways(scored)["p_value"].between(0, 1).all()


def test_results_survive_h5ad(scored, tmp_path):
    pathways(scored, SETS, min_size=3)
    scored.write_h5ad(tmp_path / "x.h5ad")
    pd.testing.assert_frame_equal(
        get_pathways(ad.read_h5ad(tmp_path / "x.h5ad")), get_pathways(scored), check_dtype=False
    )


def test_bad_arguments_name_themselves(scored):
    with pytest.raises(NotFittedError, match="gene_influence"):
        pathways(scored, SETS, keys="other")
    with pytest.raises(NotFittedError, match="tl.pathways"):
        get_pathways(scored)
    with pytest.raises(FileNotFoundError, match="not fetched"):
        pathways(scored, "KEGG_2021_Human")
    with pytest.raises(ValueError, match="method"):
        pathways(scored, SETS, method="gsea")
    with pytest.raises(ValueError, match="scores 'varianc'"):
        scored.var["variance"] = 1.0
        pathways(scored, SETS, scores="varianc")
    with pytest.raises(ValueError, match="empty"):
        pathways(scored, {})
    with pytest.raises(TypeError, match="gene_sets"):
        pathways(scored, 3)
    with pytest.raises(ValueError, match="nothing|empty|name a fit"):
        pathways(scored, SETS, keys=[])
    pathways(scored, SETS, min_size=3)
    with pytest.raises(KeyError, match="dynamics"):
        get_pathways(scored, fit="dynamic")
