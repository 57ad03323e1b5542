"""SIM350, Tables 1, 4, 5 and 6 of the DASH paper and beyond: `python -m benchmarks.sim350 [--full]`.

Tables 4 and 5 are the strategies of Table 1 at 0 and 10 % noise; Table 6 adds PHOENIX's prior loss ("prior loss" in the name
of a strategy; the paper does not say how it is weighed, here by 1 - 0.95, the weight that served its authors best on yeast).

Needs the reference data (SCDASH_REFERENCE_DATA, default ../shared/data). Writes sim350.csv (mean and SD over seeds),
sim350_runs.csv (every run) and sim350.png beside this script. Seeds are noise seeds; nothing is chosen with the truth.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks._sim350_figure import draw

HERE = Path(__file__).parent
TAU = 0.95  # weight of the data beside the prior loss
# Tables 1, 4, 5 and 6 of the paper, by strategy and noise: (sparsity %, balanced accuracy %, MSE 1e-3)
PAPER = {
    ("none", 0.05): (9.9, 58.6, 2.5),
    ("posthoc", 0.05): (87.0, 82.4, 2.3),
    ("l0", 0.05): (33.8, 55.0, 8.5),
    ("cnode", 0.05): (6.2, 55.9, 2.8),
    ("pathreg", 0.05): (56.5, 61.9, 8.0),
    ("imp", 0.05): (96.0, 70.9, 3.6),
    ("bio", 0.05): (83.5, 87.3, 2.6),
    ("dash", 0.05): (94.6, 90.7, 2.4),
    ("none", 0.0): (11.3, 60.3, 2.3),
    ("posthoc", 0.0): (90.0, 89.8, 2.6),
    ("l0", 0.0): (34.7, 61.3, 6.1),
    ("cnode", 0.0): (10.7, 60.5, 1.9),
    ("pathreg", 0.0): (59.7, 64.2, 6.1),
    ("imp", 0.0): (95.8, 72.8, 2.9),
    ("bio", 0.0): (83.5, 88.0, 3.6),
    ("dash", 0.0): (92.6, 91.1, 1.9),
    ("none", 0.1): (2.9, 51.3, 5.5),
    ("posthoc", 0.1): (92.0, 83.8, 4.1),
    ("l0", 0.1): (31.9, 50.2, 13.3),
    ("cnode", 0.1): (7.2, 50.5, 36.6),
    ("pathreg", 0.1): (47.8, 50.2, 12.7),
    ("imp", 0.1): (89.9, 63.8, 5.1),
    ("bio", 0.1): (79.7, 85.2, 5.6),
    ("dash", 0.1): (90.8, 85.4, 5.8),
    ("imp, prior loss", 0.0): (95.5, 77.8, 4.0),
    ("dash, prior loss", 0.0): (89.1, 86.8, 3.1),
    ("imp, prior loss", 0.05): (95.3, 75.8, 3.4),
    ("dash, prior loss", 0.05): (93.2, 90.6, 2.0),
    ("imp, prior loss", 0.1): (88.4, 65.0, 5.8),
    ("dash, prior loss", 0.1): (86.8, 82.0, 6.0),
}


def default_fit(noise: float, moved: float | None, seed: int, options: dict[str, Any], label: str) -> dict[str, Any]:
    """Run `fit_dynamics` and judge its network and predictions."""
    import scdash

    scdash.settings.verbosity = 0
    adata = scdash.datasets.sim350(noise, 0.05 if moved is None else moved, rng=seed)
    prior = None if moved is None else adata.uns["prior"]
    began = time.process_time()
    scdash.tl.fit_dynamics(
        adata,
        prior=prior,
        time_key="time",
        trajectory_key="trajectory",
        split_key="split",
        rng=seed,
        progress=False,
        **options,
    )
    seconds = time.process_time() - began
    grn = scdash.get.grn(adata)
    report = scdash.metrics.grn_report(grn, adata.uns["truth"], prior, genes=adata.var_names)
    frequency = grn.assign(weight=grn["stability"].fillna(0))[["source", "target", "weight"]]
    stability = scdash.metrics.auprc(frequency, adata.uns["truth"], genes=adata.var_names)
    metrics = adata.uns["dynamics"]["metrics"]
    return {
        "strategy": label,
        "noise": noise,
        "moved": moved,
        "seed": seed,
        "sparsity": metrics["sparsity"],
        "balanced_accuracy": report["balanced_accuracy"],
        "density": metrics["network_density"],
        "auprc": report["auprc"],
        "auprc_stability": float(stability),
        "auprc_score": report["auprc_score"],
        "auprc_prior": report["auprc_prior"],
        "evidence_auc": metrics["evidence_auc"],
        "test_mse": metrics["test_mse"],
        "clean_mse": clean_error(adata),
        "rollout_mse": metrics["rollout_mse"],
        "constant_mse": metrics["constant_mse"],
        "no_change_mse": metrics["no_change_mse"],
        "no_network_mse": metrics["no_network_mse"],
        "epochs": metrics["epochs"],
        "kept": adata.uns["dynamics"]["params"]["kept"],
        "cpu_seconds": seconds,
    }


def clean_error(adata: Any) -> float:
    """Return the error of noise-free next states predicted from noise-free starts, test trajectories."""
    import torch

    import scdash
    from scdash.networks import rollout

    test = adata[adata.obs["split"] == "test"]
    states = np.asarray(test.layers["clean"]).reshape(-1, 5, adata.n_vars)
    times = test.obs["time"].to_numpy().reshape(-1, 5)[0]
    model = scdash.get.model(adata)
    errors = []
    for k in range(4):
        start = torch.as_tensor(states[:, k], dtype=torch.float32)
        predicted = rollout(model, start, torch.as_tensor(times[k : k + 2]))[-1].numpy()
        errors.append(((predicted - states[:, k + 1]) ** 2).mean())
    return float(np.mean(errors))


def paper_stack(
    conditions: tuple[tuple[float, float], ...], strategies: tuple[str, ...], seeds: tuple[int, ...], tau: float = 1.0
) -> list[dict[str, Any]]:
    """Train the paper's model under several strategies, conditions (noise, moved) and seeds as one stack.

    `tau` below 1 weighs the data against the prior loss.
    """
    from benchmarks._sim350_paper import run_paper, run_posthoc

    began = time.process_time()
    table = (
        run_posthoc(*conditions[0], seeds)
        if strategies == ("posthoc",)
        else run_paper(conditions, strategies, seeds, tau)
    )
    table["strategy"] = "paper: " + table["strategy"] + (", prior loss" if tau < 1 else "")
    return table.assign(cpu_seconds=(time.process_time() - began) / len(table)).to_dict("records")


def penalised(method: str, seed: int, noise: float = 0.05) -> list[dict[str, Any]]:
    """Train L0, C-NODE or PathReg on the paper's encoder, strength by validation: a row."""
    from benchmarks._sim350_gates import run_gates

    began = time.process_time()
    table = run_gates(noise, 0.05, method, seed)
    return table.assign(strategy=f"paper: {method}", cpu_seconds=time.process_time() - began).to_dict("records")


