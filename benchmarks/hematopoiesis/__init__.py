"""Human hematopoiesis, erythroid and B cells (Luecken et al. 2021; Aliee et al. 2022): `python -m benchmarks.hematopoiesis`."""
