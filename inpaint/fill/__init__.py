"""`python -m inpaint.fill`: removes something from a photo, or from every photo of a folder or a list."""
