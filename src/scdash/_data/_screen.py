"""A perturbation screen as a value: which cell belongs to which regime, and what each regime does to which gene."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._data._genes import near_matches
from scdash._data._labels import log_missing, read_labels
from scdash._errors import suggest, unknown

# What a regime does to its targets; the effect on production and decay is in `fields.perturbode`.
KINDS = ("shift", "overexpression", "knockout", "knockdown")


@dataclass(frozen=True)
class Screen:
    """Regimes of a screen over `genes`; the control regime is number 0 and has no targets."""

    names: tuple[str, ...]  # (regimes,), the control first
    targets: NDArray[np.bool_]  # (regimes, genes)
    kinds: tuple[str, ...]  # (regimes,), one of KINDS; meaningless for the control
    cells: NDArray[np.int64]  # (cells,), regime of each cell, -1 where the cell is left out
    genes: pd.Index

    def __post_init__(self) -> None:
        shape = (len(self.names), len(self.genes))
        if self.targets.shape != shape or len(self.kinds) != shape[0]:
            raise ValueError(f"Screen: targets {self.targets.shape} and kinds {len(self.kinds)} do not fit {shape}.")
        if self.targets[0].any():
            raise ValueError("Screen: regime 0 is the control and has no targets.")

    @property
    def n_regimes(self) -> int:
        """Number of regimes, the control included."""
        return len(self.names)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Cells in each regime."""
        return np.bincount(self.cells[self.cells >= 0], minlength=self.n_regimes)

    def index(self, name: str) -> int:
        """Return the number of the regime called `name`."""
        if name not in self.names:
            raise unknown("regime", name, self.names)
        return self.names.index(name)

    def keep(self, regimes: NDArray[np.bool_]) -> Self:
        """Return the screen of some regimes (mask of regimes; the control always stays); other cells become -1."""
        kept = np.asarray(regimes, bool).copy()
        kept[0] = True
        new = np.where(kept, np.cumsum(kept) - 1, -1)
        chosen = np.flatnonzero(kept)
        return replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            targets=self.targets[chosen],
            kinds=tuple(self.kinds[i] for i in chosen),
            cells=np.where(self.cells >= 0, new[self.cells], -1),
        )


def split_label(
    label: str, *, control: Iterable[str], separator: str, genes: Container[str] = frozenset()
) -> tuple[str, ...]:
    """Return the targets that a label names: `"A+B"` is A and B; control labels and empty parts name nothing.

    `"A+ctrl"`, as many published screens write a single perturbation, is A alone when `ctrl` is a control label. A label
    that is the name of one of `genes` is that gene, also where the name holds the separator.
    """
    none = set(control)
    if label.strip() in genes and label not in none:
        return (label.strip(),)
    parts = [part.strip() for part in label.split(separator)] if separator else [label.strip()]
    if label in none:
        return ()
    return tuple(dict.fromkeys(part for part in parts if part and part not in none))


def names_something(label: str, *, control: Iterable[str], separator: str) -> bool:
    """Return whether a label names a gene or is one of the control; `"+"` is neither."""
    none = set(control)
    parts = label.split(separator) if separator else [label]
    return label in none or any(part.strip() for part in parts)


def parse_screen(
    labels: Sequence[Any] | pd.Series,
    genes: pd.Index,
    *,
    control: str | Sequence[str] = "control",
    separator: str = "+",
    kind: str | Mapping[str, str] = "overexpression",
    missing: str = "error",
) -> Screen:
    """Read a column of labels (`control`, `GENE`, `GENE1+GENE2`) into a `Screen`.

    Cells without a label (`scdash._data.read_labels`), or with one that names nothing, take no part and are counted in the
    log. Labels that name the same set of genes (and kind) are one regime. `kind` is one of `KINDS` for all regimes, or a
    mapping from label or gene to kind for mixed screens. A target that is no gene of the data is an error naming it,
    unless `missing="drop"`, which leaves the cells of that regime out.
    """
    controls = (control,) if isinstance(control, str) else tuple(control)
    values = read_labels(labels, keep=controls)
    texts = [str(category) for category in values.cat.categories]
    codes = values.cat.codes.to_numpy(dtype=np.int64)
    position = {str(gene): i for i, gene in enumerate(genes)}
    # a gene may be called as the separator is
    nothing = [t not in position and not names_something(t, control=controls, separator=separator) for t in texts]
    codes = np.where(np.append(nothing, True)[codes], -1, codes)
    log_missing(codes < 0, len(codes), "perturbation")
    parsed = [split_label(t, control=controls, separator=separator, genes=position) for t in texts]
    control_texts = [t for t, p, empty in zip(texts, parsed, nothing, strict=True) if not p and not empty]
    if not control_texts:
        raise _no_control(control, controls[0], texts, parsed, set(position))
    absent = sorted({g for targets in parsed for g in targets if g not in position})
    if absent and missing == "error":
        hint = near_matches(absent, genes)
        raise ValueError(
            f"{len(absent)} perturbation target(s) are no genes of the data: {', '.join(absent)}.{hint} Check `separator={separator!r}` and `control={control!r}`, "
            f"add the genes, or drop these cells with unknown_targets='drop'."
        )
    order: dict[tuple[tuple[int, ...], str], int] = {((), KINDS[0]): 0}
    names: list[str] = [control_texts[0]]
    regime_of = np.full(len(texts), -1)
    for i in sorted(range(len(texts)), key=lambda j: texts[j]):
        if any(g not in position for g in parsed[i]):
            continue
        found = tuple(sorted(position[g] for g in parsed[i]))
        key = (found, _kind_of(kind, texts[i], parsed[i]) if found else KINDS[0])
        if key not in order:
            order[key] = len(order)
            names.append(texts[i])
        regime_of[i] = order[key]
    targets = np.zeros((len(order), len(genes)), bool)
    for (found, _), row in order.items():
        targets[row, list(found)] = True
    cells = np.where(codes >= 0, regime_of[codes], -1).astype(np.int64)
    return Screen(tuple(names), targets, tuple(k for _, k in order), cells, pd.Index(genes))


def _no_control(
    control: object, first: str, texts: Sequence[str], parsed: Sequence[tuple[str, ...]], genes: set[str]
) -> ValueError:
    """Return the error for a screen without control cells; labels without a gene are likely those of the control."""
    bare = sorted({t for t, targets in zip(texts, parsed, strict=True) if not genes.intersection(targets)})
    hint = f" Labels that name no gene: {', '.join(map(repr, bare[:5]))}." if bare else ""
    return ValueError(
        f"control={control!r}: no cell carries this label.{suggest(first, sorted(texts))}{hint} Pass the label of the "
        f"unperturbed cells as `control=` (several are allowed)."
    )


def _kind_of(kind: str | Mapping[str, str], label: str, targets: tuple[str, ...]) -> str:
    if isinstance(kind, str):
        chosen = kind
    elif label in kind:
        chosen = kind[label]
    else:
        found = {kind[gene] for gene in targets if gene in kind}
        if len(found) != 1:
            raise ValueError(
                f"kind: the mapping gives {sorted(found) or 'nothing'} for regime {label!r}; one of {list(KINDS)} is "
                f"needed under the regime's label or its target genes."
            )
        chosen = found.pop()
    if chosen not in KINDS:
        raise unknown("kind", chosen, KINDS)
    return chosen
