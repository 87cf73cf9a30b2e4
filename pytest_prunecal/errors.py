"""The one exception and the one warning a user is meant to read."""


class PrunecalError(Exception):
    """Something the user can mend: one clear sentence saying what is wrong, where, and what to do.

    Shown without a traceback: as `pytest.UsageError` at configure time, as a cell's failure later.
    """


class MeasurementWarning(UserWarning):
    """Something that whoever reads a cell's numbers should know: it is told with them."""
