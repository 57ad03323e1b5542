"""The figure of the table: course R2, the other half beside the smoother, edges kept, and errors beside the best null model."""

from pathlib import Path

import numpy as np
import pandas as pd

OURS, OTHER, PALE = "#0072B2", "#D55E00", "#BBBBBB"


def draw(runs: pd.DataFrame, path: Path) -> None:
    """Draw every run as a point; a set is a row of all four panels."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(runs["set"]))
    place = runs["set"].map({name: k for k, name in enumerate(names)}).to_numpy(dtype=float)
    figure, axes = plt.subplots(1, 4, figsize=(12, 1.2 + 0.36 * len(names)), sharey=True, layout="constrained")
    panels = (
        ("R2 of the mean trajectory", (("course_r2", OURS, "model", "o"),)),
        ("R2 on the other half of the cells", (("other_half", OURS, "model", "o"), ("smoother", OTHER, "smoothed half", "|"))),
        ("edges", (("edges", OURS, "kept", "o"), ("edges_of_all", OTHER, "before pruning", "|"))),
        (
            "held-out error / constant",
            (
                ("error", OURS, "model", "o"),
                ("error_best_null", OTHER, "best null model", "|"),
                ("error_mean_trajectory", PALE, "mean trajectory", "D"),
            ),
        ),
    )  # fmt: skip
    for ax, (title, series) in zip(axes, panels, strict=True):
        for column, color, label, marker in series:
            ax.plot(
                runs[column],
                place,
                marker,
                color=color,
                label=label,
                ms=5 if marker != "|" else 11,
                mew=1.8 if marker == "|" else 0,
            )
        ax.set_title(title, fontsize=9)
        ax.tick_params(labelsize=8)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", color="#EEEEEE", lw=0.8)
        ax.set_axisbelow(True)
        if len(series) > 1:
            ax.legend(
                frameon=False,
                fontsize=7,
                loc="upper center",
                bbox_to_anchor=(0.5, -0.12),
                ncols=len(series),
                handletextpad=0.2,
            )
    axes[0].set_yticks(np.arange(len(names)), names, fontsize=8)
    axes[0].invert_yaxis()
    axes[0].axvline(0.9, color="black", lw=0.8, ls="--")
    axes[0].set_xlim(min(0.8, runs["course_r2"].min() - 0.02), 1)
    axes[2].set_xscale("log")
    axes[3].set_xlim(left=0)
    figure.savefig(path, dpi=150)
    plt.close(figure)
