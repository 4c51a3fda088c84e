"""Models and settings in, the web application out."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from topicgen.generate import TopicGenerator
from topicgen.serving import completions, documentation, status, themes, topics
from topicgen.serving.admission import Admission, Flight
from topicgen.serving.batching import Batcher
from topicgen.serving.failures import install_failures
from topicgen.serving.grouping import GroupingThread
from topicgen.serving.metrics import Metrics
from topicgen.serving.security import Guard
from topicgen.serving.service import Service
from topicgen.serving.settings import ServerSettings
from topicgen.version import __version__

DESCRIPTION = "Topics for texts, and themes for collections, written by a language model."


def create_app(settings: ServerSettings, generators: Mapping[str, TopicGenerator]) -> FastAPI:
    """The application.

    Args:
        settings: What it takes, and whom it answers.
        generators: The models by the names that requests use; the first is the default.
    """
    metrics, flight = Metrics(), Flight()
    batcher, grouping = Batcher(generators, settings, metrics), GroupingThread()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.ensure_future(batcher.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            batcher.close()
            grouping.close()

    app = FastAPI(
        title="topicgen",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        dependencies=[Depends(HTTPBearer(auto_error=False))] if settings.token else None,
    )
    app.state.service = Service(generators, settings, batcher, grouping, flight, metrics, int(time.time()))
    install_failures(app)
    for part in (topics, themes, completions, status, documentation):
        app.include_router(part.router)
    app.add_middleware(Admission, settings=settings, flight=flight, metrics=metrics)
    app.add_middleware(Guard, settings=settings)  # the last one added is the first one asked
    return app
