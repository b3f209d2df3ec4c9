"""Default values of the command and of the `Inpainter`."""

MAX_SIDE = 2048  # pixels of a window
MAX_PIXELS = 100_000_000  # of a file: more are taken for a bomb
