"""Paired modalities whose latent space and informative genes are known."""

import numpy as np
import pandas as pd
import scipy.sparse as sp
from mudata import MuData
from numpy.typing import NDArray

from scdash._core.logging import step
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, as_generator
from scdash._data import make_mudata, sanitise


@guarded
def paired(
    n_cells: int = 600,
    n_genes: int = 200,
    n_features: int = 8,
    *,
    n_informative: int = 10,
    n_latent: int = 2,
    n_types: int = 6,
    signal: float = 1.5,
    noise: float = 0.5,
    depth: float = 20_000.0,
    proteins: bool = False,
    shuffled: bool = False,
    rng: RNG = 0,
) -> MuData:
    r"""Simulate cells whose features depend on a latent position that a few genes show.

    Cells of `n_types` types scatter about centres in a latent space z. An informative gene has log expression
    :math:`\mu + s\,\tanh(a^\top z + b)`, a feature is :math:`\tanh(c^\top z + d) + \cos(e^\top z)` scaled to variance
    1 plus noise: neither is linear in the other. The other genes vary as much, but along a second latent space that
    the features do not depend on, so that high variance and co-expression do not give the informative ones away.
    Counts are Poisson. Surface proteins are counted as CITE-seq does: of an antibody with the background
    :math:`\beta` a cell binds :math:`e\,\beta\,(1 + 2^{2 f + 1})`, where f is the feature as above and e the cell's own
    efficiency.

    Parameters
    ----------
    n_cells, n_genes, n_features
        Sizes.
    n_informative
        Genes that depend on z.
    n_latent
        Dimensions of z.
    n_types
        Cell types, the clusters in z.
    signal
        s, the standard deviation of a gene's latent log2 expression (all genes alike).
    noise
        Standard deviation of a feature's noise; the best possible R2 is 1 / (1 + noise^2).
    depth
        Mean counts of a cell; cells vary about it log-normally.
    proteins
        Make the features counts of antibodies, in the modality "prot", in place of "ephys".
    shuffled
        Give every cell the features of another: nothing can be learned.
    rng
        Seed or Generator.

    Returns
    -------
    MuData
        MuData with the same cells in two modalities:
    `mdata["rna"].X` : CSR float32
        (cells, genes), counts
    `.var["informative"]` : bool
    `mdata["ephys"].X` : float32
        (cells, features); with `proteins` `mdata["prot"].X`, CSR counts
    `.layers["clean"]` : float32
        f without noise
    `mdata.obs["cell_type"]` : categorical
    `mdata.obsm["latent_truth"]` : float
        (cells, n_latent), z
    `mdata.uns["simulation"]` : dict
        the parameters and `best_r2`

    See Also
    --------
    scdash.tl.sbnn : Predict one modality from a few genes of the other through a bottleneck (Bernaerts, Berens & Kobak 2023).
    scdash.datasets.patchseq_m1 : Read 1213 neurons of mouse motor cortex: expression of 1000 genes and 16 electrophysiological features.

    Examples
    --------
    >>> import scdash
    >>> mdata = scdash.simulate.paired(n_cells=50, n_genes=20, n_informative=5)
    >>> int(mdata["rna"].var["informative"].sum())
    5
    """
    from anndata import AnnData

    _check(n_cells, n_genes, n_features, n_informative, n_latent, n_types, signal, noise, depth)
    draws = as_generator(rng)
    with step(f"simulating {n_cells} cells in two modalities"):
        kind, z = _latent(n_cells, n_latent, n_types, draws)
        _, other = _latent(n_cells, n_latent, n_types, draws)
        informative = np.zeros(n_genes, dtype=bool)
        informative[draws.choice(n_genes, n_informative, replace=False)] = True
        level = np.empty((n_cells, n_genes))
        level[:, informative] = _curves(z, n_informative, draws)
        level[:, ~informative] = _curves(other, n_genes - n_informative, draws)
        counts = _counts(signal * level + draws.normal(0, 1, n_genes), depth, draws)
        clean = _features(z, n_features, draws)
        values = clean + draws.normal(0, noise, clean.shape)
        if shuffled:
            order = draws.permutation(n_cells)
            values, clean = values[order], clean[order]
        cells = pd.Index([f"cell{i}" for i in range(n_cells)])
        stem, other_name = ("protein", "prot") if proteins else ("feature", "ephys")
        genes, features = ([f"{name}{i}" for i in range(n)] for name, n in (("gene", n_genes), (stem, n_features)))
        rna = AnnData(sp.csr_matrix(counts), obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=genes))
        rna.var["informative"] = informative
        measured = sp.csr_matrix(_antibodies(values, draws)) if proteins else values.astype(np.float32)
        paired_with = AnnData(measured, obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=features))
        paired_with.layers["clean"] = clean.astype(np.float32)
        mdata = make_mudata({"rna": rna, other_name: paired_with})
        mdata.obs["cell_type"] = pd.Categorical(
            [f"type{k}" for k in kind], categories=[f"type{k}" for k in range(n_types)]
        )
        mdata.obsm["latent_truth"] = z
        best = 0.0 if shuffled else 1 / (1 + noise**2)
        settings = {"noise": noise, "signal": signal, "depth": depth, "shuffled": shuffled}
        settings |= {"proteins": proteins} | ({} if proteins else {"best_r2": best})
        mdata.uns["simulation"] = sanitise(settings)
    return mdata


