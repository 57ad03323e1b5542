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
PAGES = (HERE.parent / "README.md",)
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
    table = table[table["screen"].str.contains("size 100")]
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


PARTS: dict[str, Callable[[], str]] = {
    "network": network,
    "screens": screens,
    "paired": paired,
    "sim350": sim350,
    "sim350_floor": sim350_floor,
}


def filled(text: str) -> str:
    """Return a page with every marked part made anew."""
    for name, make in PARTS.items():
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
