"""Every run of the suite tries the same examples: what hypothesis finds elsewhere becomes a test of its own."""

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.load_profile("same")
