"""`python -m inpaint.export`: a content network as one file, for other programs or for photos."""
