"""SERGIO with interventions: a chemical-Langevin simulation of a screen on a known network, as AnnData."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scdash._core.errors import check_choice
from scdash._core.network import Network
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, as_generator
from scdash._data.screen import KINDS, Screen, parse_screen
from scdash.simulate._sergio_kinetics import Kinetics, draw_kinetics, read_network, steady_state

BLOCK = 4_000_000  # numbers held per block of cells: bounds memory, not the result of a given seed


@guarded
def sergio(
    network: pd.DataFrame | None = None,
    *,
    genes: Sequence[str] | int = 100,
    n_edges: int | None = None,
    repressors: float = 0.0,
    perturbations: Iterable[str] | None = None,
    n_perturbations: int = 100,
    n_targets: int = 5,
    kind: str | Mapping[str, str] = "overexpression",
    knockdown: float = 0.7,
    cells_per_perturbation: int = 100,
    half_response: Literal["mean", "mid"] = "mean",
    kinetics: pd.DataFrame | None = None,
    total_time: float = 2.0,
    n_steps: int = 50,
    mask_decay: bool = True,
    rng: RNG = 0,
) -> AnnData:
    r"""Simulate a perturbation screen with SERGIO's model of transcription.

    .. math:: dX = [M (P(X) - \lambda X) + \sum_{j \in I} \gamma_j e_j] dt
              + q \sqrt{P(X)} dW_\alpha + q \sqrt{\lambda X} dW_\beta, \qquad
              P_j = \sum_i K_{ji} H_i + b_j

    with H = X / (h + X) for activators and 1 - X / (h + X) for repressors (Dibaeinia & Sinha 2020, with the
    interventions of Lin et al., appendix A.11). Euler-Maruyama, clipped at zero, started at the expected fixed point
    with the intervention but without its mask (Eq. 15, 16). The two noise terms are drawn as one of the same law.

    Parameters
    ----------
    network
        Edges with columns `source`, `target` and optionally `weight` (K; negative: a repressor of strength ``|K|``).
        Without weights K ~ U(0, 5). None draws a random acyclic network of `n_edges`.
    genes
        Names of all genes, or how many to name `G000`, `G001`, ... when `network` is None. With a network, a number
        is ignored and the genes are those of the edges.
    n_edges
        Edges of the random network; by default five a gene, at most half of the possible ones.
    repressors
        Fraction of edges made repressing where `weight` is not given.
    perturbations, n_perturbations, n_targets
        Labels such as `"G001"` or `"G001+G004"`; None draws `n_perturbations` sets of `n_targets` genes. Cells without an
        intervention (`"control"`) are always added.
    kind
        What a perturbation does to its targets, one name for all or a mapping from label or gene:
        `"overexpression"` (perfect: production, and with `mask_decay` decay too, are replaced by the rate gamma),
        `"shift"` (imperfect: gamma is added), `"knockout"` (no production, started at zero),
        `"knockdown"` (production times 1 - `knockdown`).
    knockdown
        Fraction of production that a knockdown removes.
    cells_per_perturbation
        Cells of each perturbation and of the control.
    half_response
        `"mean"`: h = mean(b / q) for all regulators, as the paper prints it; `"mid"`: the mean of each regulator in
        the control, SERGIO's own rule, which gives clearer effects.
    kinetics
        Columns `decay`, `noise_amplitude`, `basal_production`, `intervention_strength`, `half_response` indexed by
        gene, e.g. `.var` of an earlier simulation; None draws them from the paper's distributions.
    total_time, n_steps
        Length of the simulation and number of steps. The paper's "dt = 2 in 50 steps" is read as total time 2:
        with a decay near 0.8 a step of 2 is unstable.
    mask_decay
        Whether a perfect overexpression removes the decay of its targets too (Eq. 8).
    rng
        Seed or numpy Generator; equal seeds give equal data.

    Returns
    -------
    AnnData
        AnnData with X float32 concentrations (cells, genes); apply `log1p` before modelling.

        - `obs["perturbation"]` categorical, `obs["n_targets"]` int.
        - `var`: the columns of `kinetics` and `master_regulator` (bool).
        - `varp["truth"]`: CSR float32 of signed K, row regulates column; `uns["truth"]`: the same edges as a table.
        - `uns["simulation"]`: the settings.

    See Also
    --------
    scdash.tl.fit_perturbode : Learn a regulatory network from a perturbation screen with the steady states or the ODE of PerturbODE.
    scdash.simulate.grn_dynamics : Simulate trajectories of a random gene-regulatory system whose network is known.

    Examples
    --------
    >>> adata = scdash.simulate.sergio(genes=20, n_perturbations=6, n_targets=1, cells_per_perturbation=10)
    >>> adata.shape
    (70, 20)
    """
    _check(cells_per_perturbation, n_steps, total_time, half_response, knockdown)
    generator = as_generator(rng)
    names, weights = read_network(network, genes, n_edges, repressors, generator)
    parts = draw_kinetics(weights, names, half_response, kinetics, generator)
    labels = _labels(perturbations, names, n_perturbations, n_targets, generator)
    screen = parse_screen(["control", *labels], pd.Index(names), kind=kind)
    number, size = screen.n_perturbations, cells_per_perturbation * len(names)
    states = [
        simulate_cells(
            parts, screen, rows, cells_per_perturbation, total_time, n_steps, knockdown, mask_decay, generator
        )
        for rows in np.array_split(np.arange(number), min(number, max(1, round(number * size / BLOCK))))
    ]
    settings = {
        "half_response": half_response,
        "total_time": total_time,
        "n_steps": n_steps,
        "mask_decay": mask_decay,
        "knockdown": knockdown,
        "kind": kind if isinstance(kind, str) else {str(k): str(v) for k, v in kind.items()},
    }
    adata = AnnData(np.concatenate(states), obs=_obs(screen, cells_per_perturbation), var=parts.table(names))
    _write_truth(adata, weights, names)
    adata.uns["simulation"] = settings
    return adata


def simulate_cells(
    kinetics: Kinetics,
    screen: Screen,
    perturbations: NDArray[np.int64],
    cells: int,
    total_time: float,
    n_steps: int,
    knockdown: float,
    mask_decay: bool,  # noqa: FBT001 (internal)
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return X (perturbations * cells, genes) of some perturbations after Euler-Maruyama steps, vectorised over all cells."""
    where = screen.targets[perturbations].T  # (genes, perturbations)
    kind = np.asarray(screen.kinds)[perturbations]
    driven = where & np.isin(kind, ("shift", "overexpression"))
    production = np.ones(where.shape, np.float32)
    production[where & np.isin(kind, ("overexpression", "knockout"))] = 0
    production[where & (kind == "knockdown")] = 1 - knockdown
    decay = np.ones(where.shape, np.float32)
    if mask_decay:
        decay[where & (kind == "overexpression")] = 0
    added = (driven * kinetics.strength[:, None]).astype(np.float32)
    # A perfect overexpression starts without its mask (Eq. 15, 16); a gene that is shut down starts shut down.
    unmasked = np.where(kind == "overexpression", np.float32(1), production)
    start = steady_state(kinetics, added, unmasked)

    spread = [np.repeat(m, cells, axis=1) for m in (start.astype(np.float32), production, decay, added)]
    x, production, decay, added = spread
    rate, noise = kinetics.decay[:, None].astype(np.float32), kinetics.noise[:, None].astype(np.float32)
    step = np.float32(total_time / n_steps)
    for _ in range(n_steps):
        made, lost = kinetics.production(x), rate * x
        # Eq. 13 leaves the noise of masked genes on; a shut-down promoter makes no production noise.
        variance = np.where(added > 0, made, made * production) + lost
        drift = production * made - decay * lost + added
        x = x + step * drift + noise * np.sqrt(step * variance) * rng.standard_normal(x.shape, dtype=np.float32)
        np.maximum(x, 0, out=x)
    return np.ascontiguousarray(x.T)


