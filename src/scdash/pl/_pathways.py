"""Which gene sets stand out, by fit and control (Figures 3 and 7 of the DASH paper)."""

import re
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.errors import check_choice, check_least
from scdash._core.tables import pathway_table
from scdash.metrics.edge_lists import is_anndata
from scdash.pl.shared.labels import cut
from scdash.pl.shared.options import drawing
from scdash.pl.shared.points import color_bar
from scdash.pl.shared.read import columns
from scdash.pl.shared.style import (
    FAINT,
    INK,
    MUTED,
    ColorScale,
    Drawn,
    color_scale,
    finish,
    house,
    panels,
    signed_norm,
)

CORRECTIONS = ("bonferroni", "fdr_bh", "fwer", "p_value")
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
OF_CONTROLS = 3  # sets drawn that a control finds, whether or not a fit does
_PREFIX = re.compile(r"^(HALLMARK|REACTOME|GOBP|GOMF|GOCC|GO|KEGG|WP|BIOCARTA|PID)_")
_SUFFIX = re.compile(r"\s*\((GO:\d+|R-[A-Z]{3}-[\d.]+)\)$")
_SHORT = re.compile(
    r"\b(?:DNA|RNA|mRNA|TP53|RUNX[123]|FOXO|E2F|MYC|TNFA|NFKB|IL\d+|STAT\d|MTORC1|G2M|UV|KRAS|PI3K|AKT|MTOR|WNT|TGF|P53|ATP|GTP)\b",
    re.I,
)


@drawing
def pathways(
    data: AnnData | pd.DataFrame,
    *,
    key: str = "pathways",
    fits: Sequence[str] | None = None,
    n_top: int = 10,
    correction: str = "bonferroni",
    alpha: float = 0.05,
    max_chars: int = 48,
    **scale: Unpack[ColorScale],
) -> Drawn:
    """Draw how far gene sets stand out, z by fit and control, with stars where the corrected p is small.

    z is the sum of a set's influences against random sets of its size. Controls (the prior's out-degrees, correlation
    with time, shuffled priors) stand apart on the right: a set that stands out there too is no finding of the model.
    Colours without a star are chance.

    Parameters
    ----------
    data
        AnnData after `scdash.tl.pathways`, or the table of `scdash.get.pathways`.
    key
        Name of the result.
    fits
        Fits and controls to draw, in this order; None: all.
    n_top
        Sets with the smallest p of every fit that is no control. Below them stand the best sets of each control that
        have a star (3 at most).
    correction
        Column of p-values for the stars: "bonferroni", "fdr_bh", "fwer" or "p_value".
    alpha
        Largest p that gets a star: one up to `alpha`, two up to 0.01, three up to 0.001.
    max_chars
        Longer names are cut in the middle.
    **scale
        Colours of z: `cmap`, `vmin`, `vmax`, `vcenter` (0), as scanpy names them.

    See Also
    --------
    scdash.tl.pathways : Test which gene sets gather influential genes, several fits and controls side by side.
    scdash.get.pathways : Return the table of tested gene sets, by fit, smallest p first.

    Examples
    --------
    >>> ax = scdash.pl.pathways(adata)
    """
    cmap, limits = color_scale(scale)
    table = _table(data, key)
    check_choice("correction", correction, CORRECTIONS)
    value, label = ("z", "z") if "z" in table else ("strength", "-log10 p")
    columns(table, ["fit", "pathway", "p_value", correction], argument="table")
    drawn = _fits(table, fits)
    chosen = _chosen(table, drawn, n_top, table[correction] <= alpha)
    wide = table.pivot(index="pathway", columns="fit", values=value).loc[chosen, drawn]
    p = table.pivot(index="pathway", columns="fit", values=correction).loc[chosen, drawn]
    control = _controls(table, drawn)
    place = _places(control)
    with house():
        size = (3.1 + 0.62 * len(drawn) + 0.045 * max_chars, 1.5 + 0.24 * len(chosen))
        figure, (panel,) = panels(1, scale, size=size)
        norm = signed_norm(wide.to_numpy(), **limits)
        for x, fit in zip(place, drawn, strict=True):
            image = panel.pcolormesh(
                [x - 0.5, x + 0.5], np.arange(len(chosen) + 1) - 0.5, wide[[fit]].to_numpy(), cmap=cmap, norm=norm,
                edgecolors="white", linewidth=1.2,
            )  # fmt: skip
            for y, (number, shade) in enumerate(zip(p[fit], wide[fit], strict=True)):
                panel.text(x, y + 0.08, _stars(number, alpha), ha="center", va="center", fontsize=9, fontweight="bold",
                           color="white" if abs(norm(shade) - 0.5) > 0.33 else INK)  # fmt: skip
        panel.set_facecolor(FAINT)  # of sets that a fit did not test
        for left, right in zip(place[:-1], place[1:], strict=True):
            panel.axvspan(left + 0.5, right - 0.5, color="white", lw=0)
        panel.set(xlim=(place[0] - 0.5, place[-1] + 0.5), ylim=(len(chosen) - 0.5, -0.5))
        panel.set_yticks(range(len(chosen)), [readable(name, max_chars) for name in chosen])
        panel.set_xticks(
            place,
            [fit if len(fit) <= 24 else fit[:23] + "…" for fit in drawn],
            rotation=35,
            ha="right",
            rotation_mode="anchor",
        )
        for tick, apart in zip(panel.get_xticklabels(), control, strict=True):
            tick.set_color(MUTED if apart else INK)
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
        bar = color_bar(image, panel, None, shrink=min(1.0, 5 / max(len(chosen), 5)), aspect=14, pad=0.03)
        bar.ax.set_title(label, fontsize=8, loc="left")  # beside the bar it would not fit beside few sets
        panel.set_title(_key_to_stars(correction, alpha, p.to_numpy()), loc="left", fontsize=8, color=MUTED)
    return finish(figure, [panel], "pathways", scale)


