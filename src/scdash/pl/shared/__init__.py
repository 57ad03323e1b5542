"""What figures have in common: style, colours, labels, the order of genes, and reading what a fit has stored."""
