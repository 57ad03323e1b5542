"""A two-dimensional embedding of a latent space with many dimensions."""

import numpy as np
from mudata import MuData

from scdash._core.errors import NotFittedError
from scdash._core.logging import step
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, seed_of
from scdash._data import writable


@guarded
def latent_tsne(
    mdata: MuData,
    *,
    key: str = "sbnn",
    perplexity: float = 30.0,
    rng: RNG = 0,
    n_jobs: int = 1,
    copy: bool = False,
) -> MuData | None:
    """Embed the latent space of a fit in two dimensions by t-SNE, for `scdash.pl.sbnn`.

    openTSNE with its defaults, as in the paper's Figure 5b; needs the extra `tsne`.

    Parameters
    ----------
    mdata
        MuData that `scdash.tl.sbnn` has written to.
    key
        The `key_added` of the fit.
    perplexity
        Effective number of neighbours; lowered to a third of the cells where there are few.
    rng
        Seed or Generator.
    n_jobs
        Threads of openTSNE.
    copy
        Return a copy with the result instead of writing to `mdata`.

    Returns
    -------
    MuData or None
        None, or the copy. Written: `mdata.obsm["X_sbnn_tsne"]`, float32, (cells, 2), NaN for cells without a latent position.

    See Also
    --------
    scdash.tl.sbnn : Predict one modality from a few genes of the other through a bottleneck (Bernaerts, Berens & Kobak 2023).
    scdash.pl.sbnn : Draw the latent space with what the network predicts over it (Bernaerts, Berens & Kobak, Figure 5).

    Examples
    --------
    >>> scdash.tl.sbnn(mdata, n_latent=64)  # doctest: +SKIP
    >>> scdash.tl.latent_tsne(mdata)  # doctest: +SKIP
    """
    if f"X_{key}" not in getattr(mdata, "obsm", {}):
        raise NotFittedError(f"No mdata.obsm['X_{key}']. Run `scdash.tl.sbnn(mdata, key_added={key!r})` first.")
    try:
        from openTSNE import TSNE
    except ImportError as error:
        raise ImportError("latent_tsne needs openTSNE: pip install 'scdash[tsne]'.") from error

    with step("t-SNE of the latent space") as added:
        latent = np.asarray(mdata.obsm[f"X_{key}"], dtype=np.float64)
        known = np.isfinite(latent).all(axis=1)
        if known.sum() < 10:
            raise ValueError(f"Only {int(known.sum())} cells have a latent position; t-SNE needs at least 10.")
        perplexity = min(perplexity, (int(known.sum()) - 1) / 3)
        points = np.full((len(latent), 2), np.nan, dtype=np.float32)
        points[known] = TSNE(perplexity=perplexity, random_state=seed_of(rng), n_jobs=n_jobs).fit(latent[known])
        mdata = writable(mdata, copy=copy)
        mdata.obsm[f"X_{key}_tsne"] = points
        added.append(f"added obsm['X_{key}_tsne']")
    return mdata if copy else None
