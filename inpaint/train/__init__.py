"""`python -m inpaint.train`: trains and evaluates, as a configuration says."""
