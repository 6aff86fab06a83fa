"""A request that does not fit, and where: what shapes alone cannot check."""

from __future__ import annotations

from recsys.errors import Misuse


class Misfit(Misuse):
    """Something in a request that does not fit; `at` leads to it from the request's top."""

    def __init__(self, why: str, *, at: tuple[str | int, ...]) -> None:
        super().__init__(why)
        self.at = at
