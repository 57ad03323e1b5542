"""What a choice of lambda costs and gains."""

from typing import Any, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter
from mudata import MuData

from scdash._core.drawing import PALETTE
from scdash._core.errors import NotFittedError
from scdash.metrics.edge_lists import is_anndata
from scdash.pl.shared.options import FigureOptions, drawing
from scdash.pl.shared.points import color_bar
from scdash.pl.shared.read import columns
from scdash.pl.shared.style import FAINT, INK, MUTED, Drawn, finish, house, panels

FAINTER = 0.35
PATH_RULE = "chosen: largest within one\nstandard error of the lowest\nvalidation loss"
RULE = "chosen: lowest mean validation loss"
_LOSSES = {"train_loss": ("training", PALETTE[0]), "validation_loss": ("validation", PALETTE[1])}
_GENES = {"n_genes": ("selected genes", PALETTE[2])}
_SHARES = {
    "weight_sparsity": ("weights", PALETTE[2]),
    "feature_sparsity": ("features", PALETTE[3]),
    "spurious_sparsity": ("spurious features", PALETTE[4]),
}


@drawing
def sparsity_path(
    data: AnnData | MuData | pd.DataFrame,
    *,
    key: str = "sparsity_path",
    chosen: float | None = None,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw loss (above) and sparsity (below) against lambda.

    Parameters
    ----------
    data
        AnnData or MuData that ``scdash.tl.sparsity_path`` has written to, or its table: columns ``lambda``, ``train_loss``,
        ``validation_loss``, ``weight_sparsity``, ``feature_sparsity``, ``spurious_sparsity`` (fractions) or, of paired
        modalities, ``n_genes``; lambda is required, and a loss or a sparsity. Several rows of one lambda become their mean,
        with a band of one standard deviation. Losses of paired modalities are 1 - R2: 1 is the training mean, drawn as a line.
    key
        The ``key_added`` of that path.
    chosen
        The lambda that was chosen, marked by a line; default the one that the column ``chosen`` flags.

    See Also
    --------
    scdash.tl.sparsity_path : Fit a model at every strength lambda of a penalty, and show what sparsity costs in held-out error.

    Examples
    --------
    >>> scdash.tl.sparsity_path(adata, "mlp", sparsity="pathreg")  # doctest: +SKIP
    >>> scdash.pl.sparsity_path(adata)  # doctest: +SKIP
    """
    table = columns(_path_of(data, key), ["lambda"])
    rule = "chosen"
    if chosen is None and "chosen" in table and table["chosen"].astype(bool).any():
        rule = PATH_RULE
        chosen = float(table.loc[table["chosen"].astype(bool), "lambda"].iloc[0])
    if not any(name in table for name in (*_LOSSES, *_SHARES, *_GENES)):
        raise ValueError(f"table has none of the columns {[*_LOSSES, *_SHARES, *_GENES]}.")
    paired = "n_genes" in table
    with house():
        figure, (loss, fraction) = panels(2, page, ncols=1, size=(5.2, 2.3), sharex=True)
        _draw_curves(loss, table, _LOSSES, 1.0)
        _draw_curves(fraction, table, _GENES if paired else _SHARES, 1.0 if paired else 100.0)
        _log_axis(loss, fraction, table["lambda"].to_numpy(dtype=float))
        if paired:
            loss.axhline(1.0, color=MUTED, lw=1, ls="--", label="training mean", zorder=0)
            loss.set(ylabel="1 - $R^2$")
            fraction.set(ylabel="genes", xlabel=r"$\lambda$")
            fraction.set_ylim(bottom=0)
        else:
            loss.set(yscale="log", ylabel="loss")
            fraction.set(ylim=(-3, 103), ylabel="zero (%)", xlabel=r"$\lambda$")
        for panel in (loss, fraction):
            if chosen is not None:
                panel.axvline(chosen, color=INK, lw=1, ls=":", label=rule if panel is loss else None, zorder=1)
            if panel.get_legend_handles_labels()[0]:
                panel.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
        if page.get("ax") is None:
            figure.align_ylabels()
    return finish(figure, [loss, fraction], "sparsity_path", page)


def _path_of(data: AnnData | MuData | pd.DataFrame, key: str) -> object:
    name = "mdata" if hasattr(data, "mod") and not isinstance(data, pd.DataFrame) else "adata"
    if isinstance(data, pd.DataFrame) or not (name == "mdata" or is_anndata(data)):
        return data
    if not isinstance(data.uns.get(key), pd.DataFrame):
        raise NotFittedError(
            f"No path under {name}.uns[{key!r}]. Run `scdash.tl.sparsity_path({name}, key_added={key!r})` first."
        )
    return data.uns[key]


def _draw_curves(ax: Axes, table: pd.DataFrame, curves: dict[str, tuple[str, str]], factor: float) -> None:
    for number, (column, (label, color)) in enumerate(curves.items()):
        if column not in table or not table[column].notna().any():
            continue
        by = table.groupby("lambda")[column]
        mean, spread = factor * by.mean(), factor * by.std(ddof=1).fillna(0.0)
        ax.plot(mean.index, mean, color=color, marker="o", ms=4, ls="--" if number else "-", label=label)
        if (spread > 0).any():
            low = (mean - spread).clip(lower=mean.min() * 0.1 if factor == 1 else 0.0)
            ax.fill_between(mean.index, low, mean + spread, color=color, alpha=0.18, lw=0)


def _log_axis(first: Axes, second: Axes, values: np.ndarray[Any, Any]) -> None:
    """Set a logarithmic axis, with a place for zero, where lambda spans a decade or more."""
    positive = values[values > 0]
    if len(positive) and positive.max() > 9.99 * positive.min():
        for ax in (first, second):
            if (values == 0).any():
                ax.set_xscale("symlog", linthresh=positive.min(), linscale=0.5)
            else:
                ax.set_xscale("log")
                steps = (1, 2, 5) if positive.max() < 100 * positive.min() else (1,)
                ax.xaxis.set_major_locator(LogLocator(subs=steps))
                ax.xaxis.set_major_formatter("{x:g}")
                ax.xaxis.set_minor_formatter(NullFormatter())  # its labels would overlap


@drawing
def lambdas(
    table: pd.DataFrame,
    *,
    cmap: str | Colormap = "viridis",
    vmin: float | None = None,
    vmax: float | None = None,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw the cross-validated loss over a grid of lambda1 and lambda2; the chosen pair is framed.

    A gene-wise network has one layer, hence one lambda: means with their standard errors are drawn along it. Settings that
    a budget stopped early are faint, with the epoch at which they had that error: it is not one of a finished training.

    Parameters
    ----------
    table
        Table of ``scdash.tl.cross_validate``: columns ``l1``, ``l2``, ``mean`` and, where present, ``se``, ``chosen``,
        ``finished`` and ``epochs``.
    cmap, vmin, vmax
        Colours of the mean loss (dark is low); of one lambda, limits of the loss.

    See Also
    --------
    scdash.tl.cross_validate : Choose DASH's lambdas, the weights of the prior, by K folds (Hossain, Fischer et al. 2024, B.4).

    Examples
    --------
    >>> import pandas as pd
    >>> grid = pd.DataFrame({"l1": [0.1, 0.9], "l2": [0.5, 0.5], "mean": [0.02, 0.01], "chosen": [False, True]})
    >>> ax = scdash.pl.lambdas(grid)
    """
    table = columns(table, ["l1", "l2", "mean"])
    if len(table) > 1 and (table["l1"] == table["l2"]).all():
        with house():
            figure, (panel,) = panels(1, page, size=(4.4, 2.8))
            _draw_line(panel, table.sort_values("l1"), vmin, vmax)
        return finish(figure, [panel], "lambdas", page)
    mean = table.pivot_table(index="l2", columns="l1", values="mean").sort_index(ascending=False)
    spread = table.pivot_table(index="l2", columns="l1", values="se").reindex_like(mean) if "se" in table else None
    values = mean.to_numpy()
    power = _power(values)  # 1.9 in units of 1e-3 is easier to read than 0.0019
    values, spread = values / 10.0**power, None if spread is None else spread / 10.0**power
    low, high = (None if limit is None else limit / 10.0**power for limit in (vmin, vmax))
    stopped = np.full(values.shape, np.nan)  # epoch, of settings that stopped early
    for row in table[_stopped(table)].itertuples():
        stopped[mean.index.get_loc(row.l2), mean.columns.get_loc(row.l1)] = row.epochs
    span = np.nanmax(values) / np.nanmin(values) if np.nanmin(values) > 0 else 1.0
    norm: Normalize = LogNorm(low, high) if span > 10 else Normalize(low, high)
    with house():
        size = (1.9 + 0.72 * mean.shape[1], 1.3 + 0.5 * mean.shape[0])
        figure, (panel,) = panels(1, page, size=size)
        alpha = np.where(np.isnan(stopped), 1.0, FAINTER)
        image = panel.imshow(np.ma.masked_invalid(values), cmap=cmap, aspect="auto", norm=norm, alpha=alpha)
        panel.set_facecolor(FAINT)
        panel.set_xticks(range(mean.shape[1]), [f"{value:g}" for value in mean.columns])
        panel.set_yticks(range(mean.shape[0]), [f"{value:g}" for value in mean.index])
        panel.set(xlabel=r"$\lambda_1$ (first layer)", ylabel=r"$\lambda_2$ (second layer)")
        panel.tick_params(length=0)
        _write_cells(panel, image, values, None if spread is None else spread.to_numpy(), stopped)
        if not np.isnan(stopped).all():
            panel.set_title("faint: stopped early, error at that epoch", loc="left", fontsize=8, color=MUTED)
        if "chosen" in table:
            chosen = table[table["chosen"].astype(bool)]
            across = mean.columns.get_indexer(pd.Index(chosen["l1"]))
            down = mean.index.get_indexer(pd.Index(chosen["l2"]))
            for x, y in zip(across, down, strict=True):
                panel.add_patch(_frame((x - 0.5, y - 0.5)))
        label = "validation loss" + (rf" ($10^{{{power}}}$)" if power else "")
        color_bar(image, panel, label, shrink=0.8, aspect=20, pad=0.03)
        if "chosen" in table and table["chosen"].astype(bool).any():
            framed = Patch(fc="none", ec=PALETTE[5], lw=2, label=RULE)
            own = page.get("ax") is None
            (figure if own else panel).legend(handles=[framed], loc="outside lower left" if own else "upper left")
    return finish(figure, [panel], "lambdas", page)


def _draw_line(ax: Axes, table: pd.DataFrame, vmin: float | None, vmax: float | None) -> None:
    power = _power(table["mean"].to_numpy())
    lam, mean = (table[name].to_numpy(dtype=float) for name in ("l1", "mean"))
    mean = mean / 10.0**power
    error = table["se"].to_numpy() / 10.0**power if "se" in table else np.full(len(table), np.nan)
    stopped = _stopped(table)
    look: dict[str, Any] = {"color": PALETTE[0], "marker": "o", "markersize": 4, "capsize": 2, "elinewidth": 1}
    ax.errorbar(lam[~stopped], mean[~stopped], yerr=error[~stopped], **look)
    if stopped.any():
        faint: dict[str, Any] = look | {"alpha": FAINTER, "linestyle": "none", "markerfacecolor": "white"}
        ax.errorbar(lam[stopped], mean[stopped], yerr=error[stopped], label="stopped early, at epoch", **faint)
        for x, y, epoch in zip(lam[stopped], mean[stopped], table["epochs"][stopped], strict=True):
            place: dict[str, Any] = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
            ax.annotate(f"{epoch:g}", (x, y), fontsize=7, color=MUTED, **place)
        ax.legend()
    if "chosen" in table and table["chosen"].astype(bool).any():
        at = table["chosen"].astype(bool).to_numpy()
        style: dict[str, Any] = {"s": 90, "facecolors": "none", "edgecolors": PALETTE[5], "linewidths": 2, "zorder": 3}
        ax.scatter(lam[at], mean[at], label=RULE, gid="chosen", **style)
        ax.legend()
    low, high = (None if limit is None else limit / 10.0**power for limit in (vmin, vmax))
    ax.set(xlabel=r"$\lambda$ (0: weights alone, 1: prior alone)", ylim=(low, high))
    ax.set_ylabel("validation loss" + (rf" ($10^{{{power}}}$)" if power else ""))


def _stopped(table: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Return which settings did not train to the end; none where the table does not say."""
    if "finished" not in table or "epochs" not in table:
        return np.zeros(len(table), bool)
    stopped: np.ndarray[Any, Any] = ~table["finished"].to_numpy(dtype=bool)
    return stopped


def _power(values: np.ndarray[Any, Any]) -> int:
    """Return the power of ten to take out of all values, 0 where they read well as they are."""
    typical = float(np.nanmedian(np.abs(values)))
    power = int(np.floor(np.log10(typical))) if typical > 0 else 0
    return power if abs(power) > 1 else 0


def _frame(corner: tuple[float, float]) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, 1, 1, fill=False, ec=PALETTE[5], lw=2.5, zorder=3, gid="chosen")


def _write_cells(ax: Axes, image: Any, values: Any, spread: Any, stopped: Any) -> None:
    for (row, column), value in np.ndenumerate(values):
        if not np.isfinite(value):
            continue
        red, green, blue, _ = image.cmap(image.norm(value))
        early = np.isfinite(stopped[row, column])
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 and not early
        text = f"{value:.3g}"
        if early:
            text += f"\nepoch {stopped[row, column]:g}"
        elif spread is not None and np.isfinite(spread[row, column]):
            text += f"\n± {spread[row, column]:.1g}"
        ax.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if dark else INK)
