"""Predicted perturbations scored by cell-eval2 and by calibrated errors."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scdash.metrics import calibrated_scores, evaluate_perturbations
from scdash.metrics._perturbations import OF_CELLS, OF_PROFILES, scaled_cells

GENES = [f"g{i}" for i in range(60)]
PERTURBATIONS = ["g0", "g1", "g2", "drug"]
OURS = ["weighted_mse", "weighted_r2", "mean_mse", "replicate_mse", "calibrated"]


@pytest.fixture
def truth() -> pd.DataFrame:
    """Return true means: every perturbation moves twelve genes of its own."""
    rng = np.random.default_rng(0)
    base = rng.uniform(1, 2, len(GENES))
    table = pd.DataFrame([base] * 5, index=["control", *PERTURBATIONS], columns=GENES)
    for i, label in enumerate(PERTURBATIONS):
        table.loc[label, GENES[12 + 12 * i : 24 + 12 * i]] += rng.choice([-0.7, 0.7], 12)
    return table


@pytest.fixture
def observed(truth: pd.DataFrame) -> pd.DataFrame:
    labels = np.repeat(truth.index, 50)
    noise = 0.3 * np.random.default_rng(1).normal(size=(len(labels), len(GENES)))
    return (truth.loc[labels] + noise).clip(lower=0)


def as_anndata(table: pd.DataFrame, *, csr: bool = False):
    from anndata import AnnData

    obs = pd.DataFrame({"perturbation": table.index}, index=[f"c{i}" for i in range(len(table))])
    values = table.to_numpy(dtype=np.float32)
    return AnnData(sparse.csr_matrix(values) if csr else values, obs=obs, var=pd.DataFrame(index=table.columns))


@pytest.mark.usefixtures("cell_eval2")
class TestScores:
    @pytest.fixture
    def cell_eval2(self) -> None:
        pytest.importorskip("cell_eval2")

    def test_the_truth_scores_best(self, truth: pd.DataFrame, observed: pd.DataFrame) -> None:
        table, summary = evaluate_perturbations(truth.drop("control"), observed)
        assert list(table.index) == PERTURBATIONS
        assert list(table.columns) == [*OF_PROFILES, *OF_CELLS, *OURS]
        assert (table["discrimination"] == 1).all() and (table["direction"] == 1).all()
        assert summary["pearson_of_changes"] > 0.95 and summary["overlap"] > 0.6 and summary["fold_change_error"] < 0.4
        assert summary["calibrated"] > 1

    def test_order_of_predictions_by_quality(self, truth: pd.DataFrame, observed: pd.DataFrame) -> None:
        change = truth.drop("control") - truth.loc["control"]
        summaries = [
            evaluate_perturbations(truth.loc["control"] + factor * change, observed).summary for factor in (1, 0.5, -1)
        ]
        for better, worse in zip(summaries, summaries[1:], strict=False):
            for name in ("mae", "mse", "fold_change_error", "weighted_mse"):
                assert better[name] < worse[name], name
            for name in ("pearson_of_changes", "weighted_r2", "calibrated"):
                assert better[name] > worse[name], name
        assert summaries[2]["direction"] < 0.1 and summaries[2]["discrimination"] < 0.5

    def test_the_mean_is_no_better_than_chance_at_discrimination(self, observed: pd.DataFrame) -> None:
        mean = observed.drop("control").groupby(level=0).mean().mean()
        predicted = pd.DataFrame([mean] * 4, index=PERTURBATIONS)
        table, summary = evaluate_perturbations(predicted, observed)
        assert summary["discrimination"] == pytest.approx(0.5)
        np.testing.assert_allclose(table["calibrated"], 0, atol=1e-9)
        assert summary["calibrated"] == pytest.approx(0)

    def test_tables_and_anndata_agree(self, truth: pd.DataFrame, observed: pd.DataFrame) -> None:
        predicted = truth.drop("control")
        expected = evaluate_perturbations(predicted, observed).table
        for csr in (False, True):
            found = evaluate_perturbations(as_anndata(predicted), as_anndata(observed, csr=csr)).table
            pd.testing.assert_frame_equal(found, expected, rtol=1e-4, check_names=False)

    def test_order_of_genes_changes_nothing(self, truth: pd.DataFrame, observed: pd.DataFrame) -> None:
        predicted = truth.drop("control")
        shuffled = list(np.random.default_rng(2).permutation(GENES))
        found = evaluate_perturbations(predicted, observed[shuffled]).table
        pd.testing.assert_frame_equal(found, evaluate_perturbations(predicted, observed).table)

    def test_calibrated_columns_are_those_of_the_function_alone(
        self, truth: pd.DataFrame, observed: pd.DataFrame
    ) -> None:
        cells = truth.drop("control").loc[np.repeat(PERTURBATIONS, 2)]  # no control cells are drawn for predicted cells
        found = evaluate_perturbations(cells, observed, rng=3).table
        pd.testing.assert_frame_equal(found[OURS], calibrated_scores(cells, observed, rng=3))

    def test_one_profile_per_perturbation_has_no_differential_genes(self, truth: pd.DataFrame) -> None:
        table, _ = evaluate_perturbations(truth.drop("control"), truth)
        assert list(table.columns) == list(OF_PROFILES)
        np.testing.assert_allclose(table["mse"], 0, atol=1e-9)

    def test_predictions_below_zero_count_as_zero(self, truth: pd.DataFrame, observed: pd.DataFrame) -> None:
        predicted = truth.drop("control").copy()
        predicted["g59"] = 0.0
        expected = evaluate_perturbations(predicted, observed).table["mse"]
        predicted["g59"] = -1.0
        pd.testing.assert_series_equal(evaluate_perturbations(predicted, observed).table["mse"], expected)

    def test_few_differential_genes_have_no_direction(self, truth: pd.DataFrame, observed: pd.DataFrame) -> None:
        still = observed.copy()
        still.loc["drug"] = observed.loc["control"].to_numpy()[::-1]
        table, _ = evaluate_perturbations(truth.drop("control"), still)
        assert table.loc["drug", ["direction", "fold_change_error"]].isna().all()
        assert table.drop("drug").notna().all(axis=None)

    def test_observed_values_below_zero_are_refused(self, truth: pd.DataFrame, observed: pd.DataFrame) -> None:
        with pytest.raises(ValueError, match="observed holds negative values"):
            evaluate_perturbations(truth.drop("control"), observed - 1)


def test_without_the_extra_the_error_names_it(
    truth: pd.DataFrame, observed: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cell_eval2", None)
    with pytest.raises(ImportError, match=r"pip install 'scdash\[evaluate\]'"):
        evaluate_perturbations(truth.drop("control"), observed)


@pytest.mark.parametrize("csr", [False, True])
def test_scaled_cells_have_the_mean_and_keep_zeros(csr: bool) -> None:
    cells = np.array([[1.0, 0, 0], [3.0, 2, 0]])
    mean = np.array([4.0, 0.5, 0.25])
    found = scaled_cells(sparse.csr_array(cells) if csr else cells, mean)
    found = found.toarray() if csr else found
    np.testing.assert_allclose(found, [[2, 0, 0.25], [6, 1, 0.25]])