def jobs(seeds: int, *, quick: bool = False, full: bool = False) -> list[Any]:
    """Return all runs as joblib calls, the longest first; `full` adds other noise levels and the prior loss."""
    import scdash

    three, many = tuple(range(3)), tuple(range(1 if quick else seeds))
    main = ((0.05, 0.05),)
    calls: list[Any] = [
        joblib.delayed(paper_stack)(main, ("dash",), many),
        joblib.delayed(paper_stack)(main, ("imp", "bio"), three),
        joblib.delayed(paper_stack)(main, ("posthoc",), many[:1] if quick else three),
        joblib.delayed(paper_stack)(main, ("none",), three),
    ]
    if not quick:
        for others in (((0.0, 0.05), (0.1, 0.05)), ((0.05, 0.0), (0.05, 0.1), (0.05, 0.2))):
            calls.insert(2, joblib.delayed(paper_stack)(others, ("dash",), three))
        calls += [joblib.delayed(penalised)(method, seed) for seed in three for method in ("pathreg", "l0", "cnode")]
    if full:
        for condition in (((0.0, 0.05),), ((0.1, 0.05),)):
            for strategies in (("imp", "bio"), ("posthoc",), ("none",)):
                calls.append(joblib.delayed(paper_stack)(condition, strategies, three))
        for noise in (0.0, 0.05, 0.1):
            calls.append(joblib.delayed(paper_stack)(((noise, 0.05),), ("imp", "dash"), three, TAU))
        calls += [
            joblib.delayed(penalised)(m, seed, n)
            for seed in three
            for n in (0.0, 0.1)
            for m in ("pathreg", "l0", "cnode")
        ]
    settings = [(0.05, m) for m in (0.05, None, 0.0, 0.1, 0.2)] + [(0.0, 0.05), (0.1, 0.05)]
    settings += [(0.0, None), (0.1, None)] if full else []
    for noise, moved in settings[:1] if quick else settings:
        few = many if noise > 0 and moved != 0.0 else many[:3]
        for seed in few:
            calls.append(joblib.delayed(default_fit)(noise, moved, seed, {}, "default"))
    for seed in many[:3]:
        calls.append(
            joblib.delayed(default_fit)(
                0.05, 0.05, seed, {"training": scdash.Training(max_epochs=0)}, "regression alone"
            )
        )
        for method in ("none", "imp", "bio"):  # beside DASH, the default
            calls.append(joblib.delayed(default_fit)(0.05, 0.05, seed, {"sparsity": method}, f"gene-wise {method}"))
        calls.append(joblib.delayed(default_fit)(0.05, 0.05, seed, {"start": "random"}, "gene-wise DASH, random start"))
    return calls


