"""Pages of lists that may be long: they count so far and no further."""

from functools import cached_property
from typing import Any, Final

from django.core.paginator import Paginator

COUNTED: Final = 10_000


class BoundedPaginator(Paginator):
    """Counts 10,000 rows at most: a whole log would take seconds to count for one line of text."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        if not hasattr(rows, "query"):
            return len(rows)
        return rows.order_by()[:COUNTED].count()
