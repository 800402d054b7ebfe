"""Messages to webhooks: signed, posted to a checked address, and never further.

The form of the signature is that of https://www.standardwebhooks.com, for which libraries exist in most languages.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import httpx

import nlp
from nlp.errors import WebhookError
from service.store.records import Delivery

Networks = tuple[IPv4Network | IPv6Network, ...]
Resolve = Callable[[str, int], list[str]]

_PREFIX = "whsec_"
# IPv6 addresses by which translators reach IPv4 ones.
_TRANSLATED = ip_network("64:ff9b::/96")
# All public addresses of IPv6 are in it; what is outside may reach this network by ways that `is_global` does not know.
_GLOBAL_UNICAST = ip_network("2000::/3")


@dataclass(frozen=True)
class Outcome:
    """What came of a try.

    Attributes:
        status: of the answer, if there was one.
        problem: why it failed; ``None`` if the message was delivered.
    """

    status: int | None
    problem: str | None


@dataclass(frozen=True)
class Target:
    """A checked address.

    Attributes:
        url: with the numeric address in the place of the name, which is thus not looked up again.
        host: the ``Host`` header.
        name: that the certificate must have.
    """

    url: httpx.URL
    host: str
    name: str


def new_secret() -> str:
    """A key for signatures: 256 random bits."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signature(secret: str, message: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 over message id, time and body, as the header ``webhook-signature`` has it.

    Args:
        secret: ``whsec_`` and Base64.
        message: id of the message.
        timestamp: seconds since 1970.
        body: as it is sent.
    """
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    mac = hmac.new(key, f"{message}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


def resolve(host: str, port: int) -> list[str]:
    """The numeric addresses of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def check_url(url: str, networks: Networks, look_up: Resolve = resolve) -> Target:
    """Look a webhook's host up, and refuse it if any of its addresses is private.

    Args:
        url: of the webhook.
        networks: private ones that are allowed.
        look_up: gives the addresses of a host.

    Raises:
        WebhookError: it is no such address, has none, or has a private one.
    """
    expected = "https://host/path or http://host/path, without a user name"
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        parsed = httpx.URL(url)
    except (ValueError, KeyError, httpx.InvalidURL) as error:
        raise WebhookError(f"the address is {url[:200]!r}", expected=expected) from error
    host = parsed.host
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        raise WebhookError(f"the address is {url[:200]!r}", expected=expected)
    try:
        addresses = look_up(host, port)
    except (OSError, UnicodeError) as error:
        raise WebhookError(f"the host {host!r} is not found", expected="a host with an address") from error
    for address in addresses:
        if not _allowed(address, networks):
            raise WebhookError(
                f"the host {host!r} has the address {address}, which is not public",
                expected="public addresses only",
                remedy="allow its network with MUSANNIF_WEBHOOK_NETWORKS",
            )
    if not addresses:
        raise WebhookError(f"the host {host!r} has no address", expected="a host with an address")
    return Target(parsed.copy_with(host=addresses[0]), parsed.netloc.decode("ascii"), host)


def _allowed(address: str, networks: Networks) -> bool:
    real = _real(ip_address(address.partition("%")[0]))
    if any(real in network for network in networks if network.version == real.version):
        return True
    return real.is_global and not real.is_multicast and (real.version == 4 or real in _GLOBAL_UNICAST)


def _real(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(address.packed[-4:])
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


class Sender:
    """Posts messages. The name is looked up and checked at every try, and the connection goes to the checked address.

    Args:
        networks: private ones that are allowed.
        seconds: that a webhook has to answer, from the connection to the status.
        transport: of the connections; the network if not given.
        look_up: gives the addresses of a host.
    """

    def __init__(
        self,
        networks: Networks,
        *,
        seconds: float,
        transport: httpx.AsyncBaseTransport | None = None,
        look_up: Resolve = resolve,
    ) -> None:
        self._networks = networks
        self._seconds = seconds
        self._transport = transport
        self._look_up = look_up
        self._tls = httpx.create_ssl_context(trust_env=False)

    def post(self, delivery: Delivery, at: datetime) -> Outcome:
        """Send a message; the answer's body is not read.

        Args:
            delivery: with its webhook.
            at: the time that is signed.
        """
        try:
            target = check_url(delivery.webhook.url, self._networks, self._look_up)
        except WebhookError as error:
            return Outcome(None, str(error))
        body, timestamp = delivery.body.encode(), int(at.timestamp())
        headers = {
            "Host": target.host,
            "Content-Type": "application/json",
            "User-Agent": f"musannif/{nlp.__version__}",
            "webhook-id": delivery.message,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(delivery.webhook.secret, delivery.message, timestamp, body),
        }
        try:
            status = asyncio.run(self._send(target, body, headers))
        except TimeoutError:
            return Outcome(None, f"no answer within {self._seconds:g} seconds (webhook_seconds)")
        except httpx.HTTPError as error:
            return Outcome(None, f"{type(error).__name__}: {error}"[:300])
        if 200 <= status < 300:
            return Outcome(status, None)
        return Outcome(status, f"the webhook answered {status}, expected 200 to 299")

    async def _send(self, target: Target, body: bytes, headers: dict[str, str]) -> int:
        """Post to an address; gives the status of the answer.

        Time limits of the library are those of one read: a receiver that drips would hold a thread for ever. Every try
        has a connection of its own: one that is kept belongs to an address, and may bear another host's certificate.
        No proxies and no redirects: both would go where nobody looked.
        """
        async with (
            asyncio.timeout(self._seconds),
            httpx.AsyncClient(
                timeout=self._seconds,
                follow_redirects=False,
                trust_env=False,
                verify=self._tls,
                transport=self._transport,
            ) as client,
            client.stream(
                "POST", target.url, content=body, headers=headers, extensions={"sni_hostname": target.name}
            ) as answer,
        ):
            await answer.aclose()
        return answer.status_code
