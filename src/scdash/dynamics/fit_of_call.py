"""From the arguments of a call and AnnData to a fit: what `scdash.tl.fit_dynamics` writes, and what refits count."""

from dataclasses import dataclass, replace

from anndata import AnnData

from scdash.dynamics.arguments import Asked, warn_unused
from scdash.dynamics.call import FitCall
from scdash.dynamics.fit import fit_series
from scdash.dynamics.inputs import DynamicsInputs
from scdash.dynamics.lambda_choice import choose_lambdas
from scdash.dynamics.options import FitOptions
from scdash.dynamics.result import DynamicsFit


@dataclass(frozen=True)
class FitOfCall:
    """A fit with the data and the options behind it."""

    fit: DynamicsFit
    inputs: DynamicsInputs
    options: FitOptions


def fit_of_call(adata: AnnData, call: FitCall, asked: Asked, seed: int) -> FitOfCall:
    """Return the fit that a call asks for; `adata` is read and not changed."""
    options = call.options(asked, seed)
    inputs = call.read(adata, asked, options)
    options = replace(options, cells=inputs.cells)
    warn_unused(options, asked)
    if asked.cross_validated:
        options = choose_lambdas(inputs.problem, options)
    return FitOfCall(fit_series(inputs.problem, options), inputs, options)
