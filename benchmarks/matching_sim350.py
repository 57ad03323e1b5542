"""Matching alone on SIM350, with what each step brings: `python -m benchmarks.matching_sim350`.

Needs the reference data (SCDASH_REFERENCE_DATA, default ../shared/data). Writes matching_sim350.csv (mean and SD over
noise seeds) and matching_sim350_runs.csv (every run) beside this script. Nothing is chosen with the truth: it only judges.
"""

import argparse
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.metrics import average_precision_score

from scdash._data import TimeSeries
from scdash.networks import HiddenEvidence, ranking_score
from scdash.regression import TransitionSettings, fit_transitions
from scdash.regression.fold_fits import all_edges
from scdash.regression.linear_field import Field, integrate

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SCDASH_REFERENCE_DATA", HERE.parents[1] / "shared" / "data")) / "sim350"
PRIORS = {0.0: "0.0", 0.05: "0.025", 0.1: "0.05", 0.2: "0.1"}  # share of edges moved: name in the file
STEPS: dict[str, dict[str, Any]] = {
    "one fit, no denoising": {"rounds": 1},
    "two fits": {"rounds": 2},
    "every gene's own penalty (sharing 0)": {"sharing": 0.0},
    "PHOENIX's slope (1)": {"slopes": (1.0,)},
    "no hub weights": {"hub_exponent": 0.0},
    "no products": {"products": 0},
    "one rate": {"gene_rates": (1.0,)},
    "prior weight 20": {"prior_weights": (20.0,)},
    "prior weight 5": {"prior_weights": (5.0,)},
    "prior as any edge (weight 1)": {"prior_weights": (1.0,)},
    "MCP support": {"mcp": 6.0},
    "constants not looked for": {"detect_constants": False},
}


def read(sigma: float, seed: int) -> tuple[TimeSeries, dict[str, Any]]:
    """Return the noisy series (150 training, 10 test trajectories) and the clean states."""
    stored = np.load(DATA / "trajectories.npz")
    train, test = stored["x_train"].astype(float), stored["x_test"].astype(float)
    rng = np.random.default_rng(seed)
    noisy = [x + rng.normal(0, sigma, x.shape) for x in (train, test)]
    trajectory = np.repeat(np.arange(160), 5)
    series = TimeSeries(
        np.concatenate(noisy).reshape(-1, 350),
        np.tile(stored["times"], 160).astype(float),
        trajectory,
        tuple(map(str, range(160))),
        np.where(trajectory < 150, 0, 2).astype(np.int8),
        pd.Index(stored["genes"].astype(str)),
    )
    return series, {"test": test, "noisy_test": noisy[1], "times": stored["times"].astype(float)}


def read_prior(moved: float) -> Any:
    """Return the published prior as CSR (target, regulator); the file's rows are regulators."""
    return sp.csr_matrix(np.loadtxt(DATA / f"edge_prior_noise_{PRIORS[moved]}.csv.gz", delimiter=",").T)


def true_velocity() -> Callable[[np.ndarray], np.ndarray]:
    """Return dx/dt of the simulated system for states (genes, batch), compiled from its table of equations."""
    genes = pd.read_csv(DATA / "gene_names.csv", keep_default_na=False)["gene"]
    place = {gene: number for number, gene in enumerate(genes)}
    equations = pd.read_csv(DATA / "ode_system_functions.csv", keep_default_na=False).to_numpy()

    def activation(x: Any, half: float, n: float) -> Any:
        b = (half**n - 1) / (2 * half**n - 1)
        x = np.maximum(x, 0) ** n
        return b * x / (b - 1 + x)

    def name(match: re.Match[str]) -> str:
        word = match.group(0)
        return word if word == "fAct" else f"x[{place[word]}]"

    code = [
        (place[node], compile(re.sub(r"[A-Za-z_][\w.\-]*", name, text), node, "eval"))
        for node, text in equations
        if text != "input gene"
    ]

    def velocity(x: np.ndarray) -> np.ndarray:
        out = np.zeros_like(x)
        for gene, expression in code:
            out[gene] = eval(expression, {"fAct": activation, "x": x, "__builtins__": {}})
        return out

    return velocity


