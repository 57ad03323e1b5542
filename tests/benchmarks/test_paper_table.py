"""The rows of the PerturbODE paper's tables."""

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks._perturbode_paper import SIGNED, UNSIGNED, classified, paper_jobs, threshold

from scdash.metrics import f1, hypergeometric_p

TRUTH = np.array([[0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], float)
FOUND = np.array([[5, 0.9, -0.8, 0], [0.4, 0, 0.7, 0.3], [0, 0, 0, 0.1], [0, 0, 0, 0]])


def test_figures_without_signs_are_those_of_the_package() -> None:
    row = classified(FOUND, TRUTH, 0.2, signed=False)
    edges = np.where(np.abs(FOUND) > 0.2, 1, 0)
    assert (row["recall"], row["precision"], row["edges"]) == (3 / 4, 3 / 5, 5)
    assert row["f1"] == pytest.approx(f1(edges, TRUTH))
    assert row["f1_paper"] == pytest.approx((3 / 4 + 3 / 5) / 2)
    assert row["p"] == pytest.approx(hypergeometric_p(edges, TRUTH))


def test_an_edge_of_the_wrong_sign_is_a_false_positive() -> None:
    row = classified(FOUND, TRUTH, 0.2, signed=True)
    assert (row["recall"], row["precision"], row["edges"]) == (2 / 4, 2 / 5, 5)


def test_an_empty_network_has_no_edge_right_and_p_of_one() -> None:
    row = classified(FOUND, TRUTH, 10, signed=True)
    assert (row["recall"], row["precision"], row["f1"], row["f1_paper"], row["p"]) == (0, 0, 0, 0, 1)


def test_thresholds_are_those_of_the_paper() -> None:
    assert [threshold(m, FOUND, "dag") for m in ("NO-TEARS", "NO-TEARS-LR", "DCDI", "Bicycle")] == [
        0.3,
        0.3,
        0.5,
        0.005,
    ]
    for name, least in (("yeast", 0.1), ("dag", 0.01)):
        assert threshold("PerturbODE, transport, mean loss", FOUND, name) == pytest.approx(least * FOUND.std())
    assert threshold("PerturbODE, equilibrium", FOUND, "dag") == 0  # the edges of a fit are those that it stores


def test_every_method_of_the_paper_has_a_row() -> None:
    rows = {job.method for job in paper_jobs("dag", lambda: pytest.fail("nothing is read"), 1, every=True)}
    assert rows == set(SIGNED) | set(UNSIGNED)
    assert {"DCDI", "DCDFG", "Bicycle", "NO-TEARS", "NO-TEARS-LR"} < rows
