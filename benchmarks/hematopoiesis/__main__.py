"""Erythroid and B cells in two protocols, beside everything that has no network: `python -m benchmarks.hematopoiesis`.

Needs the reference data (SCDASH_REFERENCE_DATA, default ../shared/data). Writes errors.csv (every run), summary.csv,
verdicts.csv, edges.csv and errors.png into benchmarks/hematopoiesis.

(a) train on s1d2, choose on s1d1, test on the rest. (b) test on every batch in turn, learn from the others (but one, by
turns of the seed, which decides whether polishing is kept); there regression and the predictors without a network choose
their settings by every batch but that for test, left out in turn.
In (b) the controls are run for seed 0 alone. DASH's trust in the prior is chosen by the validation batch. Every run is
kept. Parts can be run one by one (`--parts`, `--lineages`, `--only-seed`) and are joined in errors.csv.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.hematopoiesis.data import HERE, LINEAGES, batches
from benchmarks.hematopoiesis.edges import recovery
from benchmarks.hematopoiesis.errors import ALL, floors, protocol_a_errors, protocol_b_errors

# figures of the trials before this package: whole trajectory / constant, mean over test batches (erythroid, B)
TRIALS = {
    "template": (0.69, 0.93),
    "no network": (0.63, 0.61),
    "PHOENIX, none": (0.52, 0.77),
    "PHOENIX, IMP": (0.56, 0.68),
    "PHOENIX, DASH CollecTRI": (0.56, 0.72),
}
WANTED = {"eryth": 0.53, "B": 0.64}


def keep(path: Path, new: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Join new rows with those of earlier runs; a row is replaced by one with the same keys."""
    if path.exists():
        new = pd.concat([pd.read_csv(path), new]).drop_duplicates(keys, keep="last")
    new = new.sort_values(keys)
    new.to_csv(path, index=False, float_format="%.4g")
    return new


def run(parts: list[str], lineages: list[str], seeds: list[int], strategies: list[str], out: Path) -> None:
    """Run the parts asked for, writing after each fit."""
    for seed in seeds:
        for lineage in lineages:
            if "a" in parts:
                for strategy in strategies:
                    try:
                        note(out, *protocol_a_errors(lineage, seed, [strategy]))
                    except (ValueError, FloatingPointError) as error:  # a model that can not be fitted is a finding
                        print(f"{strategy} on {lineage}, seed {seed}: {error}")
                note(out, floors(lineage, seed), [])
            if "b" in parts:
                for batch in batches(lineage):
                    note(out, *protocol_b_errors(lineage, batch, seed, controlled=seed == 0))
            if "edges" in parts:
                keep(out / "edges.csv", pd.DataFrame([recovery(lineage, seed)]), ["lineage", "seed"])


def note(out: Path, errors: pd.DataFrame, verdicts: list[dict[str, Any]]) -> None:
    """Write the results of one fit."""
    keep(out / "errors.csv", errors, ["protocol", "lineage", "model", "batch", "seed"])
    if verdicts:
        found = pd.DataFrame(verdicts)
        if "batch" not in found:
            found["batch"] = "all"
        keep(out / "verdicts.csv", found, ["protocol", "lineage", "batch", "seed"])


def grouped(errors: pd.DataFrame) -> pd.DataFrame:
    """Join the draws of a control under one name."""
    name = errors["model"].str.replace(r"^(random regulators|shuffled prior) \d+$", r"\1", regex=True)
    return errors.assign(model=name)


def tell(out: Path) -> None:
    """Print the tables, the acceptance and the verdicts; write the summary."""
    errors = grouped(pd.read_csv(out / "errors.csv"))
    figures = {"whole": ("whole_ratio", "mean"), "worst": ("whole_ratio", "max"), "five_ahead": ("five_ahead_ratio", "mean"),
               "sparsity": ("sparsity", "mean"), "out_degree": ("out_degree", "mean"),
               "no_inputs": ("genes_without_inputs", "mean"), "cpu_s": ("cpu_seconds", "mean")}  # fmt: skip
    keys = ["protocol", "lineage", "model"]
    table = errors.groupby(keys).agg(**figures)  # type: ignore[call-overload]
    per_seed = errors.groupby([*keys, "seed"])["whole_ratio"].mean().groupby(keys)
    table.insert(1, "sd_of_seeds", per_seed.std())
    table["seeds"] = per_seed.size()
    table.to_csv(out / "summary.csv", float_format="%.3g")
    for (protocol, lineage), part in table.groupby(["protocol", "lineage"]):
        print(f"\nProtocol ({protocol}), {lineage}: errors / constant, mean over held-out batches and seeds")
        print(part.droplevel([0, 1]).sort_values("whole").to_string(float_format=lambda x: f"{x:.3g}"))
        if protocol == "a":
            ours = part.droplevel([0, 1])
            sparse = ours[(ours["sparsity"] >= 0.945) & (ours["worst"] < 1)]
            best = sparse["whole"].idxmin() if len(sparse) else "none"
            passed = len(sparse) > 0 and sparse["whole"].min() <= WANTED[str(lineage)]
            print(
                f"wanted <= {WANTED[str(lineage)]} at 95 % sparsity, constant beaten everywhere: {best}, passed: {passed}"
            )
    print("\nTrials before this package (erythroid, B):", TRIALS)
    for name in ("verdicts", "edges"):
        if (out / f"{name}.csv").exists():
            found = pd.read_csv(out / f"{name}.csv")
            print(f"\n{name}\n{found.round(3).to_string(index=False)}")
    picture(errors, out / "errors.png")


def picture(errors: pd.DataFrame, path: Path) -> None:
    """Draw every batch and seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = sorted(set(zip(errors["protocol"], errors["lineage"], strict=True)))
    figure, axes = plt.subplots(1, len(panels), figsize=(5 * len(panels), 6), squeeze=False, layout="constrained")
    for axis, (protocol, lineage) in zip(axes[0], panels, strict=True):
        part = errors[(errors["protocol"] == protocol) & (errors["lineage"] == lineage)]
        order = part.groupby("model")["whole_ratio"].mean().sort_values(ascending=False).index.tolist()
        axis.scatter(part["whole_ratio"], [order.index(m) for m in part["model"]], s=10, alpha=0.6)
        axis.axvline(1, color="0.6", lw=0.8)
        axis.set(title=f"({protocol}) {lineage}", xlabel="whole-trajectory error / constant", yticks=range(len(order)))
        axis.set_yticklabels(order, fontsize=7)
        axis.set_xlim(0, min(2.0, 1.05 * part["whole_ratio"].max()))
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=("a", "b", "edges"), default=["a", "b", "edges"])
    parser.add_argument("--lineages", nargs="+", choices=LINEAGES, default=list(LINEAGES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only-seed", type=int, nargs="+")
    parser.add_argument("--strategies", nargs="+", choices=ALL, default=ALL)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--tell", action="store_true", help="only print what earlier runs wrote")
    given = parser.parse_args()
    if not given.tell:
        given.out.mkdir(parents=True, exist_ok=True)
        run(given.parts, given.lineages, given.only_seed or list(range(given.seeds)), given.strategies, given.out)
    tell(given.out)
