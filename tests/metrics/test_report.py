"""The report of a network against truth and prior, by hand on a small one and on SIM350."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from scdash import metrics

GENES = list("abcd")
TRUTH = pd.DataFrame({"source": ["a", "a", "b"], "target": ["b", "c", "d"], "weight": [1.0, -1.0, 1.0]})
PRIOR = pd.DataFrame({"source": ["a", "c"], "target": ["b", "d"], "weight": [1.0, 1.0]})
GRN = pd.DataFrame(
    {
        "source": ["a", "a", "d", "c"],
        "target": ["b", "c", "a", "d"],
        "weight": [2.0, -0.1, 3.0, 0.0],  # c -> d: a prior edge the model dropped, listed for its score
        "contribution": [0.9, 0.8, 0.1, 0.0],
        "score": [4.0, 1.0, 2.0, -3.0],
    }
)


def dense(table: pd.DataFrame, column: str, absent: float = 0.0) -> np.ndarray:
    position = {gene: i for i, gene in enumerate(GENES)}
    matrix = np.full((4, 4), absent)
    for row in table.to_dict("records"):
        matrix[position[row["source"]], position[row["target"]]] = row[column]
    return matrix


def average_precision(score: np.ndarray) -> float:
    off = ~np.eye(4, dtype=bool)
    return float(average_precision_score(dense(TRUTH, "weight")[off] != 0, score[off]))


def test_every_figure_of_a_small_network() -> None:
    report = metrics.grn_report(GRN, TRUTH, PRIOR, genes=GENES)
    assert report["balanced_accuracy"] == pytest.approx((2 / 3 + 12 / 13) / 2)
    assert report["auprc"] == pytest.approx(average_precision(dense(GRN, "contribution")))
    assert report["prevalence"] == pytest.approx(3 / 12)
    assert report["auprc_score"] == pytest.approx(average_precision(dense(GRN, "score", absent=-1e9)))
    assert report["auprc_prior"] == pytest.approx(average_precision(dense(PRIOR, "weight")))
    assert report["edges_added"] == 2 and report["edges_added_true"] == 1  # a -> c is true, d -> a is not
    assert report["edges_dropped"] == 1 and report["edges_dropped_false"] == 1  # c -> d was wrong
    assert report["density"] == pytest.approx(3 / 16)


def test_a_matrix_is_ranked_by_weight_and_has_no_score() -> None:
    report = metrics.grn_report(dense(GRN, "weight"), TRUTH, genes=GENES)
    assert report["auprc"] == pytest.approx(average_precision(np.abs(dense(GRN, "weight"))))
    missing = ["auprc_score", "auprc_prior", "edges_added", "edges_dropped"]
    assert report[missing].isna().all() and report.drop(missing).notna().sum() == 4


def test_the_report_has_the_agreed_keys() -> None:
    agreed = "balanced_accuracy auprc prevalence auprc_score auprc_prior edges_added edges_dropped".split()
    assert set(agreed) <= set(metrics.grn_report(GRN, TRUTH, PRIOR, genes=GENES).index)


def test_an_unweighted_prior_counts_every_row() -> None:
    unweighted = PRIOR.drop(columns="weight")
    assert metrics.grn_report(GRN, TRUTH, unweighted, genes=GENES)["edges_added"] == 2


def test_the_truth_as_network_is_perfect() -> None:
    report = metrics.grn_report(TRUTH, TRUTH, TRUTH, genes=GENES)
    assert (report[["balanced_accuracy", "auprc", "auprc_prior"]] == 1).all()
    assert (report[["edges_added", "edges_dropped"]] == 0).all()


@pytest.mark.reference
@pytest.mark.parametrize(("noise", "expected"), [("0.025", 0.904), ("0.05", 0.810), ("0.1", 0.641)])
def test_sim350_priors_score_what_the_specification_gives(reference, noise: str, expected: float) -> None:
    genes = pd.read_csv(reference / "sim350" / "gene_names.csv")["gene"].tolist()
    edges = pd.read_csv(reference / "sim350" / "edges.csv").rename(columns={"from": "source", "to": "target"})
    prior = pd.read_csv(reference / "sim350" / f"edge_prior_noise_{noise}.csv.gz", header=None).to_numpy()
    report = metrics.grn_report(prior, edges, prior=prior, genes=genes)
    assert report["auprc_prior"] == pytest.approx(expected, abs=0.0006)  # printed to three figures
    assert report["auprc"] == report["auprc_prior"]
