"""Value objects read from AnnData and the array kernels behind them; no torch here."""

from scdash._data._bins import bin_grid, effective_cells, kernel_bins, range_align, rank_align
from scdash._data._cells import CellSeries, cells_to_series
from scdash._data._checks import (
    check_adata,
    check_time,
    check_unique,
    gene_indices,
    gene_mask,
    group_codes,
    group_column,
    obs_column,
    time_column,
)
from scdash._data._dense import as_dense
from scdash._data._expression import Expression, as_expression, check_counts, check_log, expression, matrix_of
from scdash._data._half_series import HalfOfCells, halves_to_learn_from
from scdash._data._halves import CellHalves, halve_cells
from scdash._data._mudata import copy_paired, make_mudata, without_pulling
from scdash._data._prior import AlignedPrior, align_prior, prior_from
from scdash._data._rows import Cells, dense32, loaded
from scdash._data._sanitise import sanitise
from scdash._data._series import SPLITS, TimeSeries
from scdash._data._split import default_split, split_codes
from scdash._data._states import series_from_states
from scdash._data._within import WithinMoments, within_moments

__all__ = [
    "SPLITS",
    "AlignedPrior",
    "CellHalves",
    "CellSeries",
    "Cells",
    "Expression",
    "HalfOfCells",
    "TimeSeries",
    "WithinMoments",
    "align_prior",
    "as_dense",
    "as_expression",
    "bin_grid",
    "cells_to_series",
    "check_adata",
    "check_counts",
    "check_log",
    "check_time",
    "check_unique",
    "copy_paired",
    "default_split",
    "dense32",
    "effective_cells",
    "expression",
    "gene_indices",
    "gene_mask",
    "group_codes",
    "group_column",
    "halve_cells",
    "halves_to_learn_from",
    "kernel_bins",
    "loaded",
    "make_mudata",
    "matrix_of",
    "obs_column",
    "prior_from",
    "range_align",
    "rank_align",
    "sanitise",
    "series_from_states",
    "split_codes",
    "time_column",
    "within_moments",
    "without_pulling",
]