def _latent(
    cells: int, dimensions: int, types: int, draws: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return type and position of every cell; positions have mean 0 and variance 1 in each dimension."""
    kind = draws.integers(0, types, cells)
    z = draws.normal(0, 1, (types, dimensions))[kind] + draws.normal(0, 0.4, (cells, dimensions))
    return kind, _standard(z)


def _curves(z: NDArray[np.float64], number: int, draws: np.random.Generator) -> NDArray[np.float64]:
    """Return saturating functions of z along random directions, each with mean 0 and variance 1."""
    direction = draws.normal(size=(z.shape[1], number))
    direction /= np.linalg.norm(direction, axis=0)
    return _standard(np.tanh(1.5 * z @ direction + draws.normal(0, 0.3, number)))


def _features(z: NDArray[np.float64], number: int, draws: np.random.Generator) -> NDArray[np.float64]:
    """Return smooth, partly non-monotonic functions of z with mean 0 and variance 1."""
    first, second = draws.normal(size=(2, z.shape[1], number))
    return _standard(np.tanh(1.5 * z @ first + draws.normal(0, 0.3, number)) + np.cos(1.5 * z @ second))


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = (values - values.mean(axis=0)) / values.std(axis=0)
    return scaled


def _counts(log2_level: NDArray[np.float64], depth: float, draws: np.random.Generator) -> NDArray[np.float32]:
    """Return Poisson counts of cells whose depth varies log-normally about `depth`."""
    share = 2**log2_level
    share /= share.sum(axis=1, keepdims=True)
    size = depth * draws.lognormal(0, 0.3, len(share))
    return draws.poisson(share * size[:, None]).astype(np.float32)


def _antibodies(values: NDArray[np.float64], draws: np.random.Generator) -> NDArray[np.float32]:
    """Return counts of antibodies: background that every cell binds, and more where the feature is high."""
    background = draws.lognormal(3, 0.7, values.shape[1])
    efficiency = draws.lognormal(0, 0.3, (len(values), 1))
    return draws.poisson(efficiency * background * (1 + 2 ** (2 * values + 1))).astype(np.float32)


def _check(
    n_cells: int,
    n_genes: int,
    n_features: int,
    n_informative: int,
    n_latent: int,
    n_types: int,
    signal: float,
    noise: float,
    depth: float,
) -> None:
    if n_cells < 4 or n_features < 1 or n_latent < 1 or n_types < 1:
        raise ValueError(
            f"n_cells must be at least 4, n_features, n_latent and n_types at least 1; found {n_cells}, {n_features}, "
            f"{n_latent} and {n_types}."
        )
    if not 1 <= n_informative < n_genes:
        raise ValueError(f"n_informative must lie between 1 and n_genes - 1 = {n_genes - 1}, found {n_informative}.")
    if signal < 0 or noise < 0 or depth <= 0:
        raise ValueError(f"signal and noise must not be negative, depth be positive; found {signal}, {noise}, {depth}.")