def _check(cells: int, n_steps: int, total_time: float, half_response: str, knockdown: float) -> None:
    check_choice("half_response", half_response, ("mean", "mid"))
    if cells < 1 or n_steps < 1 or total_time <= 0:
        raise ValueError(
            f"cells_per_perturbation, n_steps and total_time must be positive, found {cells}, {n_steps}, {total_time}."
        )
    if not 0 <= knockdown <= 1:
        raise ValueError(f"knockdown is the fraction of production removed, between 0 and 1; found {knockdown}.")


def _labels(
    perturbations: Iterable[str] | None,
    names: Sequence[str],
    n_perturbations: int,
    n_targets: int,
    rng: np.random.Generator,
) -> list[str]:
    if perturbations is not None:
        return list(dict.fromkeys(p for p in perturbations if p != "control"))
    if not 1 <= n_targets <= len(names):
        raise ValueError(f"n_targets must lie between 1 and the number of genes, {len(names)}; found {n_targets}.")
    single = rng.permutation(len(names))  # single-gene perturbations do not repeat a gene before all are used
    chosen: list[str] = []
    for i in range(n_perturbations):
        picked = [single[i % len(names)]] if n_targets == 1 else rng.choice(len(names), n_targets, replace=False)
        chosen.append("+".join(names[j] for j in sorted(picked)))
    return list(dict.fromkeys(chosen))


def _obs(screen: Screen, cells: int) -> pd.DataFrame:
    codes = np.repeat(np.arange(screen.n_perturbations), cells)
    index = [f"cell{i:06d}" for i in range(len(codes))]
    return pd.DataFrame(
        {
            "perturbation": pd.Categorical.from_codes(codes.tolist(), categories=pd.Index(screen.names)),
            "n_targets": screen.targets.sum(axis=1)[codes],
        },
        index=index,
    )


def _write_truth(adata: AnnData, weights: sparse.csr_matrix, names: Sequence[str]) -> None:
    truth = Network.from_incoming(weights).outgoing.astype(np.float32)
    adata.varp["truth"] = truth
    source, target = truth.nonzero()
    named = np.asarray(names, dtype=object)
    adata.uns["truth"] = pd.DataFrame({"source": named[source], "target": named[target], "weight": truth.data})


__all__ = ["KINDS", "sergio"]
