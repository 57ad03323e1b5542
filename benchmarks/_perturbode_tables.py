"""Tables and figure of the stored rows: every method, and the acceptance of the issue."""

from pathlib import Path
from textwrap import wrap

import numpy as np
import pandas as pd

MATCHING, MEAN, W2 = "equilibrium matching", "transport, mean loss", "transport, W2"
PAIRS = "pairs of single genes, mid"
# (table, data, method, column, goal, whether more is better); CPU seconds of one thread
GOALS = (
    ("networks", "dag", MATCHING, "auprc_signed", 0.57, True),
    ("networks", "mid", MATCHING, "auprc_signed", 0.84, True),
    ("networks", "yeast", MATCHING, "auprc_signed", 0.58, True),
    ("networks", "dag", MATCHING, "cpu_s", 15.0, False),
    ("networks", "yeast", MATCHING, "cpu_s", 90.0, False),
    ("networks", "mid", MEAN, "auprc_signed", 0.35, True),
    ("networks", "mid", MEAN, "cpu_s", 180.0, False),
    ("networks", "mid", MEAN, "loss_ratio", 1.0, False),
    ("networks", "mid", W2, "loss_ratio", 1.0, False),
    ("held_out", "dag", MATCHING, "wr2", 0.6, True),
    ("held_out", "mid", MATCHING, "wr2", 0.8, True),
    ("held_out", "yeast", MATCHING, "wr2", 0.0, True),
    ("combinations", PAIRS, MATCHING, "wr2", 0.0, True),
    ("memory", "1000 x 100 x 800", "transport", "peak_gb", 6.0, False),
    ("memory", "1000 x 100 x 800", "equilibrium", "peak_gb", 6.0, False),
)
SHOWN = {
    "networks": ["auprc_signed", "auprc_absolute", "auprc_sign_aware", "cpu_s"],
    "paper": ["auprc", "recall", "precision", "f1", "f1_paper", "p", "edges", "cpu_s"],
    "held_out": ["wr2", "pearson_of_changes", "w2"],
    "combinations": ["wr2", "pearson_of_changes", "w2"],
    "memory": ["cpu_s", "seconds_per_epoch", "peak_gb"],
}


def stored(out: Path, table: str) -> pd.DataFrame:
    """Return the rows written so far."""
    path = out / f"{table}.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["data", "method", *SHOWN[table]])


def goal_table(out: Path) -> pd.DataFrame:
    """Return every goal with the mean, the spread and the number of runs; without a run it is not judged."""
    rows = []
    for table, data, method, column, goal, more in GOALS:
        found = stored(out, table)
        values = found.loc[(found["data"] == data) & (found["method"] == method)].get(column, pd.Series(dtype=float))
        values = values.dropna().astype(float)
        mean, sd = float(values.mean()), float(values.std(ddof=0))
        met = "not run" if not len(values) else "yes" if (mean >= goal if more else mean <= goal) else "NO"
        sign = ">=" if more else "<="
        rows.append((table, data, method, column, f"{sign} {goal:g}", mean, sd, len(values), met))
    return pd.DataFrame(rows, columns=["table", "data", "method", "column", "goal", "mean", "sd", "runs", "met"])


def summary(out: Path, table: str) -> pd.DataFrame:
    """Return the mean and SD over runs of every method, best first within each screen; "one run" where there is no spread."""
    found = stored(out, table)
    groups = found.groupby(["data", "method"], sort=False)
    columns = SHOWN[table]
    mean, sd = groups[columns].mean(), groups[columns].std(ddof=1)
    text = pd.DataFrame({c: [_cell(m, s) for m, s in zip(mean[c], sd[c], strict=True)] for c in columns}, mean.index)
    text["runs"] = groups.size()
    best = mean[columns[0]]
    return text.loc[best.sort_values(ascending=False).sort_index(level=0, sort_remaining=False, kind="stable").index]


def _cell(mean: float, sd: float) -> str:
    if np.isnan(mean):
        return "-"
    return f"{mean:.3f} (one run)" if np.isnan(sd) else f"{mean:.3f} ({sd:.3f})"


def figure(out: Path) -> None:
    """Draw signed AUPRC and held-out wR2 of every method; dots are runs, the dashed line is the goal."""
    from matplotlib.figure import Figure

    plots = [("networks", "auprc_signed", "signed AUPRC"), ("held_out", "wr2", "held-out wR2 (cut at -1)")]
    drawn = Figure(figsize=(14, 9), layout="constrained")
    axes = drawn.subplots(2, 3, squeeze=False, height_ratios=(2, 1))
    for i, (table, column, label) in enumerate(plots):
        found = stored(out, table)
        for ax, name in zip(axes[i], ("dag", "mid", "yeast"), strict=True):
            part = found[found["data"] == name]
            mean = part.groupby("method")[column].mean().sort_values(ascending=False)
            for j, method in enumerate(mean.index):
                values = part.loc[part["method"] == method, column].clip(lower=-1)
                ax.plot(values, np.full(len(values), j), "o", color="C1" if method == MATCHING else "C0", alpha=0.6)
            ax.set_yticks(range(len(mean)), ["\n".join(wrap(m, 36)) for m in mean.index], fontsize=7)
            ax.invert_yaxis()
            ax.grid(axis="x", alpha=0.3)
            ax.set_title(name)
            ax.set_xlabel(label)
            goal = next(g[4] for g in GOALS if g[:3] == (table, name, MATCHING) and g[3] == column)
            ax.axvline(goal, linestyle="--", color="grey")
    drawn.savefig(out / "perturbode.png", dpi=120)
