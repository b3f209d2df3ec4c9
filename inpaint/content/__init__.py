"""Stage 1: the content network predicts the middle of a picture from what surrounds it."""
