"""The page `python -m inpaint.web`: paint over what is to go from a photo, and see it gone."""
