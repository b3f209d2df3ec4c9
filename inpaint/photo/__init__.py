"""Fills a person's photo of any size: reading it, cutting windows, both stages, writing it."""
