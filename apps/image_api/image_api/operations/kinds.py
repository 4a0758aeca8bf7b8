"""What a kind of operation has to provide.

A feature creates an operation in a request (`service.create`) and provides its kind in its own `tasks.py`;
`tasks_app.KINDS` lists the kinds by name. The runner in `tasks.py` of this room does everything else: turns, leases,
marks, counts, budgets, events, and repetition after a crash.

An item is `waiting`, and then `done` or `failed`. Where something outside the database works on it, `run_item` returns
`in_progress(...)`, and `settle` is asked about it until it is over.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

from image_api.operations.items import Item, NewItem, Operation, Outcome
from image_api.tasks.parts import TaskParts
from image_core.db import Transaction


class Filled(NamedTuple):
    """The next items of an operation, at most about 1,000, and where the search goes on.

    `position` is any JSON but null; null says that there are no more items.
    """

    items: Sequence[NewItem]
    position: Any


class Kind(Protocol):
    """How operations of one kind find their items and what they do with each.

    Inherit from it: everything but `run_item` has a default. Kinds hold no state.
    """

    seconds_per_item: ClassVar[float] = 0.01
    """For the estimate."""
    spends_credits: ClassVar[bool] = False
    """Items are run one by one, and the budget is checked after each."""
    uses_processor: ClassVar[bool] = False
    """Items in progress are with the processor, so all operations together have at most `claims.MOST_IN_PROGRESS`."""
    items_at_once: ClassVar[int] = 1
    """How many items are run concurrently, each in its own transaction."""

    def keeps_order(self, operation: Operation) -> bool:  # noqa: ARG002
        """Return whether items are run one after another in their order, whatever `items_at_once` is."""
        return False

    async def fill(self, parts: TaskParts, operation: Operation) -> Filled:  # noqa: ARG002
        """Find the next items after `operation.fill_position`, outside any transaction.

        It is called while the operation is `estimating`, that is, unless `service.create` was given the items. The
        items and the position are stored in one transaction; after a crash the same chunk is asked for again. An
        `AppError` other than `Unavailable` ends the operation as failed with its code.
        """
        return Filled((), None)

    async def prepare(self, parts: TaskParts, operation: Operation, item: Item) -> Any:  # noqa: ARG002
        """Return what `run_item` needs from outside the database; it becomes `item.prepared`.

        It may be repeated, and its item may be cancelled afterwards: it only reads.
        """
        return None

    async def run_item(self, parts: TaskParts, transaction: Transaction, operation: Operation, item: Item) -> Outcome:
        """Do the work of one item in the transaction that marks it. No network calls: what it does is done once.

        Raising `Unavailable` leaves the item for a later turn. `CreditsExhausted` ends the operation as failed; the
        item stays untouched. Any other `AppError` is the item's failure, and its transaction is rolled back.
        """
        ...

    async def settle(self, parts: TaskParts, operation: Operation, items: Sequence[Item]) -> Mapping[int, Outcome]:  # noqa: ARG002
        """Return what became of items in progress, by position, leaving out those that are not over.

        It is called outside any transaction in each turn, also after a cancellation, and may go on with work outside
        the database that a crash has interrupted; every step of that must be harmless when repeated.
        """
        return {}
