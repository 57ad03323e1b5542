"""Causal-discovery methods that the PerturbODE paper compares with: DCDI, DCDFG and Bicycle, in compact form.

They live beside the benchmarks and not in the package because they take minutes where the package's own baselines take seconds, do not reach 1,000 genes, and give edges without a sign
(DCDI, DCDFG). Here they serve one purpose, the rows of the paper's tables. NO-TEARS and NO-TEARS-LR are baselines of
`scdash.tl.screen_baseline`.

Every method is a pure function of arrays: log-normalised cells x (cells, genes), the number of each cell's
perturbation (cells,), and which genes each perturbation targets (perturbations, genes); all interventions are perfect
and known. It returns a (genes, genes) array in which a row regulates a column. The code was written from the
equations of the papers.
"""
