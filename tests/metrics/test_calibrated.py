"""Weighted errors of predicted perturbations between a mean (0) and a replicate (1)."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scdash.metrics import calibrated_scores
from scdash.metrics._calibrated import _Halves, calibrated, gene_weights
from scdash.metrics._profiles import compared

GENES = [f"g{i}" for i in range(30)]
PERTURBATIONS = ["g0", "g1", "g2+g3", "drug"]


def profiles(rng: np.random.Generator) -> pd.DataFrame:
    """Return true means: every perturbation moves six genes of its own."""
    base = rng.uniform(1, 2, len(GENES))
    table = pd.DataFrame([base] * 5, index=["control", *PERTURBATIONS], columns=GENES)
    for i, label in enumerate(PERTURBATIONS):
        table.loc[label, GENES[5 + 6 * i : 11 + 6 * i]] += rng.choice([-0.8, 0.8], 6)
    return table


def cells_of(truth: pd.DataFrame, n: int, rng: np.random.Generator) -> pd.DataFrame:
    labels = np.repeat(truth.index, n)
    return truth.loc[labels] + 0.5 * rng.normal(size=(len(labels), truth.shape[1]))


@pytest.fixture
def truth() -> pd.DataFrame:
    return profiles(np.random.default_rng(0))


@pytest.fixture
def observed(truth: pd.DataFrame) -> pd.DataFrame:
    return cells_of(truth, 40, np.random.default_rng(1))


def mean_of_all(observed: pd.DataFrame) -> pd.DataFrame:
    means = observed.drop("control").groupby(level=0).mean()
    return pd.DataFrame([means.mean()] * len(PERTURBATIONS), index=PERTURBATIONS)


def other_half(observed: pd.DataFrame, rng: int) -> pd.DataFrame:
    """Return the means of the cells that the truth of the scores leaves out."""
    found = compared(mean_of_all(observed), observed, "perturbation", "control", None)
    halves = _Halves.of(found, np.random.default_rng(rng))
    rows = [halves.half_means(halves.labels.index(label))[1] for label in PERTURBATIONS]
    return pd.DataFrame(rows, index=PERTURBATIONS, columns=GENES)


def test_the_mean_of_all_perturbations_is_zero(observed: pd.DataFrame) -> None:
    scores = calibrated_scores(mean_of_all(observed), observed)
    assert list(scores.index) == PERTURBATIONS
    np.testing.assert_allclose(scores["calibrated"], 0, atol=1e-12)
    np.testing.assert_allclose(scores["weighted_mse"], scores["mean_mse"])


@pytest.mark.parametrize("rng", [0, 3])
def test_the_other_half_is_one(observed: pd.DataFrame, rng: int) -> None:
    scores = calibrated_scores(other_half(observed, rng), observed, rng=rng)
    np.testing.assert_allclose(scores["calibrated"], 1)
    np.testing.assert_allclose(scores["weighted_mse"], scores["replicate_mse"])


def test_the_true_means_are_above_one_and_no_change_is_not(truth: pd.DataFrame, observed: pd.DataFrame) -> None:
    assert (calibrated_scores(truth.drop("control"), observed)["calibrated"] > 1).all()
    still = pd.DataFrame([truth.loc["control"]] * 4, index=PERTURBATIONS)
    assert (calibrated_scores(still, observed)["calibrated"] < 0.2).all()


def test_halfway_predictions_are_between(truth: pd.DataFrame, observed: pd.DataFrame) -> None:
    half = (truth.drop("control") + mean_of_all(observed)) / 2
    assert calibrated_scores(half, observed)["calibrated"].between(0.5, 0.95).all()


def test_r2_calibrates_to_the_same_number(truth: pd.DataFrame, observed: pd.DataFrame) -> None:
    own, mean, other = (
        calibrated_scores(table, observed)["weighted_r2"]
        for table in (truth.drop("control"), mean_of_all(observed), other_half(observed, 0))
    )
    expected = calibrated_scores(truth.drop("control"), observed)["calibrated"]
    np.testing.assert_allclose((own - mean) / (other - mean), expected)


def test_names_and_order_of_genes_and_cells_change_nothing(truth: pd.DataFrame, observed: pd.DataFrame) -> None:
    predicted = truth.drop("control") * 0.9
    before = calibrated_scores(predicted, observed)
    shuffled = list(np.random.default_rng(2).permutation(GENES))
    pd.testing.assert_frame_equal(calibrated_scores(predicted[shuffled], observed), before)
    pd.testing.assert_frame_equal(calibrated_scores(predicted, observed[shuffled]), before)

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        table = table.rename(columns=lambda gene: f"other_{gene}")
        return table.rename(index=lambda label: "+".join(f"other_{part}" for part in label.split("+")))

    after = calibrated_scores(renamed(predicted), renamed(observed), control="other_control")
    np.testing.assert_allclose(after, before)


def test_units_of_the_data_change_no_calibrated_score(truth: pd.DataFrame, observed: pd.DataFrame) -> None:
    predicted = truth.drop("control") * 0.9
    before, after = calibrated_scores(predicted, observed), calibrated_scores(3 * predicted - 2, 3 * observed - 2)
    np.testing.assert_allclose(after[["weighted_r2", "calibrated"]], before[["weighted_r2", "calibrated"]])
    np.testing.assert_allclose(after["weighted_mse"], 9 * before["weighted_mse"])


def test_what_a_label_names_does_not_count(truth: pd.DataFrame, observed: pd.DataFrame) -> None:
    predicted = truth.drop("control").copy()
    before = calibrated_scores(predicted, observed)
    predicted.loc["g0", "g0"], predicted.loc["g2+g3", ["g2", "g3"]] = 50, -50
    pd.testing.assert_frame_equal(calibrated_scores(predicted, observed), before)
    predicted.loc["g0", "g1"] = 50
    assert calibrated_scores(predicted, observed).loc["g0", "calibrated"] < before.loc["g0", "calibrated"]


def test_anndata_sparse_and_tables_agree(truth: pd.DataFrame, observed: pd.DataFrame) -> None:
    from anndata import AnnData

    predicted = truth.drop("control") * 0.9
    obs = pd.DataFrame({"kind": observed.index}, index=[f"c{i}" for i in range(len(observed))])
    seen = AnnData(sparse.csr_matrix(observed.to_numpy()), obs=obs, var=pd.DataFrame(index=GENES))
    seen.layers["again"] = seen.X.copy()
    made = AnnData(predicted.to_numpy(), obs=pd.DataFrame({"kind": predicted.index}, index=predicted.index))
    made.var_names = GENES
    expected = calibrated_scores(predicted, observed)
    for layer in (None, "again"):
        pd.testing.assert_frame_equal(calibrated_scores(made, seen, perturbation_key="kind", layer=layer), expected)


def test_weights_are_squared_scaled_t() -> None:
    t = np.array([0.0, -3.0, 1.0, 9.0])
    np.testing.assert_allclose(gene_weights(t, np.array([3])), np.array([0, 1, 1 / 9, 0]) / (10 / 9))
    np.testing.assert_allclose(gene_weights(np.ones(3), np.array([], int)), np.full(3, 1 / 3))


def test_t_is_welchs(observed: pd.DataFrame) -> None:
    from scipy.stats import ttest_ind

    found = compared(mean_of_all(observed), observed, "perturbation", "control", None)
    halves = _Halves.of(found, np.random.default_rng(0))
    own, rest = observed.loc["g1"], observed.drop(["g1", "control"])
    expected = ttest_ind(own, rest, equal_var=False).statistic
    np.testing.assert_allclose(halves.welch_t(halves.labels.index("g1")), expected)


def test_nothing_reproducible_is_not_scored(observed: pd.DataFrame) -> None:
    assert np.isnan(calibrated(1.0, 0.5, 0.5)) and np.isnan(calibrated(0.0, 0.1, 0.5))
    few = pd.concat([observed.drop("drug"), observed.loc[["drug"]].iloc[:3]])
    scores = calibrated_scores(mean_of_all(observed), few)
    assert scores.loc["drug"].isna().all() and scores.drop("drug").notna().all(axis=None)


def test_the_mean_of_predicted_cells_counts(truth: pd.DataFrame, observed: pd.DataFrame) -> None:
    predicted = truth.drop("control")
    spread = pd.concat([predicted + 0.3, predicted - 0.3])
    pd.testing.assert_frame_equal(calibrated_scores(spread, observed), calibrated_scores(predicted, observed))


def test_errors_name_the_argument(truth: pd.DataFrame, observed: pd.DataFrame) -> None:
    predicted = truth.drop("control")
    with pytest.raises(ValueError, match="control 'contrl' is no label of observed.*'control'"):
        calibrated_scores(predicted, observed, control="contrl")
    with pytest.raises(ValueError, match="share no perturbation"):
        calibrated_scores(predicted.rename(index=str.upper), observed)
    with pytest.raises(ValueError, match="share 0 genes"):
        calibrated_scores(predicted.rename(columns=str.upper), observed)
    with pytest.raises(ValueError, match="predicted holds 4 values that are not finite"):
        calibrated_scores(predicted.assign(g4=np.nan), observed)
    with pytest.raises(ValueError, match="at least 4 cells of a perturbation, found at most 1"):
        calibrated_scores(predicted, truth)
    with pytest.raises(ValueError, match="at least two perturbations"):
        calibrated_scores(predicted, observed.loc[["g0", "control"]])
    with pytest.raises(ValueError, match="names of genes repeat"):
        calibrated_scores(predicted, observed.rename(columns={"g1": "g0"}))
    with pytest.raises(TypeError, match="observed must be an AnnData or a DataFrame"):
        calibrated_scores(predicted, observed.to_numpy())
