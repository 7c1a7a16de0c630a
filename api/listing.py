"""Lists in pages: what is asked for, and what is said about the pages."""

from __future__ import annotations

from msgspec import Struct

from peekaping.api.bodies import Page, PageLimit
from peekaping.api.shapes import PaginationShape, pagination


class Listing(Struct):
    page: Page = 1
    limit: PageLimit = 20

    @property
    def first(self) -> int:
        """How many are before this page."""
        return (self.page - 1) * self.limit

    def pages(self, total: int) -> PaginationShape:
        """What is said about the pages of a list of this length."""
        return pagination(self.page, self.limit, total)
