"""Choosing among 25 lambdas by successive halving, its cost and what it misses: `python -m benchmarks.speed_search`.

SIM350 (5 % noise, 5 % of the prior moved), hidden units, one fold, three noise seeds. Side by side: one setting trained
to the end without early stopping, `cross_validate(budget=...)`, and `cross_validate` with all settings trained to the end,
in CPU seconds of one thread. What halving chose is judged by its error in the full search, beside a random pick (the mean
over settings) and the default lambdas without any search; the truth has no part in it. Needs the reference data
(SCDASH_REFERENCE_DATA). Every setting's error is added to speed_search_runs.csv as it is found, and a run that was cut
short goes on from there; speed_search.csv and speed_search.png are written at the end of every seed.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import scdash

HERE = Path(__file__).parent
RUNS, TABLE = HERE / "speed_search_runs.csv", HERE / "speed_search.csv"
BUDGETS = (4.0, 3.0, 2.5)
DEFAULT = (0.5, 0.95)  # lambdas of `fit_dynamics`, which are in the grid
VALUES = (0.0, 0.25, 0.5, 0.75, 0.95)  # the default grid
PATIENCE = 40 / 300  # of the epochs


def search(seed: int, epochs: int, patience: float = PATIENCE, adata: Any = None, **options: Any) -> pd.DataFrame:
    """Return the table of `cross_validate` with its CPU seconds; the paper's schedule in proportion to 300 epochs.

    SIM350, or other simulated trajectories `adata`.
    """
    adata = scdash.datasets.sim350(0.05, 0.05, rng=seed) if adata is None else adata
    began = time.process_time()
    table = scdash.tl.cross_validate(
        adata,
        prior=adata.uns["prior"],
        time_key="time",
        trajectory_key="trajectory",
        split_key="split",
        start="random",
        n_folds=1,
        rng=seed,
        device="cpu",
        progress=False,
        model=scdash.models.Phoenix(encoder="modules"),
        sparsity=scdash.sparsity.DASH(
            schedule=scdash.sparsity.GeometricSchedule(0.7, 3, 0.1, max(1, round(10 * epochs / 300)))
        ),
        training=scdash.Training(max_epochs=epochs, batch_size=28, patience=max(1, round(patience * epochs))),
        **options,
    )
    return table.assign(cpu_s=(time.process_time() - began) / len(table), seed=seed, max_epochs=epochs)


def run(seed: int, epochs: int) -> pd.DataFrame:
    """Return all runs of a seed, training what speed_search_runs.csv does not hold yet."""
    # settings share weights and batches, so that a part of the grid gives the same errors as the whole
    full: dict[str, dict[str, Any]] = {f"full {l1:g}": {"grid": [(l1, l2) for l2 in VALUES]} for l1 in VALUES}
    budgets: dict[str, dict[str, Any]] = {f"budget {b:g}": {"budget": b} for b in BUDGETS}
    ways: dict[str, dict[str, Any]] = {"one": {"grid": [DEFAULT], "patience": 1.0}, **budgets, **full}
    for way, options in ways.items():
        known = (
            pd.read_csv(RUNS, float_precision="round_trip")
            if RUNS.exists()
            else pd.DataFrame(columns=["way", "seed", "max_epochs"])
        )
        if ((known["way"] == way) & (known["seed"] == seed) & (known["max_epochs"] == epochs)).any():
            continue
        found = search(seed, epochs, **options).assign(way=way).drop(columns=["se", "fold0"])
        print(f"seed {seed}, {way}: {found['cpu_s'].sum():.1f} CPU s", flush=True)
        pd.concat([known, found]).to_csv(RUNS, index=False)
    known = pd.read_csv(RUNS, float_precision="round_trip")
    return known[(known["seed"] == seed) & (known["max_epochs"] == epochs)]


def compare(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row per way: its cost relative to one training, the error of what it chose, and how far that is off."""
    one = runs[runs["way"] == "one"]
    full = runs[runs["way"].str.startswith("full")].reset_index(drop=True)
    error = full["mean"]
    is_default = (full["l1"] == DEFAULT[0]) & (full["l2"] == DEFAULT[1])
    none = one.assign(cpu_s=0.0, epochs=0)
    found = [("random pick", none, error.mean()), ("default, no search", none, error[is_default].item())]
    for budget in BUDGETS:
        halved = runs[runs["way"] == f"budget {budget:g}"].reset_index(drop=True)
        ended = halved["finished"]
        if not (error[ended] == halved.loc[ended, "mean"]).all():
            raise SystemExit("a setting that went on ended with other numbers than in the full search")
        found.append((f"budget {budget:g}", halved, error[halved["chosen"]].item()))
    found.append(("full", full, error.min()))
    rows = [
        {
            "way": way,
            "cpu_to_one": table["cpu_s"].sum() / one["cpu_s"].sum(),
            "epochs_to_one": table["epochs"].sum() / one["epochs"].sum(),
            "error": chosen,
            "regret_percent": 100 * (chosen / error.min() - 1),
            "regret_in_sd": (chosen - error.min()) / error.std(ddof=1),
            "rank": int((error < chosen).sum()) + 1,
        }
        for way, table, chosen in found
    ]
    return pd.DataFrame(rows).assign(
        seed=full["seed"].iloc[0], max_epochs=full["max_epochs"].iloc[0], one_cpu_s=one["cpu_s"].sum()
    )


def draw(runs: pd.DataFrame) -> None:
    """Draw what both searches of a seed found."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
    full = runs[runs["way"].str.startswith("full")]
    full = full.assign(chosen=full["mean"] == full["mean"].min())
    for axis, table, title in zip(axes, (runs[runs["way"] == "budget 4"], full), ("budget=4", "full"), strict=True):
        scdash.pl.lambdas(table, ax=axis, show=False)
        axis.set_title(title, loc="right")
    figure.savefig(HERE / "speed_search.png", dpi=150)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds to run; the table keeps others")
    parser.add_argument("--epochs", type=int, default=200)
    asked = parser.parse_args()
    os.environ.setdefault("SCDASH_REFERENCE_DATA", str(HERE.parents[1] / "shared" / "data"))
    torch.set_num_threads(1)
    search(0, 5, grid=[DEFAULT])  # compiles
    for seed in asked.seeds:
        runs = run(seed, asked.epochs)
        draw(runs)
        rows = compare(runs)
        if TABLE.exists():
            known = pd.read_csv(TABLE)
            rows = pd.concat([known[(known["seed"] != seed) | (known["max_epochs"] != asked.epochs)], rows])
        rows.sort_values(["max_epochs", "seed"], kind="stable").to_csv(TABLE, index=False, float_format="%.4g")
    shown = rows[rows["max_epochs"] == asked.epochs].drop(columns=["seed", "max_epochs"])
    print(
        shown.groupby("way", sort=False).agg(["mean", "std"]).T.unstack().T.to_string(float_format=lambda x: f"{x:.3g}")
    )


if __name__ == "__main__":
    main()
