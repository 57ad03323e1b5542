"""Labels of a perturbation screen (`control`, `GENE`, `GENE1+GENE2`) to a `Screen`."""

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.errors import check_choice, suggest
from scdash._core.labels import CONTROL_GUIDES
from scdash._data.genes import genes_within, near_matches
from scdash._data.labels import log_missing, read_labels
from scdash._data.screen_value import KINDS, Screen

__all__ = ["KINDS", "UNKNOWN_TARGETS", "Screen", "names_something", "parse_screen", "split_label"]

UNKNOWN_TARGETS = ("error", "drop", "keep")
CONTROL_KIND = KINDS[0]  # of the control, where it means nothing
NAMED_KIND = re.compile(rf"^(.+) \(({'|'.join(KINDS)})\)$")
"""A label with the kind of its perturbation, as perturbations of one gene with two kinds are called."""


def split_label(
    label: str, *, control: Iterable[str], separator: str, genes: Container[str] = frozenset()
) -> tuple[str, ...]:
    """Return the targets that a label names: `"A+B"` is A and B; control labels and empty parts name nothing.

    `"A+ctrl"`, as many published screens write a single perturbation, is A alone when `ctrl` is a control label. A label
    that is the name of one of `genes` is that gene, also where the name holds the separator. `"A (knockout)"` is A.
    """
    none = set(control)
    if label in none:
        return ()
    if label.strip() in genes:
        return (label.strip(),)
    named = NAMED_KIND.match(label.strip())
    text = named[1] if named else label
    parts = [part.strip() for part in text.split(separator)] if separator else [text.strip()]
    return tuple(dict.fromkeys(part for part in parts if part and part not in none))


def names_something(label: str, *, control: Iterable[str], separator: str) -> bool:
    """Return whether a label names a gene or is one of the control; `"+"` is neither."""
    none = set(control)
    parts = label.split(separator) if separator else [label]
    return label in none or any(part.strip() for part in parts)


@dataclass(frozen=True)
class _Intervention:
    """What a label does: perturbations that do the same are one."""

    targets: tuple[int, ...]  # positions among the genes
    unmeasured: tuple[str, ...]
    kind: str


