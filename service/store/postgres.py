"""Connections to PostgreSQL that do not wait for ever."""

from __future__ import annotations

import math
import time
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

_Result = TypeVar("_Result")


class Connection(psycopg.Connection[Any]):
    """Gives itself up where nothing is heard of the server for too long.

    The limits of TCP find out a machine that is gone. Where the server alone hangs, the system of its machine goes on
    to acknowledge what is sent, and only an answer that does not come tells.

    Attributes:
        silent_seconds: how long nothing may come while an answer is awaited.
    """

    silent_seconds: float = math.inf

    def wait(self, gen: PQGen[_Result], *args: Any, **options: Any) -> _Result:
        """Wait for an answer.

        Raises:
            psycopg.OperationalError: none came; the connection is closed.
        """
        return super().wait(self._heard(gen), *args, **options)

    def _heard(self, gen: PQGen[_Result]) -> PQGen[_Result]:
        """The same steps; the driver takes one several times a second, also where nothing came."""
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard = time.monotonic()
                elif time.monotonic() - heard > self.silent_seconds:
                    self.close()
                    raise psycopg.OperationalError(f"the server said nothing for {self.silent_seconds:g} seconds")
                wanted = gen.send(ready)
        except StopIteration as end:
            result: _Result = end.value
            return result
