"""How often the verdict finds true regulators: `python -m benchmarks.power [--seeds 10] [--batches 6 3] [--simulators ...]`.

For every simulator, number of batches and seed three fits with default arguments: with the true regulators, with random genes
in their place, and, where three hidden signals of time drive all genes, with genes that regulate nothing. Every row has
the error of the true equations beside that of the model: where both are alike, no model can do better. Writes
`benchmarks/power_runs.csv` (one row per fit, runs that are there already are kept), the table that reports quote
(`src/scdash/dynamics/reporting/power.csv`) and `benchmarks/power.png`.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks._power_data import GENES, REGULATORS, SIMULATORS, cells, error_of_truth, random_names

HERE = Path(__file__).parent
RUNS, FIGURE = HERE / "power_runs.csv", HERE / "power.png"
TABLE = HERE.parent / "src" / "scdash" / "dynamics" / "reporting" / "power.csv"
BINS = 12
KINDS = ("true", "random", "hidden")
KEYS = ["simulator", "batches", "kind", "seed"]


def run(simulator: str, batches: int, kind: str, seed: int) -> dict[str, Any]:
    """Return the verdict on one simulated set of cells, and the errors behind it."""
    import scdash

    scdash.settings.verbosity = 0
    adata = cells(simulator, batches, seed, hidden=kind == "hidden")
    regulators = random_names(adata, seed) if kind == "random" else "is_tf"
    began = time.process_time()
    scdash.tl.fit_dynamics(
        adata,
        time_key="time",
        batch_key="batch",
        regulators=regulators,
        observations=scdash.Cells(n_bins=BINS),
        rng=seed,
        progress=False,
    )
    seconds = time.process_time() - began
    report = scdash.get.report(adata)
    verdict, errors = report.attrs["verdict"], report.set_index("predictor")["error"]
    row = {"simulator": simulator, "batches": batches, "kind": kind, "seed": seed}
    row |= {
        "supported": verdict["supports_network"],
        "regulators": verdict["regulators"],
        "network": verdict["network"],
    }
    row |= {f"error_{name}": float(errors[name]) for name in ("model", "regression start", "no network")}
    row["error_true equations"] = error_of_truth(adata, BINS)
    row["error_random regulators"] = float(errors[errors.index.str.startswith("random")].mean())
    row["error_best baseline"] = float(errors[verdict["best_baseline"]])
    figures = verdict["figures"]
    row |= {name: figures[f"regulators_{name}"] for name in ("gain", "fold_error", "set_error")}
    row["trajectory_r2"] = adata.uns["dynamics"]["metrics"]["trajectory_r2"]
    return row | {"cpu_seconds": seconds}


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the table that reports quote: how often regulators were found, true ones and random ones."""
    runs = runs.assign(found=(runs["regulators"] == "better") & runs["supported"])
    wide = runs.pivot_table(index=["simulator", "batches"], columns="kind", values="found", aggfunc=["mean", "count"])
    table = pd.DataFrame(
        {
            "genes": GENES,
            "regulators": REGULATORS,
            "runs": wide[("count", "true")].astype(int),
            "found": wide[("mean", "true")],
            "mistaken": wide[("mean", "random")],
        }
    )
    return table.rename_axis(index={"batches": "trajectories"}).reset_index()


def draw(runs: pd.DataFrame) -> None:
    """Draw how often regulators were found, by kind, with every run counted."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shares = runs.groupby(["simulator", "batches", "kind"])["supported"].mean().unstack("kind").reindex(columns=KINDS)
    ax = shares.plot.bar(figsize=(5, 2.8), width=0.7)
    ax.set(ylabel="fraction of runs supported", xlabel="", ylim=(0, 1))
    ax.legend(title="regulators", frameon=False)
    ax.figure.tight_layout()
    ax.figure.savefig(FIGURE, dpi=150)
    plt.close(ax.figure)


def main() -> None:
    """Run what is missing, then write the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--batches", type=int, nargs="+", default=[6])
    parser.add_argument("--simulators", nargs="+", default=list(SIMULATORS))
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    rows = pd.read_csv(options.runs).to_dict("records") if options.runs.exists() else []
    known = {tuple(row[key] for key in KEYS) for row in rows}
    for seed in range(options.seeds):
        for wanted in [(s, b, k, seed) for s in options.simulators for b in options.batches for k in options.kinds]:
            if wanted not in known:
                rows.append(run(*wanted))
                pd.DataFrame(rows).to_csv(options.runs, index=False, float_format="%.4g")
                print(
                    {
                        k: v
                        for k, v in rows[-1].items()
                        if k in (*KEYS, "regulators", "network", "supported", "cpu_seconds")
                    }
                )
    runs = pd.DataFrame(rows)
    if {"true", "random"} <= set(runs["kind"]):
        summary(runs).to_csv(options.table, index=False, float_format="%.4g")
        print(summary(runs).to_string(index=False))
    draw(runs)


if __name__ == "__main__":
    main()
