"""Numbers of pages, made from the CSV files of the benchmarks: `python -m benchmarks.readme_tables [--check]`.

A page holds a pair of markers around each part that is made here, such as `<!-- sim350: made by
benchmarks/readme_tables.py -->` and `<!-- sim350 end -->`. With `--check` nothing is written, and the command fails if a
page differs from its CSV files; a core test does the same.
"""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
README, CONCEPTS = HERE.parent / "README.md", HERE.parent / "docs" / "concepts"
SCALE, LIMITS = CONCEPTS / "scale.md", CONCEPTS / "limits.md"
# what a row is about -> (strategy, published row of the paper)
STRATEGIES = {
    "default": "`fit_dynamics(adata)`, the default",
    "paper: dash": "the paper's model, DASH",
    "paper: imp": "the paper's model, iterative magnitude pruning",
    "paper: bio": "the paper's model, pruned by the prior alone",
    "paper: posthoc": "the paper's model, pruned post hoc",
    "paper: pathreg": "the paper's model, PathReg",
    "paper: l0": "the paper's model, L0",
    "paper: cnode": "the paper's model, C-NODE",
    "paper: none": "the paper's model, without pruning",
}
NOISE, MOVED = 0.05, "5%"


def sim350() -> str:
    """Return the table of SIM350: every row is one model, with its own accuracy, zeros and error."""
    table = pd.read_csv(HERE / "sim350.csv")
    table = table[(table["noise"] == NOISE) & (table["moved"] == MOVED)].set_index("strategy")
    lines = [
        "| model | seeds | balanced accuracy of its network | its weights that are 0 | its next-step error (1e-3) | published |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for strategy, text in STRATEGIES.items():
        row = table.loc[strategy]
        accuracy, zeros = f"{100 * row['balanced_accuracy_mean']:.1f} %", f"{100 * row['sparsity_mean']:.1f} %"
        error = f"{1e3 * row['test_mse_mean']:.2f}"
        lines.append(_row(text, int(row["seeds"]), accuracy, zeros, error, _published(row)))
    default = table.loc["default"]
    for column, text in (("constant_mse", "the mean state, always"), ("no_change_mse", "no change")):
        lines.append(_row(text, int(default["seeds"]), "", "", f"{1e3 * default[f'{column}_mean']:.2f}", ""))
    return "\n".join(lines)


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _published(row: pd.Series) -> str:
    """Return the paper's accuracy, zeros and error of the same strategy."""
    if pd.isna(row["paper_mse_1e3"]):
        return ""
    return f"{row['paper_balanced_accuracy']:.1f} %, {row['paper_sparsity']:.1f} %, {row['paper_mse_1e3']:.1f}"


def sim350_floor() -> str:
    """Return a sentence about the error that even the true equations make from noisy states."""
    runs = pd.read_csv(HERE / "matching_sim350_runs.csv")
    runs = runs[(runs["noise"] == NOISE) & (runs["moved"] == MOVED)]
    truth, ours = runs["true_ode_mse_1e3"].mean(), runs["test_mse_1e3"].mean()
    return (
        f"Started from noisy states, the true equations themselves make an error of {truth:.2f}, and the regression start "
        f"alone one of {ours:.2f} on the same {len(runs)} noise seeds (`benchmarks/matching_sim350_runs.csv`)."
    )


def network() -> str:
    """Return how far a fit corrects a prior with moved edges, on a simulated system of which every edge is known."""
    table = pd.read_csv(HERE / "sim350.csv")
    row = table[(table["noise"] == NOISE) & (table["strategy"] == "default") & (table["moved"] == MOVED)].iloc[0]
    return (
        f"- **A partly wrong prior is corrected.** With {MOVED.removesuffix('%')} % of the prior's edges moved (350 simulated genes, "
        f"5 % noise), the area under the precision-recall curve is {row['auprc_prior_mean']:.2f} for the prior and "
        f"{row['auprc_score_mean']:.2f} for the edges that scdash ranks (mean of {int(row['seeds'])} noise seeds, "
        "`benchmarks/sim350.csv`)."
    )


def screens() -> str:
    """Return how well networks of knockout screens are found, beside the changes themselves and chance."""
    table = pd.read_csv(HERE / "screens_real.csv")
    table = table[(table["part"] == "dream4") & table["screen"].str.contains("size 100")]
    names = ["aupr", "aupr_differential_expression", "aupr_z_score", "chance"]
    ours, changes, z_scores, chance = table.groupby("seed")[names].mean().mean()
    return (
        f"- **Direct targets come before indirect ones.** On the knockout data of {table['screen'].nunique()} DREAM4 networks "
        f"of 100 genes, the area under the precision-recall curve is {ours:.2f}; ranking edges by z-scores has {z_scores:.2f}, by "
        f"the size of the change {changes:.2f}, chance {chance:.2f} (means, {_counted(table['seed'].nunique(), 'seed')}, "
        "`benchmarks/screens_real.csv`)."
    )


def paired() -> str:
    """Return how well 25 genes predict electrophysiology of real neurons, beside linear models."""
    table = pd.read_csv(HERE / "sbnn.csv")
    table = table[(table["part"] == "network") & (table["setting"] == "paper") & (table["metric"] == "r2")]
    row, mean = table.set_index("method").loc["sbnn-64"], table.set_index("method")["mean"]
    return (
        "- **Few genes say much.** In Patch-seq neurons of the mouse motor cortex, 25 genes predict electrophysiology with a "
        f"cross-validated R2 of {row['mean']:.2f} (two-unit bottleneck {mean['sbnn-2']:.2f}, a linear model of 25 genes and two "
        f"components {mean['srrr-2']:.2f}, ridge regression on all genes {mean['ridge']:.2f}; {int(row['runs'])} seeds, "
        "`benchmarks/sbnn.csv`)."
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


STREAMED = {
    "trajectories": "`pp.trajectories`, 20 bins",
    "filter": "`pp.filter_perturbations(copy=True)`",
    "matching": "`tl.fit_perturbode`, regression",
    "transport": '`tl.fit_perturbode(fit="transport")`, 500 steps',
}
FITS = {
    (
        11165,
        "modules",
    ): "11,165 genes, 300 hidden units, DASH: 90 % at epoch 10, then 10 % of the rest every 20, 300 epochs",
    (11165, "matching"): "11,165 genes by regression with 1,600 regulators, then trained on its edges",
    (2000, "modules"): "2,000 genes, 100 hidden units, the same schedule",
    (2000, "matching"): "2,000 genes by regression with 400 regulators, then trained on its edges",
}


def streaming() -> str:
    """Return what a million cells take, from files and from chunks of dask."""
    table = pd.read_csv(HERE / "streaming.csv")
    table = table[table["cells"] == 1_000_000].set_index(["step", "X"])
    lines = [
        "| 1,000,000 cells, 2,000 genes | backed: CPU s | peak GB | dask: CPU s | peak GB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for step, text in STREAMED.items():
        rows = [table.loc[(step, kind)] for kind in ("backed", "dask")]
        lines.append(_row(text, *(cell for row in rows for cell in (_short(row["cpu_s"]), f"{row['peak_gb']:.2f}"))))
    return "\n".join(lines)


def whole_fits() -> str:
    """Return what whole fits of thousands of genes take."""
    table = pd.read_csv(HERE / "speed_fits.csv").set_index(["genes", "way"])
    lines = ["| | wall s | peak GB |", "| --- | --- | --- |"]
    for row, text in FITS.items():
        lines.append(_row(text, f"{table.loc[row, 'wall_s']:.0f}", f"{table.loc[row, 'peak_gb']:.2f}"))
    return "\n".join(lines)


def epochs() -> str:
    """Return sentences on an epoch of training."""
    table = pd.read_csv(HERE / "speed.csv").set_index("genes")
    small, others = table.loc[350], table.drop(index=350)["ours / c"]
    return (
        f"An epoch at the size of SIM350 (350 genes, 40 hidden units, 560 pairs) takes {small['ours, dense']:.2f} CPU seconds, "
        f"where one pair at a time with the adjoint at tolerances of 1e-7 and 1e-9 takes {small['a / ours']:.0f} times as long, "
        f"and {small['ours / c']:.2f} times what its matrix products take alone ({others.min():.2f} to {others.max():.2f} times "
        "at 690, 2,000 and 11,165 genes)."
    )


def calls() -> str:
    """Return what calls around the fit take, beside a reference that was measured in the same process."""
    table = pd.read_csv(HERE / "speed_calls.csv")
    lines = ["| | CPU s | goal | reference | times the reference | peak GB |", "| --- | --- | --- | --- | --- | --- |"]
    for row in table.to_dict("records"):
        reference = f"{row['reference']}, {_short(row['reference_s'])} s"
        goals = {"goal_s": "{:.3g} s", "goal_ratio": "{:.2g} times", "goal_mb": "{:.0f} MB"}
        goal = ", ".join(text.format(row[name]) for name, text in goals.items() if pd.notna(row[name]))
        peak = f"{row['peak_mb'] / 1024:.2f}"
        peak += "" if pd.isna(row["added_mb"]) else f" (+ {row['added_mb']:.0f} MB)"
        lines.append(_row(row["call"], _short(row["cpu_s"]), goal, reference, f"{row['ratio']:.3g}", peak))
    return "\n".join(lines)


def default_fits() -> str:
    """Return what default fits take, beside the same fits before issue 20."""
    titles = ["CPU s", "steps of training", "ms a step", "peak GB"]
    lines = [_row("default fit with null models", *(f"{title}, before -> now" for title in titles))]
    lines.append(_row(*["---"] * 5))
    for row in pd.read_csv(HERE / "speed_default_fits.csv").to_dict("records"):
        pairs = [(row[f"before_{name}"], row[name]) for name in ("cpu_s", "steps", "step_ms", "peak_mb")]
        texts = ["{:.0f}", "{:,.0f}", "{:.1f}", "{:.2f}"]
        cells = [
            " -> ".join("not measured" if pd.isna(one) or one == 0 else text.format(one) for one in pair)
            for text, pair in zip(texts, [*pairs[:3], tuple(one / 1024 for one in pairs[3])], strict=True)
        ]
        lines.append(_row(row["fit"], *cells))
    return "\n".join(lines)


def default_profile() -> str:
    """Return which part of a default fit takes which share of its time, now and before issue 20."""
    table = pd.read_csv(HERE / "speed_default_profile.csv")
    table["column"] = table["fit"].str.split(",").str[0] + table["checkout"].map({"now": "", "before": ", before"})
    cells = table.pivot_table(index=["stage", "part"], columns="column", values="share", sort=False)
    lines = [_row("stage", "part", *cells.columns), _row(*["---"] * (2 + len(cells.columns)))]
    for (stage, part), row in cells.iterrows():
        lines.append(_row(stage, part, *("" if pd.isna(value) else f"{100 * value:.0f} %" for value in row)))
    return "\n".join(lines)


def agreement() -> str:
    """Return how far the networks of fits agree that differ in their seed alone."""
    table = pd.read_csv(HERE / "trajectories" / "agreement.csv")
    lines = ["| cells | edges in both networks, of those in either | correlation of effects |", "| --- | --- | --- |"]
    lines += [_row(row.set, f"{row.edges_in_both:.2f}", f"{row.correlation:.2f}") for row in table.itertuples()]
    return "\n".join(lines)


def _short(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 20 else f"{seconds:.2g}"


PARTS: dict[str, Callable[[], str]] = {
    "network": network,
    "screens": screens,
    "paired": paired,
    "sim350": sim350,
    "sim350_floor": sim350_floor,
    "streaming": streaming,
    "whole_fits": whole_fits,
    "epochs": epochs,
    "calls": calls,
    "default_fits": default_fits,
    "default_profile": default_profile,
    "agreement": agreement,
}
PAGES: dict[Path, tuple[str, ...]] = {
    README: ("network", "screens", "paired", "sim350", "sim350_floor"),
    SCALE: ("streaming", "whole_fits", "epochs", "calls", "default_fits", "default_profile"),
    LIMITS: ("agreement",),
}


def filled(text: str) -> str:
    """Return a page with every marked part made anew."""
    for name, make in PARTS.items():
        if f"<!-- {name}: made by" not in text:
            continue
        pattern = re.compile(rf"(<!-- {name}: made by [^>]*-->\n).*?(\n<!-- {name} end -->)", flags=re.DOTALL)
        made = make()
        text = pattern.sub(lambda found, made=made: found[1] + made + found[2], text)
    return text


def main() -> None:
    """Fill the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where a page differs")
    check = parser.parse_args().check
    for page in PAGES:
        before = page.read_text()
        after = filled(before)
        if check and after != before:
            raise SystemExit(f"{page.name} differs from the CSV files: run `python -m benchmarks.readme_tables`.")
        if not check:
            page.write_text(after)


if __name__ == "__main__":
    main()
