"""What every other folder builds on and what imports none of them."""
