"""Value objects read from AnnData and the array kernels behind them; no torch here."""

from scdash._data.batches import batch_offsets
from scdash._data.checks import (
    check_adata,
    check_unique,
    chosen_genes,
    gene_indices,
    gene_mask,
    group_codes,
    obs_column,
    times_of,
)
from scdash._data.dense import as_dense
from scdash._data.expression_matrix import (
    Expression,
    as_expression,
    check_counts,
    check_log,
    check_scaled,
    expression,
    matrix_of,
    scaled_by_scanpy,
)
from scdash._data.genes import all_genes, listed_names, present_genes
from scdash._data.groups import CellGroups, group_cells, origins_and_batches
from scdash._data.h5ad_values import sanitise
from scdash._data.knockout_level import knockout_levels, lowest_values
from scdash._data.labels import holds_flags, log_missing, read_flags, read_labels
from scdash._data.memberships import (
    Memberships,
    is_membership_table,
    largest_weights,
    read_memberships,
    times_in_lineages,
)
from scdash._data.mudata import make_mudata, refuse_view, without_pulling, writable
from scdash._data.prior import AlignedPrior, align_prior, prior_from
from scdash._data.representations import representation
from scdash._data.rows import Cells, dense32, loaded
from scdash._data.split import default_split, split_codes
from scdash._data.time import StandardTime, Times, parse_time, read_time, time_in_unit
from scdash._data.time_series.bins import bin_grid, effective_cells, range_align, rank_align
from scdash._data.time_series.cells import CellSeries, cells_to_series, without_split
from scdash._data.time_series.fine_times import finer_than_cells
from scdash._data.time_series.given_couplings import read_couplings
from scdash._data.time_series.halves import CellHalves, HalfOfCells, halve_cells, halves_to_learn_from
from scdash._data.time_series.placed import Placed, positions_in_groups
from scdash._data.time_series.related_cells import (
    LeftOutTimes,
    RelatedCells,
    left_out_groups,
    related_cells,
    timed_cells,
    times_of_states,
)
from scdash._data.time_series.sampled import sampled_halves, sampled_series, shuffled_states
from scdash._data.time_series.series import SPLITS, TimeSeries
from scdash._data.time_series.smoothed_trajectory import kernel_means
from scdash._data.time_series.states import series_from_states
from scdash._data.time_series.within_places import WithinMoments, within_moments
from scdash._data.time_series.within_times import times_of_bins
from scdash._data.velocity.cell_velocity import CellVelocity, read_velocity
from scdash._data.velocity.velocity_rows import VelocityRows
