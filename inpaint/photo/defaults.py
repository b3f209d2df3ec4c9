"""Default values of the command and of the `Inpainter`."""

DILATE = 8  # pixels, at most, unless a person says so: objects have soft edges and shadows
MAX_SIDE = 2048  # pixels of a window
MAX_PIXELS = 100_000_000  # of a file: more are taken for a bomb
