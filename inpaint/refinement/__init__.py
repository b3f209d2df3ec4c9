"""Stage 2: the pixels of the hole are optimised until their features match patches from the rest of the picture."""