_NAMES = {"bonferroni": "p after Bonferroni", "fdr_bh": "false discovery rate", "fwer": "family-wise p (joint)", "p_value": "p, not corrected"}  # fmt: skip


def _controls(table: pd.DataFrame, drawn: Sequence[str]) -> list[bool]:
    """Return which columns are controls."""
    if "control" not in table:
        return [False] * len(drawn)
    return [bool(table.loc[table["fit"] == fit, "control"].iloc[0]) for fit in drawn]


def _places(control: Sequence[bool]) -> NDArray[np.float64]:
    """Return where the columns stand: a gap parts fits from controls."""
    apart = [i > 0 and control[i] != control[i - 1] for i in range(len(control))]
    return np.asarray(np.arange(len(control)) + 0.35 * np.cumsum(apart))


def readable(name: str, width: int = 48) -> str:
    """Turn the name of a set into words: no prefix, no underscores, no shouting, cut in the middle where too long.

    >>> readable("HALLMARK_E2F_TARGETS"), readable("REACTOME_HEME_SIGNALING")
    ('E2F targets', 'Heme signaling')
    """
    text = _SUFFIX.sub("", str(name))
    bare = _PREFIX.sub("", text).replace("_", " ")
    if text.upper() == text and len(bare) > 4:
        bare = _SHORT.sub(lambda found: found.group(0).upper(), bare.lower())
    bare = bare.strip()
    bare = bare[:1].upper() + bare[1:] if bare[:2].islower() else bare
    return cut(bare, width)


def _key_to_stars(correction: str, alpha: float, p: Any) -> str:
    """Say what each number of stars that is drawn means."""
    levels = [(level, stars) for level, stars in reversed(STARS) if level < alpha]
    steps = [
        (alpha, "*"),
        *((level, stars) for level, stars in levels if (p <= min(level, alpha)).any() and stars != "*"),
    ]
    return f"{_NAMES[correction]}:  " + "   ".join(f"{stars} ≤ {level:g}" for level, stars in steps)


def _stars(p: float, alpha: float) -> str:
    if not p <= alpha:  # also NaN
        return ""
    return next((stars for level, stars in STARS if p <= level), "*")


def _table(data: AnnData | pd.DataFrame, key: str) -> pd.DataFrame:
    given = pathway_table(data, key)[0] if is_anndata(data) else data
    table = columns(given, ["fit", "pathway", "p_value"], argument="data").copy()
    table["fit"], table["pathway"] = table["fit"].astype(str), table["pathway"].astype(str)
    table["strength"] = -np.log10(table["p_value"].clip(lower=1e-300))
    return table


def _fits(table: pd.DataFrame, fits: Sequence[str] | None) -> list[str]:
    available = list(pd.unique(table["fit"]))
    for fit in fits or []:
        check_choice("fit", fit, available)
    return available if fits is None else list(fits)


def _chosen(table: pd.DataFrame, drawn: Sequence[str], n_top: int, starred: pd.Series) -> list[str]:
    """Return the best sets of each drawn fit, in the order of the fits, then what controls find and fits may not."""
    check_least("n_top", n_top, 1)
    own = [fit for fit in drawn if "control" not in table or not table.loc[table["fit"] == fit, "control"].iloc[0]]
    found: list[str] = []
    for fit in own or drawn:
        part = table[table["fit"] == fit].sort_values("p_value", kind="stable")
        found += [name for name in part["pathway"].head(n_top) if name not in found]
    for control in [fit for fit in drawn if own and fit not in own]:
        part = table[(table["fit"] == control) & starred].sort_values("p_value", kind="stable")
        found += [name for name in part["pathway"].head(min(n_top, OF_CONTROLS)) if name not in found]
    return found
