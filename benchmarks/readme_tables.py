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


PARTS: dict[str, Callable[[], str]] = {"sim350": sim350, "sim350_floor": sim350_floor}


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
