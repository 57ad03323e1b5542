"""What the regression of a screen chose from: held-out R2 of every setting along the penalty."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from scdash.pl.shared.style import INK, MUTED, PALETTE, Drawn, finish, house, panels


def draw_settings(
    table: pd.DataFrame,
    *,
    title: str | Sequence[str] | None,
    figsize: tuple[float, float] | None,
    ax: Axes | None,
    show: bool | None,
    save: str | bool | None,
    return_fig: bool,
    name: str,
) -> Drawn:
    """Draw `held_out_r2` against `lam`, one line a setting; zero is the mean of the other perturbations."""
    best = table.loc[[cast("int", table["held_out_r2"].idxmax())]].iloc[0]
    with house():
        figure, axes = panels(1, ax, title=title, figsize=figsize, size=(6.4, 3.2))
        drawn = table.groupby(["trust", "activating", "hubs", "mcp"], sort=False)
        for i, (setting, part) in enumerate(drawn):
            weights = cast("tuple[float, float, float, float]", setting)
            chosen = weights == tuple(best[["trust", "activating", "hubs", "mcp"]])
            axes[0].plot(
                part["lam"], part["held_out_r2"], color=INK if chosen else PALETTE[i % len(PALETTE)], lw=2.4 if chosen else 1.2,
                zorder=3 if chosen else 2, label=_words(*weights) + (" (chosen)" if chosen else ""),
            )  # fmt: skip
        axes[0].plot(best["lam"], best["held_out_r2"], "o", color=INK, ms=5, zorder=4)
        axes[0].axhline(0, color=MUTED, lw=1.1, ls="--", zorder=1)
        low = max(float(table["held_out_r2"].min()), -max(float(best["held_out_r2"]), 0.5))
        axes[0].set_ylim(bottom=low - 0.05)  # dense networks may predict worse than any axis should show
        axes[0].set(xscale="log", xlabel="penalty (sparser to the left)", ylabel="R2 over the mean of the others")
        levels = np.unique(table["lam"])[::-2]
        axes[0].set_xticks(levels, [f"{value:.2g}" for value in levels])
        axes[0].minorticks_off()
        axes[0].invert_xaxis()
        axes[0].legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
    return finish(figure, axes, ax=ax, show=show, return_fig=return_fig, name=name, title=title, save=save)


def _words(trust: float, activating: object, hubs: object, mcp: float) -> str:
    parts = [f"covariation {trust:g}", "activating" if activating else "both signs"]
    return ", ".join(parts + ["hubs"] * bool(hubs) + ["MCP"] * bool(mcp))
