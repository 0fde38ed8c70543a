"""Why a minimum was not found."""


class NotFoundError(ArithmeticError):
    """A minimum was not found to the precision that is stated; the text says what was."""


class LostInRoundingError(NotFoundError):
    """Too little is left in float64 of what columns of X say."""
