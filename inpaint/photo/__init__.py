"""A person's photo of any size with holes of any shape: read, brought to the two stages in windows, and written."""
