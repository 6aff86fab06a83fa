"""Routes whose calls are noted in the trail: who called, what, and what came of it (recsys/trail.py).

Every call that steers the installation, and every look at one person's record, goes through `Traced`.
What is noted is the operation's id and what its path names, never a customer and never a body.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from recsys.errors import RecsysError, StoreUnavailable
from serving.problems import status_of
from serving.security import Caller

logger = logging.getLogger(__name__)
_PERSONAL = frozenset({"customer_id"})


def note_caller(request: Request, caller: Caller) -> None:
    """Say who is calling, for the trail. Called where a key was checked."""
    request.state.caller = caller.name


class Traced(APIRoute):
    """A route that notes each call of an admitted caller, once it is answered."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, and a line of the trail after it: the call stands even where the note cannot be written."""
        handle = super().get_route_handler()

        async def traced(request: Request) -> Response:
            status = 500
            try:
                answer = await handle(request)
                status = answer.status_code
            except RecsysError as error:
                status = status_of(error)
                raise
            finally:
                by = getattr(request.state, "caller", None)
                if by is not None:
                    subject = "/".join(v for name, v in request.path_params.items() if name not in _PERSONAL)
                    await run_in_threadpool(self._note, request, by=by, subject=subject, status=status)
            return answer

        return traced

    def _note(self, request: Request, *, by: str, subject: str, status: int) -> None:
        try:
            action = self.operation_id or self.name
            request.app.state.service.trail.note(by=by, action=action, subject=subject, status=status)
        except StoreUnavailable as error:
            logger.error("a call by %s is not in the trail: %s", by, error)
