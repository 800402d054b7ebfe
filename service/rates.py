"""How often one caller may ask."""

from __future__ import annotations

import ipaddress
import math
import time

from limits import RateLimitItemPerMinute
from limits.errors import ConfigurationError
from limits.storage import Storage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from nlp.errors import AccessError, RateLimitError


def open_storage(url: str) -> Storage:
    """Where requests are counted.

    Args:
        url: of the library ``limits``, such as ``memory://`` or ``redis://host:6379``.

    Raises:
        AccessError: the library does not know it.
    """
    try:
        storage = storage_from_string(url)
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

    Args:
        storage: where the counts are kept, of the library ``limits``.
        name: of what is counted.
        most: a minute; 0 for no limit.
    """

    def __init__(self, storage: Storage, name: str, most: int) -> None:
        self._limiter = FixedWindowRateLimiter(storage)
        self._item = RateLimitItemPerMinute(most, namespace=name) if most else None
        self._name = name

    def count(self, caller: str) -> None:
        """Count one.

        Raises:
            RateLimitError: it is one too many; says in how many seconds the count starts again.
        """
        if self._item is None or self._limiter.hit(self._item, caller):
            return
        left = self._limiter.get_window_stats(self._item, caller).reset_time - time.time()
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
