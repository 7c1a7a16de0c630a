"""Lists in pages: what is asked for, and what is said about the pages."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from peekaping.api.shapes import PaginationShape


class Listing(Struct):
    page: Annotated[int, Meta(ge=1, le=1_000_000_000, description="a whole number from 1")] = 1
    limit: Annotated[int, Meta(ge=1, le=100, description="a whole number from 1 to 100")] = 20

    @property
    def first(self) -> int:
        """How many are before this page."""
        return (self.page - 1) * self.limit

    def pages(self, total: int) -> PaginationShape:
        """What is said about the pages of a list of this length."""
        return {"page": self.page, "limit": self.limit, "total": total, "pages": -(-total // self.limit)}
