"""Operations: work that takes long."""

from image_core.errors.kinds import Conflict, LimitExceeded, NotFound


class OperationNotFound(NotFound):
    """The operation does not exist."""

    code = "operation-not-found"


class OperationFinished(Conflict):
    """The operation is over."""

    code = "operation-finished"


class TooManyOperations(Conflict):
    """The team has too many unfinished operations."""

    code = "too-many-operations"


class BudgetExhausted(LimitExceeded):
    """The budget of the operation is used up."""

    code = "budget-exhausted"


class ExportNotFinished(Conflict):
    """The export has no manifest."""

    code = "export-not-finished"
