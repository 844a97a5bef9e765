"""Errors that a user can act on."""


class InputError(Exception):
    """A mistake in what the user gave: one sentence on what is wrong, and one on what to do about it.

    ``code`` is a stable word for programs, ``message`` names the case and says what is wrong and where,
    ``advice`` says what to do.
    """

    def __init__(self, code: str, message: str, advice: str):
        super().__init__(f"{message} {advice}")
        self.code = code
        self.message = message
        self.advice = advice


class Cancelled(Exception):
    """The user asked to stop; what is finished is kept."""


def out_of_memory(error: Exception) -> bool:
    """Whether the memory of the computer or of its GPU ran out; PyTorch says so of the former in a RuntimeError."""
    signs = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in signs)
