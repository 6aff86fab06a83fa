"""What pages change: every form of the dashboard, each behind its scope, its token and the trail."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from recsys.errors import Misuse, RecsysError
from recsys.keys import Scope
from serving.bootstrap import Service
from serving.dashboard import system_page
from serving.forms import posted
from serving.readings import Readings
from serving.settling import dropped, released


def steering_pages(service: Service, *, readings: Readings) -> APIRouter:
    """Every form's target over one service."""
    router = APIRouter(include_in_schema=False)
    home = service.home

    @router.post("/system/quarantine")
    async def quarantine(request: Request) -> Response:
        caller, fields = await posted(service.gate, request, scope=Scope.ADMIN)

        def settle() -> str:
            item = home.quarantine.one(fields.get("key", ""))
            if len(why := fields.get("why", "")) < 3:
                raise Misuse("say why: it is kept with it")
            release = fields.get("what") == "release"
            (released if release else dropped)(home, [item], by=caller.name, why=why[:500])
            return "released" if release else "dropped"

        try:
            done = await run_in_threadpool(settle)
        except RecsysError as error:
            return await run_in_threadpool(system_page, readings.system(), request, trouble=str(error))
        return RedirectResponse(f"/system?done={done}#quarantine", status_code=303)

    return router
