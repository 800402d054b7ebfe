"""The model in use."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from models.bundle import load_tagger, read_manifest, read_metrics
from models.tagger import Options, Tagger
from nlp.records import Classification, Document, Failure
from service.batching import Batcher
from service.clock import utc_now
from service.schemas import ModelOut
from service.settings import Settings


@dataclass(frozen=True)
class Model:
    """The tagger in use, and the queue of the texts that wait for it.

    Attributes:
        tagger: tags.
        out: the versions that every answer names.
        batcher: queue of the texts.
        loaded: when it was opened.
        training: provenance, as the bundle's manifest has it; none where no bundle was opened.
        metrics: what was measured, as the bundle has it.
    """

    tagger: Tagger
    out: ModelOut
    batcher: Batcher
    loaded: datetime
    training: Mapping[str, Any] | None = None
    metrics: Mapping[str, Any] | None = None

    def classify(
        self, documents: Sequence[Document], options: Options, *, patient: bool = False
    ) -> list[Classification | Failure]:
        """Tag texts when it is their turn, and wait for it; see :meth:`Batcher.submit`."""
        return self.batcher.submit(self.tagger, documents, options, patient=patient).result()

    async def classify_for(
        self, request: Request, documents: Sequence[Document], options: Options
    ) -> list[Classification | Failure]:
        """Tag texts for a request; they are dropped if its client goes.

        Raises:
            ClientDisconnect: the client has gone.
            QueueFullError: too many texts wait.
            DeadlineError: the model did not come to the last text in time.
            ModelStoppedError: the model takes no more texts.
        """
        work = self.batcher.submit(self.tagger, documents, options)
        results = asyncio.wrap_future(work)
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait((results, gone), return_when=asyncio.FIRST_COMPLETED)
            if not results.done():
                raise ClientDisconnect
            return results.result()
        finally:
            work.cancel()
            gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def open_model(settings: Settings, tagger: Tagger | None, batcher: Batcher) -> Model:
    """Take the given tagger, or open the bundle of the settings.

    Args:
        settings: name the bundle.
        tagger: in its place.
        batcher: queue of the texts.

    Raises:
        BundleError: the bundle is missing, incomplete or altered.
    """
    if tagger is None:
        manifest = read_manifest(settings.bundle)
        tagger = load_tagger(settings.bundle, threads=settings.threads or None)
        out = ModelOut(name=tagger.name, **manifest.versions)
        return Model(tagger, out, batcher, utc_now(), manifest.training, read_metrics(settings.bundle))
    out = ModelOut(
        name=tagger.name,
        taxonomy=f"{tagger.taxonomy.version}+{tagger.taxonomy.fingerprint[:12]}",
        recipe=f"{tagger.recipe.name}+{tagger.recipe.fingerprint[:12]}",
        thresholds="given",
    )
    return Model(tagger, out, batcher, utc_now())
