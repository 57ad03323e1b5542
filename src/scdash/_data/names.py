"""Why two sets of gene names hardly meet: another kind of identifier, version suffixes, or another species."""

import re

import numpy as np
import pandas as pd

ENSEMBL = re.compile(r"^ENS[A-Z]{0,4}[GTP]\d{6,}(\.\d+)?$")
LEAST_OVERLAP = 0.1


def cause_of_mismatch(named: pd.Index, genes: pd.Index, argument: str = "prior") -> str:
    """Return a sentence, with a space before it, on why the names given as `argument` hardly meet the genes."""
    ensembl = {who: fraction_ensembl(names) for who, names in (("genes", genes), ("named", named))}
    if (ensembl["genes"] > 0.5) != (ensembl["named"] > 0.5):
        where = "adata's genes" if ensembl["genes"] > 0.5 else "the prior's" if argument == "prior" else f"{argument}"
        return (
            f" The names of {where} are Ensembl ids and the other side's are not: map one of them{_mapping(argument)}."
        )
    plain = [pd.Index(names.astype(str).str.replace(r"\.\d+$", "", regex=True)) for names in (genes, named)]
    if ensembl["genes"] > 0.5 and plain[0].isin(plain[1]).mean() >= LEAST_OVERLAP:
        with_suffix = genes if (plain[0] != genes).any() else None
        where = "adata.var_names" if with_suffix is not None else "the names"
        return f" The Ensembl ids differ by their version suffix (.12): strip it, {where} = {where}.str.replace(r'\\.\\d+$', '', regex=True)."
    upper = [names.astype(str).str.upper() for names in (genes, named)]
    if max(upper[0].isin(upper[1]).mean(), upper[1].isin(upper[0]).mean()) >= LEAST_OVERLAP:
        remedy = ", or scdash.pp.align_prior(adata, prior, match_case=False)" if argument == "prior" else ""
        return (
            " They match once case is ignored (Tp53 against TP53), which usually means another species: map the "
            f"names{remedy}."
        )
    return " Are they of the same species and kind of identifier?"


def _mapping(argument: str) -> str:
    if argument != "prior":
        return ""
    return ", e.g. scdash.pp.align_prior(adata, prior, gene_ids_key=<var column with the prior's kind of name>)"


def fraction_ensembl(names: pd.Index) -> float:
    shown = [str(name) for name in names[:200]]
    return float(np.mean([bool(ENSEMBL.match(name)) for name in shown])) if shown else 0.0