def parse_screen(
    labels: Sequence[Any] | pd.Series,
    genes: pd.Index,
    *,
    control: str | Sequence[str] = "control",
    separator: str = "+",
    kind: str | Mapping[str, str] = "overexpression",
    kinds: pd.Series | None = None,
    missing: str = "error",
    aliases: Mapping[str, Sequence[str]] | None = None,
    needs_control: bool = True,
) -> Screen:
    """Read a column of labels (`control`, `GENE`, `GENE1+GENE2`) into a `Screen`.

    Cells without a label (`scdash._data.read_labels`), or with one that names nothing, take no part and are counted in the
    log. Labels that name the same set of genes (and kind) are one perturbation.

    `kind`: one of `KINDS` for all perturbations, or a mapping from label or gene to kind. `kinds`: the kind of each cell
    instead; cells of one label with two kinds are two perturbations, called `"GENE (knockout)"` and `"GENE (knockdown)"`.
    `missing`: what happens where a target is no gene of the data: "error", an error naming it; "drop", its cells are left
    out; "keep", the perturbation stays with its measured targets, which may be none (`Screen.unmeasured`). `aliases`:
    further names of genes, such as symbols, each with the gene or genes that it means. `needs_control`: whether a screen
    without control cells is an error; otherwise the control has no cells.
    """
    controls = (control,) if isinstance(control, str) else tuple(control)
    values = read_labels(labels, keep=controls)
    texts = [str(category) for category in values.cat.categories]
    known = {str(gene): (i,) for i, gene in enumerate(genes)}
    position = _with_aliases(known, aliases or {})
    # a gene may be called as the separator is
    nothing = [t not in position and not names_something(t, control=controls, separator=separator) for t in texts]
    codes = np.asarray(values.cat.codes, dtype=np.int64)
    codes = np.where(np.append(nothing, True)[codes], -1, codes)
    log_missing(codes < 0, len(codes), "perturbation")
    parsed = [split_label(t, control=controls, separator=separator, genes=position) for t in texts]
    control_texts = [t for t, p, empty in zip(texts, parsed, nothing, strict=True) if not p and not empty]
    if not control_texts and needs_control:
        raise _no_control(control, controls[0], texts, parsed, set(position))
    if missing == "error":
        _refuse_unknown_targets(parsed, position, genes, control=control, separator=separator)
    kind_codes, kind_names = _kinds_of_cells(kinds, codes, [not targets for targets in parsed])
    n_kinds = len(kind_names) + 1  # one for cells whose kind does not come from `kinds`
    found, pair_of = np.unique((codes + 1) * n_kinds + kind_codes + 1, return_inverse=True)
    pairs = [(int(pair) // n_kinds - 1, int(pair) % n_kinds - 1) for pair in found]
    order, names = {_Intervention((), (), CONTROL_KIND): 0}, [control_texts[0] if control_texts else controls[0]]
    perturbation_of = np.full(len(pairs), -1)
    labelled = [n for n, (at, _) in enumerate(pairs) if at >= 0]
    for n in sorted(labelled, key=lambda n: (texts[pairs[n][0]], pairs[n][1])):
        at, own = pairs[n]
        if missing == "drop" and any(g not in position for g in parsed[at]):
            continue
        given = kind_names[own] if own >= 0 else _kind_of(kind, texts[at], parsed[at]) if parsed[at] else CONTROL_KIND
        done = _intervention(parsed[at], position, given)
        if done not in order:
            order[done] = len(order)
            names.append(texts[at])
        perturbation_of[n] = order[done]
    cells = perturbation_of[np.ravel(pair_of)].astype(np.int64)
    return _screen(list(order), names, cells, genes)


def _with_aliases(
    known: Mapping[str, tuple[int, ...]], aliases: Mapping[str, Sequence[str]]
) -> dict[str, tuple[int, ...]]:
    """Return the positions of genes under their own names and under their aliases; own names come first."""
    found = {name: tuple(known[g][0] for g in meant if g in known) for name, meant in aliases.items()}
    return {name: at for name, at in found.items() if at} | dict(known)


def _intervention(targets: tuple[str, ...], position: Mapping[str, tuple[int, ...]], kind: str) -> _Intervention:
    measured = tuple(sorted({i for g in targets if g in position for i in position[g]}))
    unmeasured = tuple(sorted(g for g in targets if g not in position))
    return _Intervention(measured, unmeasured, kind if targets else CONTROL_KIND)


def _screen(order: list[_Intervention], names: list[str], cells: NDArray[np.int64], genes: pd.Index) -> Screen:
    """Return the screen of these interventions; a name that two of them share is told apart by their kinds."""
    targets = np.zeros((len(order), len(genes)), bool)
    for row, done in enumerate(order):
        targets[row, list(done.targets)] = True
    twice = {name for name in names if names.count(name) > 1}
    unique = [f"{name} ({done.kind})" if name in twice else name for name, done in zip(names, order, strict=True)]
    unmeasured = tuple(done.unmeasured for done in order)
    kinds = tuple(done.kind for done in order)
    return Screen(tuple(unique), targets, kinds, cells, pd.Index(genes), unmeasured if any(unmeasured) else ())


def _kinds_of_cells(
    kinds: pd.Series | None, codes: NDArray[np.int64], is_control: Sequence[bool]
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the kind of every cell as a code, -1 where kinds do not come from the cells, and the kinds' names."""
    if kinds is None:
        return np.full(len(codes), -1), []
    found = read_labels(kinds)
    names, own = [str(name) for name in found.cat.categories], np.asarray(found.cat.codes, dtype=np.int64)
    perturbed = (codes >= 0) & ~np.append(is_control, True)[codes]
    where = f"adata.obs[{kinds.name!r}]" if kinds.name is not None else "kinds"
    lost = int((perturbed & (own < 0)).sum())
    if lost:
        raise ValueError(f"kind_key: {where} has no value for {lost} perturbed cell(s); give each of them a kind.")
    for i in np.unique(own[perturbed]):
        check_choice(f"kind in {where}", names[i], KINDS)
    return own, names


def _refuse_unknown_targets(
    parsed: Iterable[tuple[str, ...]],
    position: Mapping[str, Any],
    genes: pd.Index,
    *,
    control: object,
    separator: str,
) -> None:
    """Raise where a target is no gene of the data, naming all of them."""
    absent = sorted({g for targets in parsed for g in targets if g not in position})
    if absent:
        raise ValueError(
            f"{len(absent)} perturbation target(s) are no genes of the data: {', '.join(absent)}.{_like_controls(absent, control)}"
            f"{_forms(absent, position) or near_matches(absent, genes)} Check `separator={separator!r}` and `control={control!r}`, add the genes, keep "
            "these perturbations without their own gene with PerturbODE(unknown_targets='keep'), or drop their cells with "
            "PerturbODE(unknown_targets='drop'). Where the targets are symbols and the genes are not, name the column of "
            "adata.var with the symbols as symbols."
        )


def _forms(absent: Sequence[str], genes: Container[str]) -> str:
    """Return what unknown targets hold beside names of genes: other genes, or more; "" where they hold no gene."""
    within = {name: found for name in absent if (found := genes_within(name, genes))}
    joined = [(name, name[at[0][1] : at[1][0]]) for name, at in within.items() if len(at) > 1]
    single = [(name, name[at[0][0] : at[0][1]]) for name, at in within.items() if len(at) == 1]
    text = ""
    if joined:
        ((between, count),) = Counter(sign for _, sign in joined).most_common(1)
        example = next(name for name, sign in joined if sign == between)
        text += f" {count} of them hold several genes with {between!r} between ({example!r}): "
        text += f"PerturbODE(separator={between!r})."
    if single:
        text += f" {len(single)} of them hold the name of a gene and more ({single[0][1]!r} in {single[0][0]!r}): label cells by "
        text += "the gene alone; scdash.pp.assign_guides(adata, guide_key=...) reads names of guides."
    return text


def _like_controls(names: Sequence[str], control: Any = ()) -> str:
    """Return a hint at names that controls often have, beside those that were named; "" where there are none."""
    like = [name for name in names if re.search(CONTROL_GUIDES, name, re.IGNORECASE)]
    given = [control] if isinstance(control, str) else list(control)
    which = "looks like a control" if len(like) == 1 else "look like controls"
    wanted = like[0] if len(like) == 1 and not given else [*given, *like]
    return f" {', '.join(map(repr, like))} {which}: control={wanted!r}." if like else ""


def _no_control(
    control: object, first: str, texts: Sequence[str], parsed: Sequence[tuple[str, ...]], genes: set[str]
) -> ValueError:
    """Return the error for a screen without control cells; labels without a gene are likely those of the control."""
    bare = sorted({t for t, targets in zip(texts, parsed, strict=True) if not genes.intersection(targets)})
    hint = f" Labels that name no gene: {', '.join(map(repr, bare[:5]))}." if bare else ""
    hint += _forms(bare, genes) + _like_controls(bare)
    return ValueError(
        f"control={control!r}: no cell carries this label.{suggest(first, sorted(texts))}{hint} Pass the label of the "
        "unperturbed cells as `control=` (several are allowed). Data that are log fold changes from a control need no control "
        "cells: say model=PerturbODE(values='log fold change')."
    )


def _kind_of(kind: str | Mapping[str, str], label: str, targets: tuple[str, ...]) -> str:
    """Return the kind of a perturbation: that which its label names, or else that of all, of the label or of its targets."""
    if named := NAMED_KIND.match(label.strip()):
        return named[2]
    if isinstance(kind, str):
        chosen = kind
    elif label in kind:
        chosen = kind[label]
    else:
        found = {kind[gene] for gene in targets if gene in kind}
        if len(found) != 1:
            known = [name for name in kind if (match := NAMED_KIND.match(name)) and match[1] == label]
            hint = f" The fit has {', '.join(map(repr, known))}: name one of them." if known else ""
            raise ValueError(
                f"kind: the mapping gives {sorted(found) or 'nothing'} for perturbation {label!r}; one of {list(KINDS)} is "
                f"needed under the perturbation's label or its target genes, or for all as text, such as kind='knockout'.{hint}"
            )
        chosen = found.pop()
    check_choice("kind", chosen, KINDS)
    return chosen