def beside(runs: pd.DataFrame) -> pd.DataFrame:
    """Give every row the constant, no change (of the same noise and seed) and the prior alone (of the same edges moved)."""
    for name, same in (
        ("constant_mse", ["noise", "seed"]),
        ("no_change_mse", ["noise", "seed"]),
        ("auprc_prior", ["moved"]),
    ):
        runs = runs.assign(**{name: runs[name].fillna(runs.groupby(same)[name].transform("first"))})
    return runs


def added_by_training(runs: pd.DataFrame) -> str:
    """Say what the neural ODE adds to matching, on the seeds that both were run with."""
    pairs = {
        name: runs[runs["strategy"] == name].set_index(["noise", "moved", "seed"])
        for name in ("default", "regression alone")
    }
    if any(part.empty for part in pairs.values()):
        return ""
    names = ["test_mse", "clean_mse", "balanced_accuracy", "auprc"]
    change = (pairs["default"][names] - pairs["regression alone"][names]).dropna()
    said = [f"{n} {m:+.3g} ± {s:.1g}" for n, m, s in zip(names, change.mean(), change.std(), strict=True)]
    return f"what the neural ODE adds to matching ({len(change)} seeds): " + ", ".join(said)


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Return mean and SD over seeds, with the paper's figures beside."""
    runs = beside(runs)
    figures = [
        c
        for c in runs.columns
        if c not in ("strategy", "noise", "moved", "seed", "kept", "strength") and runs[c].dtype.kind in "fi"
    ]
    runs = runs.assign(moved=runs["moved"].map(lambda m: "no prior" if pd.isna(m) else f"{m:.0%}"))
    groups = runs.groupby(["noise", "strategy", "moved"], sort=False)
    table = groups[figures].agg(["mean", "std"])
    table.columns = [f"{name}_{what}" for name, what in table.columns]
    table.insert(0, "seeds", groups.size())
    table = table.reset_index()
    key = table["strategy"].str.removeprefix("paper: ").where(table["moved"] == "5%")  # the paper's table moves 5 %
    published = [PAPER.get((k, n), (None,) * 3) for k, n in zip(key, table["noise"], strict=True)]
    for i, name in enumerate(("paper_sparsity", "paper_balanced_accuracy", "paper_mse_1e3")):
        table[name] = [row[i] for row in published]
    return table


def keep(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Write finished runs at once, in place of older ones of the same kind, and return all."""
    path = HERE / "sim350_runs.csv"
    key = ["strategy", "noise", "moved", "seed"]
    known = pd.DataFrame((pd.read_csv(path).to_dict("records") if path.exists() else []) + rows)
    known = known.drop_duplicates(key, keep="last").sort_values(key).reset_index(drop=True)
    known.to_csv(path, index=False, float_format="%.6g")
    return known


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one noise level, one seed of the default")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument(
        "--only",
        nargs="+",
        default=[""],
        help="run only jobs whose arguments hold one of these texts, e.g. 'posthoc'; other rows stay",
    )
    parser.add_argument(
        "--full", action="store_true", help="also every strategy at 0 and 10 %% noise, and the prior loss"
    )
    args = parser.parse_args()
    os.environ.setdefault("SCDASH_REFERENCE_DATA", str(HERE.parents[1] / "shared" / "data"))
    os.environ["OMP_NUM_THREADS"] = "1"
    began = time.perf_counter()
    calls = [
        c for c in jobs(args.seeds, quick=args.quick, full=args.full) if any(text in str(c[1:]) for text in args.only)
    ]
    finished = joblib.Parallel(n_jobs=args.workers, return_as="generator_unordered")(calls)
    rows: list[dict[str, Any]] = []
    for part in tqdm(finished, total=len(calls)):
        rows += part if isinstance(part, list) else [part]
        if not args.quick:
            keep(rows)
    runs = pd.DataFrame(rows) if args.quick else keep(rows)
    table = summarise(runs)
    if not args.quick:
        table.to_csv(HERE / "sim350.csv", index=False, float_format="%.6g")
        draw(beside(runs), PAPER, HERE / "sim350.png")
    show = table.copy()
    for name in [c.removesuffix("_mean") for c in table.columns if c.endswith("_mean")]:
        scale = 1e3 if name.endswith("_mse") else 1
        mean, sd = show.pop(f"{name}_mean") * scale, show.pop(f"{name}_std") * scale
        show[name + (" 1e-3" if scale > 1 else "")] = [
            f"{m:.3f}" + ("" if np.isnan(s) else f" ±{s:.3f}") if np.isfinite(m) else "-"
            for m, s in zip(mean, sd, strict=True)
        ]
    print(show.to_string(index=False))
    print(added_by_training(runs))
    print(f"{len(calls)} jobs in {time.perf_counter() - began:.0f} s on {args.workers} workers")
    print(f"{sum(row['cpu_seconds'] for row in rows):.0f} CPU seconds")


if __name__ == "__main__":
    main()
