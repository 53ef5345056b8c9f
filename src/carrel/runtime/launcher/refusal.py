"""How does the launcher say no?"""


class Refused(Exception):
    """A deliberate no; `code` is the error code of Carrel that the driver raises for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
