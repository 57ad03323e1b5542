"""Gene sets that gather influential genes: scores of sets, their permutation tests, controls and the report."""
