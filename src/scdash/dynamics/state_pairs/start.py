"""Where training starts: random weights, or the networks found by the regression."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from scdash.dynamics.options import FitOptions
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.whole_trajectories.fit import LISTED
from scdash.fields import FIELDS, Params, Phoenix, SparsePhoenix, VectorField
from scdash.models import MODELS
from scdash.regression import TransitionFit

MOST = 64_000_000  # pairs of genes above which a gene-wise network cannot start from random weights


def make_field(problem: FitProblem, options: FitOptions, matched: Sequence[TransitionFit]) -> VectorField:
    """Return the vector field; products found by the regression become pairs of the gene-wise PHOENIX."""
    n = problem.n_genes
    if isinstance(options.form, VectorField):
        return options.form.of_genes(n)
    if options.model == "phoenix" and options.encoder == "genes":
        if n * n > LISTED and matched:
            if any(fit.products is not None for fit in matched):
                raise ValueError(f"Products of regulators are for at most {int(LISTED**0.5)} genes, found {n}.")
            support = sp.csr_matrix(sum(abs(fit.effects) for fit in matched)).tocoo()
            edges = np.sort(np.unique(support.row.astype(np.int64) * n + support.col))
            return SparsePhoenix(n, tuple((edges // n).tolist()), tuple((edges % n).tolist()))
        if n * n > MOST:
            raise ValueError(
                f"A gene-wise network of {n} genes with random weights would take {n * n * 4e-9:.1f} GB several times "
                "over. Use start='regression' with `regulators`, or Phoenix(encoder='modules')."
            )
        pairs = {(int(a), int(b)) for fit in matched if fit.products is not None for a, b in fit.products}
        return Phoenix(n, encoder="genes", pairs=tuple(sorted(pairs)))
    if options.model == "phoenix":
        return Phoenix(n, encoder=options.encoder, n_hidden=options.n_hidden)
    if options.model in MODELS:
        return (options.form or MODELS[options.model]()).field(n)
    return FIELDS[options.model](n)  # type: ignore[call-arg]


def random_start(field: VectorField, options: FitOptions) -> Params:
    """Draw the weights of every model from a stream of its own, so that a stack equals its models trained alone."""
    seeds = [np.random.SeedSequence([options.seed, model]).generate_state(1)[0] for model in range(options.n_models)]
    drawn = [field.init(1, torch.Generator().manual_seed(int(seed))) for seed in seeds]
    return {name: torch.cat([params[name] for params in drawn]) for name in drawn[0]}


def matched_start(field: VectorField, options: FitOptions, matched: Sequence[TransitionFit]) -> tuple[Params, Params]:
    """Return weights and masks of the networks found by the regression; masks are their supports."""
    if isinstance(field, SparsePhoenix):
        params = _stack([_edges(field, fit) for fit in matched])
        return params, {"U_sums": params["U_sums"] != 0}
    if not isinstance(field, Phoenix):
        raise ValueError(
            f"start='regression' gives a PHOENIX its weights; model={field.name!r} has none to take. Use start='random'."
        )
    if field.encoder == "genes":
        params = _stack([_genes(field, fit) for fit in matched])
        return params, {name: value != 0 for name, value in params.items() if name.startswith("U_")}
    return _stack([_modules(field, fit, options, k) for k, fit in enumerate(matched)]), {}


def _stack(parts: list[dict[str, np.ndarray]]) -> Params:
    return {name: torch.as_tensor(np.stack([p[name] for p in parts]), dtype=torch.float32) for name in parts[0]}


def _edges(field: SparsePhoenix, fit: TransitionFit) -> dict[str, np.ndarray]:
    values = np.asarray(sp.csr_array(fit.effects)[field.targets, field.regulators]).reshape(1, -1)
    return {"U_sums": values, "bias": fit.bias, "v": fit.rates}


def _genes(field: Phoenix, fit: TransitionFit) -> dict[str, np.ndarray]:
    """The equation of the regression is the gene-wise PHOENIX: its numbers are the weights."""
    weights = {"U_sums": fit.effects.toarray(), "bias": fit.bias, "v": fit.rates}
    if field.pairs:
        found = np.zeros((len(fit.bias), len(field.pairs)))
        if fit.products is not None:
            column = {pair: k for k, pair in enumerate(field.pairs)}
            at = [column[(int(a), int(b))] for a, b in fit.products]
            found[:, at] = fit.product_effects.toarray()
        weights["U_prods"] = found
    return weights


def _modules(field: Phoenix, fit: TransitionFit, options: FitOptions, model: int) -> dict[str, np.ndarray]:
    """Give the additive branch the truncated singular value decomposition of the matched network.

    U_S W_S is the best approximation of rank m; b_S reproduces the regression's constants as well as U_S can. The
    multiplicative branch starts as in the random start, but without any effect (U_P = 0).
    """
    m = min(field.n_hidden, field.n_genes - 1)
    u, s, vt = sp.linalg.svds(fit.effects.astype(np.float64), k=m, random_state=options.seed)
    root = np.sqrt(s)
    own = replace(options, n_models=1, seed=options.seed + model)
    weights = {name: value[0].numpy() for name, value in random_start(field, own).items()}
    for name in ("W_sums", "U_sums", "U_prods", "b_sums"):
        weights[name] = np.zeros_like(weights[name])
    weights["W_sums"][:m], weights["U_sums"][:, :m] = root[:, None] * vt, u * root
    weights["b_sums"] = np.linalg.lstsq(weights["U_sums"], fit.bias, rcond=None)[0].astype(np.float32)
    weights["v"] = fit.rates.astype(np.float32)
    return weights


def restrict(field: VectorField, params: Params, masks: Params, regulators: NDArray[np.int64]) -> Params:
    """Mask the inputs of genes that cannot regulate, in the first layer of every path and in its skip connection."""
    found = field.start_masks(params) | masks
    allowed = torch.zeros(field.n_genes, dtype=torch.bool)
    allowed[torch.as_tensor(regulators)] = True
    for path in field.paths():
        if path.entries is not None:
            name = path.layers[0].parameter
            found[name] = found[name] & allowed[path.entries[1]]
            continue
        inputs = allowed if path.inputs is None else torch.tensor([all(allowed[list(i)]) for i in path.inputs])
        for layer in (path.layers[0], *(() if path.skip is None else (path.skip,))):
            found[layer.parameter] = layer.expand(layer.collapse(found[layer.parameter]) & inputs)
    return found
