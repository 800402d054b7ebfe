"""How often one caller may ask."""

from __future__ import annotations

import ipaddress
import logging
import math
import time

from limits import RateLimitItemPerMinute
from limits.errors import ConfigurationError, StorageError
from limits.storage import MemoryStorage, Storage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from nlp.errors import AccessError, RateLimitError

# Redis is given so long to answer; where it does not, nothing is counted for a while, and nobody waits for it.
_REDIS_SECONDS = 1.0
_PAUSE_SECONDS = 10.0

_log = logging.getLogger(__name__)


def open_storage(url: str) -> Storage:
    """Where requests are counted.

    Args:
        url: of the library ``limits``, such as ``memory://`` or ``redis://host:6379``.

    Raises:
        AccessError: the library does not know it.
    """
    far = url.startswith(("redis", "valkey")) and "+unix" not in url
    bounds = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), _REDIS_SECONDS) if far else {}
    try:
        storage = storage_from_string(url, wrap_exceptions=True, **bounds)
    except ConfigurationError as error:
        raise AccessError(
            "the place where requests are counted is not known",
            expected="memory:// or a URL such as redis://host:6379",
            remedy="set MUSANNIF_RATE_STORAGE",
        ) from error
    if not isinstance(storage, Storage):
        raise AccessError("requests cannot be counted in an asynchronous storage", expected="a URL without async+")
    return storage


class Rate:
    """So many a minute for each caller.

    Where the counts cannot be reached, requests pass uncounted: the service outlives its Redis. The log says so.

    Args:
        storage: where the counts are kept, of the library ``limits``.
        name: of what is counted.
        most: a minute; 0 for no limit.
    """

    def __init__(self, storage: Storage, name: str, most: int) -> None:
        self._limiter = FixedWindowRateLimiter(storage)
        self._item = RateLimitItemPerMinute(most, namespace=name) if most else None
        self._name = name
        self._paused_until = 0.0

    @property
    def near(self) -> bool:
        """Counting waits for no other machine."""
        return self._item is None or isinstance(self._limiter.storage, MemoryStorage)

    def count(self, caller: str) -> None:
        """Count one.

        Raises:
            RateLimitError: it is one too many; says in how many seconds the count starts again.
        """
        if self._item is None or time.monotonic() < self._paused_until:
            return
        try:
            if self._limiter.hit(self._item, caller):
                return
            left = self._limiter.get_window_stats(self._item, caller).reset_time - time.time()
        except StorageError as error:
            self._paused_until = time.monotonic() + _PAUSE_SECONDS
            fault = type(error.storage_error).__name__
            _log.warning("requests are not counted for %g seconds (%s): %s", _PAUSE_SECONDS, self._name, fault)
            return
        raise RateLimitError(
            f"too many requests ({self._name})",
            expected=f"at most {self._item.amount} a minute",
            retry_after=max(1, math.ceil(left)),
        )


def address_of(client: tuple[str, int] | None) -> str:
    """The name under which a client without a key is counted: its address, of IPv6 the network of 64 bits."""
    host = client[0] if client else "local"
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def is_loopback(host: str) -> bool:
    """Whether nothing outside this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
