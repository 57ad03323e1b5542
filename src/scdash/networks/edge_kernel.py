"""The Runge-Kutta steps of a gene-wise PHOENIX on its edges, compiled: what every prediction spends its time in."""

from typing import Any

from scdash._core.compiled import loop


@loop
def runge_kutta(  # type: ignore[no-untyped-def]
    start, index, values, genes, first, second, bias, rate, fixed, step, steps, x, features, stage, total
) -> Any:
    """Advance x by `steps` Runge-Kutta steps of rate * (M features + bias - x), row by row in one pass an evaluation.

    M is in CSR; states are (genes, batch), so that inner loops run along memory. Entries of `fixed` stay where they are (no
    rows: none). `features`, `stage` and `total` are room to work in.
    """
    width, holding = x.shape[1], len(fixed) > 0
    half_value, one, two, six = x.dtype.type(0.5), x.dtype.type(1), x.dtype.type(2), x.dtype.type(6)
    for evaluation in range(4 * steps):
        part = evaluation % 4
        source = x if part == 0 else stage
        for row in range(len(genes)):
            for b in range(width):
                centred = source[genes[row], b] - half_value
                features[row, b] = centred / (abs(centred) + one)
        for row in range(len(first)):
            for b in range(width):
                features[len(genes) + row, b] = features[first[row], b] * features[second[row], b]
        ahead = step if part == 2 else half_value * step
        counted = one if part == 0 else two
        for row in range(len(start) - 1):
            net = stage[row]  # its state has been read where the row begins, and is written where it ends
            for b in range(width):
                net[b] = bias[row] - source[row, b]
            for place in range(start[row], start[row + 1]):
                weight, column = values[place], index[place]
                for b in range(width):
                    net[b] += weight * features[column, b]
            for b in range(width):
                net[b] *= rate[row]
            if holding:
                for b in range(width):
                    if fixed[row, b]:
                        net[b] = 0
            if part == 3:
                for b in range(width):
                    x[row, b] += step / six * (total[row, b] + net[b])
            else:
                for b in range(width):
                    slope = net[b]
                    total[row, b] = counted * slope if part == 0 else total[row, b] + counted * slope
                    net[b] = x[row, b] + ahead * slope
