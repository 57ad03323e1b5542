"""The model of perturbation screens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, final

from scdash import fields
from scdash._core.errors import check_choice, check_least, unknown, unused
from scdash._core.values import Value
from scdash._data.screen import KINDS, UNKNOWN_TARGETS
from scdash.models._base import Model
from scdash.training.transport_config import TransportConfig

SOURCES = ("auto", "perturbed", "all")
PRIOR_WEIGHT, FOLDS = 5.0, 5
VALUES = ("log expression", "log fold change")


@final
@dataclass(frozen=True, repr=False)
class Transport(Value, TransportConfig):
    """Settings of PerturbODE's training by transport of control cells, `PerturbODE(fit=Transport(...))`.

    Parameters
    ----------
    loss
        Distance of the transported cells from those of a perturbation: "mean" (of their means) or "w2" (needs geomloss).
    n_modules
        Modules of genes; 0: every gene is a module of its own. None: 0 with DASH and a prior, which says nothing of modules,
        otherwise as many as genes, at most 100.
    l1
        Weight of the sum of absolute weights in the loss.
    steps
        Bound on the number of steps; None: 15,000, or 5,000 where the sparsity method prunes by a schedule.
    cycle
        Steps of the first cosine cycle of the learning rate; each later one is twice as long.
    learning_rate
        Largest step size of Adam.
    perturbations
        Perturbations in a batch.
    cells
        Control cells that are carried to each perturbation; None: 16 for "w2", 2 for "mean".
    duration
        Time for which cells are carried.
    ode_steps
        Steps of solvers with fixed steps.
    solver
        "exponential", "rk4" or a solver of torchdiffeq.
    clip
        Bound on the norm of the gradient.
    learn_strength
        Learn how strongly perturbations act beside the network.
    knockdown
        Fraction of production that a knockdown takes away; None: from the data, gene by gene.
    diffuse
        Noise of diffused targets in standard deviations of the genes; 0: off.
    diffuse_duration
        Time for which diffused targets are carried back.
    check_every
        Steps between validations; such a round is an epoch to a pruning schedule.

    See Also
    --------
    scdash.tl.fit_perturbode : Learn a regulatory network from a perturbation screen with the steady states or the ODE of PerturbODE.

    Examples
    --------
    >>> scdash.models.Transport(steps=2000, n_modules=50)
    Transport(n_modules=50, steps=2000)
    """


@final
@dataclass(frozen=True, repr=False)
class PerturbODE(Model):
    """PerturbODE (Lin et al.) for perturbation screens, `model="perturbode"`; see `scdash.tl.fit_perturbode`.

    Parameters
    ----------
    fit
        "equilibrium": steady states are matched by sparse regression over the perturbations, in seconds. "transport", or
        `Transport(...)` with its settings: control cells are carried through the ODE, as in the paper.
    kind
        `"overexpression"` (perfect), `"shift"` (imperfect overexpression), `"knockout"`, `"knockdown"`, or a mapping
        from label or gene to one of these.
    kind_key
        Column of `obs` with the kind of each cell's perturbation, instead of `kind`. A knockout and a knockdown of one gene
        are then two perturbations, called `"GENE (knockout)"` and `"GENE (knockdown)"`.
    guide_key
        Column of `obs` with the guide of each cell (`scdash.pp.assign_guides` writes one). Several guides of a gene are
        replicates of its perturbation: standard errors then count guides and not cells.
    symbols
        Column of `var` in which targets are looked up where labels hold symbols and `var_names` another kind of name. None:
        `var_names`; where these hold no target, a column such as `gene_symbols` or `feature_name` that holds at least half
        of them, which the log says. A symbol of several genes stands for all of them.
    values
        What the data are: "log expression", or "log fold change" of each row from a control of its own. The control is then
        0 and needs no rows.
    separator
        Between the genes of a combined perturbation.
    sources
        Genes that may regulate: "all"; "perturbed", those that a perturbation of the screen targets; "auto": all of up to
        1,500 genes, else the perturbed ones, which the log says. Time and memory grow with the sources times the genes. Edges
        of a gene that was never perturbed rest on how genes vary together alone. Where `regulators` are given, these may
        regulate and no other gene, whatever this says. For `fit="equilibrium"`.
    prior_weight
        Edges of the prior pay the penalty divided by this weight; 1 leaves the prior out of the regression. None: 5.
        For `fit="equilibrium"` with a prior.
    n_folds
        Groups of perturbations held out in turn; None: 5. For `fit="equilibrium"`.
    n_subsamples
        Random halves of the perturbations on which the fit is repeated for `selection_frequency`; 0: none (NaN).
    hold_out
        Labels of perturbations that take no part in fitting and are scored afterwards.
    min_cells
        Perturbations with fewer cells are left out, with a warning. None: 10; or 1 where perturbations have fewer than three
        rows in the median, as in compendia of bulk profiles, which the log says.
    unknown_targets
        What to do with targets that are no genes of the data: "error", an error naming them; "drop", their cells are left
        out; "keep", they stay. The changes of such a perturbation are stored and compared with those of others, and its
        cells show how genes vary together, but its means enter no equation: the gene that acts there is not in the network,
        and its effects would be taken for those of the genes that it moves.

    See Also
    --------
    scdash.tl.fit_perturbode : Learn a regulatory network from a perturbation screen with the steady states or the ODE of PerturbODE.

    Examples
    --------
    >>> scdash.models.PerturbODE(kind="knockout", hold_out=("G003",))
    PerturbODE(kind='knockout', hold_out=('G003',))
    """

    name: ClassVar[str] = "perturbode"
    fit: Literal["equilibrium", "transport"] | Transport = "equilibrium"
    kind: str | Mapping[str, str] = "overexpression"
    kind_key: str | None = None
    guide_key: str | None = None
    symbols: str | None = None
    values: Literal["log expression", "log fold change"] = "log expression"
    separator: str = "+"
    sources: Literal["auto", "perturbed", "all"] = "auto"
    prior_weight: float | None = None
    n_folds: int | None = None
    n_subsamples: int = 0
    hold_out: Sequence[str] = ()
    min_cells: int | None = None
    unknown_targets: Literal["error", "drop", "keep"] = "error"

    def __post_init__(self) -> None:
        if self.way not in ("equilibrium", "transport"):
            raise unknown("fit", self.fit, ("equilibrium", "transport", "Transport(...)"))
        check_choice("unknown_targets", self.unknown_targets, UNKNOWN_TARGETS)
        check_choice("sources", self.sources, SOURCES)
        check_choice("values", self.values, VALUES)
        if self.unknown_targets == "keep" and self.way == "transport":
            raise unused("unknown_targets='keep'", "transport acts on targets that are genes of the data; use 'drop'")
        if self.kind_key is not None and "kind" in self.given():
            raise ValueError(
                f"kind={self.kind!r} and kind_key={self.kind_key!r}: give the kind of all perturbations, or the column of obs "
                "that holds the kind of each."
            )
        for kind in [self.kind] if isinstance(self.kind, str) else self.kind.values():
            check_choice("kind", kind, KINDS)
        held = (self.hold_out,) if isinstance(self.hold_out, str) else tuple(self.hold_out)
        object.__setattr__(self, "hold_out", held)
        self._check_regression()
        for name, least in (("min_cells", 1), ("n_subsamples", 0)):
            value = getattr(self, name)
            check_least(name, value, least)

    def _check_regression(self) -> None:
        """Raise for settings of the regression that are out of range, or given where there is none."""
        names = ("prior_weight", "n_folds", "n_subsamples", "sources")
        for name in [name for name in names if name in self.given() and self.way == "transport"]:
            raise unused(name, "it is for fit='equilibrium'; see scdash.tl.stability for repeats of transport")
        check_least("prior_weight", self.prior_weight, 1)
        check_least("n_folds", self.n_folds, 2)

    @property
    def of_changes(self) -> bool:
        """Whether the data are changes from a control instead of states."""
        return self.values == "log fold change"

    @property
    def way(self) -> str:
        """How the model is fitted, "equilibrium" or "transport"."""
        return "transport" if isinstance(self.fit, Transport) else str(self.fit)

    @property
    def transport(self) -> Transport:
        """Settings of transport."""
        return self.fit if isinstance(self.fit, Transport) else Transport()

    @property
    def folds(self) -> int:
        """Groups of perturbations held out in turn."""
        return FOLDS if self.n_folds is None else self.n_folds

    @property
    def weight(self) -> float:
        """Weight of the prior in the regression."""
        return PRIOR_WEIGHT if self.prior_weight is None else self.prior_weight

    def field(self, n_genes: int) -> fields.PerturbODE:
        """Return the vector field of the regression for that many genes."""
        return fields.PerturbODE(n_genes)
