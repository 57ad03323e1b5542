"""Sums over edges for many roll-outs at once, kept in registers: the part of roll-outs that takes most of the time."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from scdash._core.compiled import FAST, loop

# roll-outs that a sum over edges holds in registers; sums of NARROW are for the last ones, and arrays have room for them
WIDE, NARROW = 64, 32


def room_for(number: int) -> int:
    """Return the columns that arrays for some number of roll-outs have: a multiple of `NARROW`."""
    return -(-number // NARROW) * NARROW


def sum_of_rows(columns: int) -> Any:
    """Return the compiled function that sets `columns` neighbours of a row of `out` to a weighted sum of rows.

    out[row, c : c + columns] = first + sum of weight[e] * rows[place[e], c : c + columns] over begin <= e < end, one edge
    after the other. Written as LLVM's vectors, since a loop in Python that adds to an array reads and writes it for
    every edge: the compiler cannot know that the arrays do not overlap.
    """
    vector, word = ir.VectorType(ir.FloatType(), columns), ir.IntType(64)

    def spread(builder: Any, value: Any) -> Any:
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), columns), [0] * columns)
        return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

    def neighbours(builder: Any, matrix: Any, row: Any, column: Any) -> Any:
        length = cgutils.unpack_tuple(builder, matrix.shape, 2)[1]
        first = builder.gep(matrix.data, [builder.add(builder.mul(row, length), column)])
        return builder.bitcast(first, vector.as_pointer())

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        arrays = {k: context.make_array(signature.args[k])(context, builder, given[k]) for k in (0, 2, 3, 7)}
        rows, place, weight, out = (arrays[k] for k in (0, 2, 3, 7))
        column, begin, end, first, row = (given[k] for k in (1, 4, 5, 6, 8))
        total = cgutils.alloca_once_value(builder, spread(builder, first))
        with cgutils.for_range_slice(builder, begin, end, ir.Constant(word, 1), intp=word) as (edge, _):
            of_edge = builder.load(builder.gep(place.data, [edge]))
            of_edge = of_edge if of_edge.type == word else builder.sext(of_edge, word)
            values = builder.load(neighbours(builder, rows, of_edge, column))
            values.align = 4
            factor = spread(builder, builder.load(builder.gep(weight.data, [edge])))
            product = builder.fmul(factor, values, flags=sorted(FAST))
            builder.store(builder.fadd(builder.load(total), product, flags=sorted(FAST)), total)
        builder.store(builder.load(total), neighbours(builder, out, row, column)).align = 4
        return context.get_dummy_value()

    @intrinsic  # type: ignore[untyped-decorator]
    def of_columns(  # type: ignore[no-untyped-def]
        context, rows, column, place, weight, begin, end, first, out, row
    ):
        number = types.int64
        return types.void(rows, number, place, weight, number, number, types.float32, out, number), generate

    return of_columns


_wide, _narrow = sum_of_rows(WIDE), sum_of_rows(NARROW)


@loop
def sum_edges(rows, begin, end, place, weight, first, out, row, m):  # type: ignore[no-untyped-def]
    """Set the first m columns of a row of out to first + the sum of weight * rows[place] over some edges.

    Up to `NARROW` - 1 columns behind these are overwritten.
    """
    c = 0
    while c < m:
        if m - c > NARROW:
            _wide(rows, c, place, weight, begin, end, first, out, row)
            c += WIDE
        else:
            _narrow(rows, c, place, weight, begin, end, first, out, row)
            c += NARROW
