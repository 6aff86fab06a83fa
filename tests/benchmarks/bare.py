"""The endpoint that ours is compared with: FastAPI alone, which validates the same request and returns the same JSON.

With or without a bare durable append: python -m tests.benchmarks.bare PORT ANSWER [DATABASE]
"""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from serving.schemas import RecommendationRequest, RecommendationResponse


def app_of(answer: dict[str, Any], database: str) -> FastAPI:
    """The app that answers so, and appends to a database where one is named."""
    app = FastAPI()
    connection = None
    if database:
        connection = sqlite3.connect(database, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE events (position INTEGER PRIMARY KEY, text TEXT)")
    text = json.dumps(answer) * 2  # about what a decision's record takes

    @app.post("/v1/recommendations", response_model=RecommendationResponse)
    async def recommend(body: RecommendationRequest) -> JSONResponse:
        if connection is not None:
            connection.execute("INSERT INTO events (text) VALUES (?)", [text])
        return JSONResponse(answer)

    @app.post("/v1/outcomes", status_code=202)
    async def outcomes(body: dict[str, Any]) -> JSONResponse:
        if connection is not None:
            connection.execute("INSERT INTO events (text) VALUES (?)", [json.dumps(body)])
        return JSONResponse({"accepted": 1, "duplicates": 0, "rejected": []}, status_code=202)

    return app


if __name__ == "__main__":
    port, answer_file, *database_file = sys.argv[1:]
    uvicorn.run(
        app_of(json.loads(Path(answer_file).read_text()), database_file[0] if database_file else ""),
        port=int(port), loop="uvloop", http="httptools", access_log=False, log_level="warning",
    )  # fmt: skip
