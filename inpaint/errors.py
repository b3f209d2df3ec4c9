"""What went wrong because of what the user gave, in one sentence."""


class UserError(Exception):
    """A user's mistake: the message says what was wrong, where, and what to do. Commands end with exit code 2."""