def next_states(step: Callable[[np.ndarray, float], np.ndarray], states: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Predict every state from the one before, (B, T - 1, n)."""
    return np.stack([step(states[:, k], times[k + 1] - times[k]) for k in range(len(times) - 1)], axis=1)


def true_step(velocity: Callable[[np.ndarray], np.ndarray], start: np.ndarray, duration: float) -> np.ndarray:
    """Integrate the true system by rk4."""
    x, h = start.T.copy(), duration / 20
    for _ in range(20):
        a = velocity(x)
        b = velocity(x + h / 2 * a)
        c = velocity(x + h / 2 * b)
        x = x + h / 6 * (a + 2 * b + 2 * c + velocity(x + h * c))
    return x.T


def model_step(field: Field, start: np.ndarray, duration: float) -> np.ndarray:
    """Integrate a matched field."""
    return integrate(field, start, np.array([0.0, duration]))[:, 1]


def run(sigma: float, moved: float | None, seed: int, label: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Fit once and judge the network and the predictions against the truth."""
    series, clean = read(sigma, seed)
    truth = read_prior(0.0).toarray() != 0
    prior = None if moved is None else read_prior(moved)
    began = time.process_time()
    fit = fit_transitions(series, prior=prior, settings=TransitionSettings.for_time_courses(**changes), rng=seed)
    seconds = time.process_time() - began
    off = ~np.eye(350, dtype=bool)

    def ranking(matrix: Any) -> float:
        return float(average_precision_score(truth[off], np.asarray(matrix.todense())[off]))

    support = all_edges(fit.field).toarray()  # of the model that predicts, products included
    times, test, noisy = clean["times"], clean["test"], clean["noisy_test"]
    foreseen = next_states(lambda x, d: model_step(fit.field, x, d), noisy[:, :-1], times)
    exact = next_states(lambda x, d: model_step(fit.field, x, d), test[:, :-1], times)
    velocity = true_velocity()
    floor = next_states(lambda x, d: true_step(velocity, x, d), noisy[:, :-1], times)
    stored = np.load(DATA / "trajectories.npz")["is_input"].astype(bool)
    row = {
        "setting": label,
        "noise": 2 * sigma,
        "moved": "no prior" if moved is None else f"{moved:.0%}",
        "seed": seed,
        "balanced_accuracy": 50 * (support[truth].mean() + (~support[~truth]).mean()),
        "density": support.mean(),
        "auprc_contribution": ranking(fit.contribution),
        "auprc_stability": ranking(fit.stability),
        "auprc_frequency": ranking(fit.frequency),
        "test_mse_1e3": 1e3 * ((foreseen - noisy[:, 1:]) ** 2).mean(),
        "true_ode_mse_1e3": 1e3 * ((floor - noisy[:, 1:]) ** 2).mean(),
        "clean_mse_1e3": 1e3 * ((exact - test[:, 1:]) ** 2).mean(),
        "constants_found": (fit.constant & stored).sum(),
        "constants_false": (fit.constant & ~stored).sum(),
        "prior_weight": fit.prior_weight,
        "slope": fit.slope,
        "rate": fit.rates.max(),
        "cpu_seconds": seconds,
    }
    if prior is not None:
        row |= {"auprc_prior": ranking(abs(prior))}
        row |= ranking_areas(series, fit, prior, truth, seed) if label == "default" else {}
    return row


def ranking_areas(series: TimeSeries, fit: Any, prior: Any, truth: np.ndarray, seed: int) -> dict[str, float]:
    """Return the figures of the ranking by prior and data, with evidence from a fit that was not shown an eighth."""
    entries = prior.tocoo()
    hide = np.random.default_rng(seed).permutation(entries.nnz) % 8 == 0
    seen, hidden = (
        sp.csr_matrix((entries.data[part], (entries.row[part], entries.col[part])), shape=prior.shape)
        for part in (~hide, hide)
    )
    changes = {
        "rounds": 1,
        "half_samples": 0,
        "products": 0,
        "slopes": (fit.slope,),
        "prior_weights": (fit.prior_weight,),
    }
    again = fit_transitions(series, prior=seen, settings=TransitionSettings.for_time_courses(**changes), rng=seed)
    edges, report = ranking_score(
        sp.csr_matrix(fit.contribution),
        prior,
        weight=sp.csr_matrix(fit.effects),
        frequency=sp.csr_matrix(fit.frequency),
        stability=sp.csr_matrix(fit.stability),
        hidden=[HiddenEvidence(hidden, sp.csr_matrix(again.contribution))],
        constant=fit.constant,
        genes=series.genes,
    )
    score = np.zeros(truth.shape)
    score[edges["target"].cat.codes, edges["source"].cat.codes] = edges["score"]
    off = ~np.eye(len(truth), dtype=bool)
    return {
        "auprc_score": float(average_precision_score(truth[off], score[off])),
        "evidence_auc": report["evidence_auc"],
    }


def main() -> None:
    """Run all settings and seeds; print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one seed, 5 percent noise, no ablation")
    options = parser.parse_args()
    seeds = range(1 if options.quick else options.seeds)
    grid: list[tuple[float, float | None]] = [(0.025, 0.05), (0.025, None)]
    if not options.quick:
        grid += [(0.025, 0.0), (0.025, 0.1), (0.025, 0.2), (0.05, 0.05), (0.05, None), (0.05, 0.2), (0.0, 0.05)]
    calls: list[tuple[Any, ...]] = [(sigma, moved, seed, "default", {}) for sigma, moved in grid for seed in seeds]
    if not options.quick:
        calls += [
            (0.025, m, s, label, change) for label, change in STEPS.items() for m in (0.05, None) for s in (0, 1, 2)
        ]
        calls = [c for c in calls if not (c[1] is None and "prior" in c[3])]
    runs: list[dict[str, Any]] = []
    for row in joblib.Parallel(options.jobs, return_as="generator")(joblib.delayed(run)(*call) for call in calls):
        runs.append(row)
        pd.DataFrame(runs).to_csv(HERE / "matching_sim350_runs.csv", index=False)
        print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    table = (
        pd.DataFrame(runs).drop(columns="seed").groupby(["setting", "noise", "moved"], sort=False).agg(["mean", "std"])
    )
    table.to_csv(HERE / "matching_sim350.csv")
    print(table.xs("mean", axis=1, level=1).round(4).to_string())


if __name__ == "__main__":
    main()
