"""The one error that is the user's to mend."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence or two for a person who does not program: what is wrong with which value, what is
    allowed, what to do. The page, the command line (exit code 2) and Python callers all show it as it is.
    """
