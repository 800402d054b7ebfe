"""Who may do what: keys, sessions, the open loopback, and how often."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
import unicodedata
from datetime import timedelta
from functools import cached_property
from typing import Annotated
from urllib.parse import urlsplit

from anyio import CapacityLimiter
from fastapi import Depends, HTTPException, Request
from itsdangerous import BadSignature, Signer
from starlette.datastructures import Headers

from nlp.errors import AccessError, ForbiddenError, UnknownCallerError
from service import passwords
from service.callers import OPEN_CALLER, Caller, Means
from service.clock import Clock
from service.keys import digest_of, recognise
from service.rates import Rate, address_of, is_loopback, open_storage
from service.scopes import Open, Operation
from service.settings import Settings
from service.store import Store
from service.store.records import Scope, SignIn

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_MOST_RECENT = 1000


def require_credentials(settings: Settings, store: Store, clock: Clock) -> None:
    """Refuse to start a service that others reach and nobody may use, or that everybody may.

    Raises:
        AccessError: it listens on more than a loopback address, and there is neither a key that holds nor a user.
    """
    if is_loopback(settings.host):
        return
    at = clock()
    with store.read() as reader:
        keys, users = reader.credentials.all_keys(), reader.credentials.all_users()
    if not any(key.usable(at) for key in keys) and all(user.disabled for user in users):
        raise AccessError(
            f"the service would listen on {settings.host} and has no key that holds",
            expected="a key, or a loopback address such as 127.0.0.1",
            remedy="make one: musannif keys create NAME --scope classify",
        )


class Access:
    """Composes settings, store and clock.

    Args:
        settings: limits, and the address that is listened on.
        store: keeps keys, users and sessions.
        clock: tells what has expired.

    Attributes:
        door: passwords are checked one at a time, and those who wait take no thread from others.
    """

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self.door = CapacityLimiter(1)
        storage = open_storage(settings.rate_storage)
        self._requests = Rate(storage, "most_requests_per_minute", settings.most_requests_per_minute)
        self._sign_ins = Rate(storage, "most_sign_ins_per_minute", settings.most_sign_ins_per_minute)
        self._recent = _Recent(settings.recall_seconds, clock, store)

    def recall(self, operation: Operation, headers: Headers, cookie: str | None) -> tuple[bool, Caller | None]:
        """Whether :meth:`admit` waits for nothing, and who was let in just now by the same key or cookie, if anybody.

        Args:
            operation: what is asked for.
            headers: of the request.
            cookie: of a session, if there is one.
        """
        if not self._requests.near:
            return False, None
        caller = None if operation.need is Open.ANYONE else self._recent.find(headers, cookie)
        return operation.need is Open.ANYONE or caller is not None, caller

    def admit(
        self,
        operation: Operation,
        headers: Headers,
        cookie: str | None,
        client: tuple[str, int] | None,
        known: Caller | None = None,
    ) -> Caller | None:
        """Who asks, if they may, and not too often; ``None`` where anyone may ask.

        Args:
            operation: what is asked for.
            headers: of the request.
            cookie: of a session, if there is one.
            client: address and port.
            known: of :meth:`recall`.

        Raises:
            UnknownCallerError: nobody knows who asks.
            ForbiddenError: who asks may not do this.
            RateLimitError: who asks has asked too often.
        """
        writes = operation.method not in SAFE_METHODS
        if operation.need is Open.ANYONE:
            self._requests.count(address_of(client))
            if writes:
                _refuse_other_sites(headers)
            return None
        try:
            caller = self._identify(headers, cookie, client, known)
        except UnknownCallerError:
            self._requests.count(address_of(client))
            raise
        self._requests.count(address_of(client) if caller.means is Means.OPEN else caller.actor)
        if writes and caller.means is not Means.KEY:
            _refuse_other_sites(headers)
        if writes and caller.means is Means.SESSION:
            _check_csrf(caller, headers)
        _check_scope(caller, operation)
        return caller

    def sign_in(self, name: str, password: str, client: tuple[str, int] | None) -> tuple[str, Caller]:
        """Start a session.

        The session is new, whatever cookie came along. A wrong name, a wrong password and a locked or disabled account
        are answered alike, and take about the same time.

        Returns:
            The cookie, and who signed in.

        Raises:
            UnknownCallerError: the name and the password do not fit, or the account is locked.
            RateLimitError: there were too many attempts from this address.
        """
        self._sign_ins.count(address_of(client))
        settings, at = self._settings, self._clock()
        lock = timedelta(minutes=settings.lock_minutes)
        with passwords.TURN:  # no two attempts at once, so that none of them is left uncounted
            with self._store.read() as reader:
                user = reader.credentials.user(unicodedata.normalize("NFKC", name).strip())
            right = passwords.fits(user.password_hash if user else self._nobody, password)
            takes = user is not None and user.disabled is None and not user.locked(at)
            if user and takes and not right:
                with self._store.write(at) as writer:
                    writer.credentials.count_failure(user.name, most=settings.most_failures, lock=lock)
        token = secrets.token_urlsafe(32)
        session = None
        if user and takes and right:
            lasting = timedelta(hours=settings.session_hours)
            with self._store.write(at) as writer:
                session = writer.credentials.start_session(user, digest_of(token), lasting=lasting)
        if session is None:
            raise UnknownCallerError(
                "the name and the password do not fit, or the account is closed for a while",
                expected=f"no more than {settings.most_failures} wrong passwords in a row, "
                f"or {settings.lock_minutes:g} minutes after the last",
                remedy="musannif users password gives a new one",
            )
        return self._cookies.sign(token).decode(), self._signed_in(token, session)

    def sign_out(self, caller: Caller) -> None:
        """End the session of a caller, if there is one: its cookie opens nothing any more."""
        if caller.token:
            with self._store.write(self._clock()) as writer:
                writer.credentials.end_session(digest_of(caller.token))

    def _identify(
        self, headers: Headers, cookie: str | None, client: tuple[str, int] | None, known: Caller | None
    ) -> Caller:
        written = self._store.written
        caller = known or self._look_up(headers, cookie)
        if caller is OPEN_CALLER:
            if not _from_here(client):
                raise _unknown()
            _refuse_other_names(headers)
        if known is None:
            self._recent.keep(headers, cookie, caller, written)
        return caller

    def _look_up(self, headers: Headers, cookie: str | None) -> Caller:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        with self._store.read() as reader:
            if scheme:
                found = recognise(key.strip() if scheme.lower() == "bearer" else "", reader.credentials, self._clock())
                return Caller(Means.KEY, f"key:{found.name}", found.scopes, found.expires)
            token = self._token(cookie) if cookie else None
            if token and (session := reader.credentials.sign_in(digest_of(token), self._clock())):
                return self._signed_in(token, session)
            if is_loopback(self._settings.host) and not reader.credentials.any():
                return OPEN_CALLER
        raise _unknown()

    def _token(self, cookie: str) -> str | None:
        try:
            return self._cookies.unsign(cookie).decode()
        except BadSignature:
            return None

    def _signed_in(self, token: str, session: SignIn) -> Caller:
        csrf = self._csrf.get_signature(token).decode()
        return Caller(Means.SESSION, session.user.name, session.user.scopes, session.expires, token, csrf)

    @cached_property
    def _secret(self) -> str:
        with self._store.write(self._clock()) as writer:
            return writer.credentials.secret("session")

    @cached_property
    def _cookies(self) -> Signer:
        return _signer(self._secret, "session")

    @cached_property
    def _csrf(self) -> Signer:
        return _signer(self._secret, "csrf")

    @cached_property
    def _nobody(self) -> str:
        """The hash of a password that nobody has: unknown names take as long as known ones."""
        return passwords.hash_password(secrets.token_urlsafe())


class _Recent:
    """Callers who were let in, for as long as their keys and cookies hold and nothing is written here.

    Args:
        seconds: after which they are looked up again: another process may have written.
        clock: tells what has expired.
        store: keeps keys, users and sessions.
    """

    def __init__(self, seconds: float, clock: Clock, store: Store) -> None:
        self._seconds = seconds
        self._clock = clock
        self._store = store
        self._callers: dict[tuple[str, str], tuple[Caller, float, int]] = {}

    def find(self, headers: Headers, cookie: str | None) -> Caller | None:
        caller, end, written = self._callers.get(_proof(headers, cookie), (None, 0.0, 0))
        if caller is None or written != self._store.written or time.monotonic() >= end:
            return None
        return caller if caller.expires is None or self._clock() < caller.expires else None

    def keep(self, headers: Headers, cookie: str | None, caller: Caller, written: int) -> None:
        if len(self._callers) >= _MOST_RECENT:
            self._callers.clear()
        self._callers[_proof(headers, cookie)] = (caller, time.monotonic() + self._seconds, written)


def _proof(headers: Headers, cookie: str | None) -> tuple[str, str]:
    """What a caller is known by; keys and cookies themselves are not kept."""
    return digest_of(headers.get("authorization", "")), digest_of(cookie or "")


def _unknown() -> UnknownCallerError:
    return UnknownCallerError(
        "no key and no session that holds came with the request",
        expected="Authorization: Bearer KEY, or the cookie of POST /v1/session",
        remedy="musannif keys create makes a key",
    )


def _signer(secret: str, salt: str) -> Signer:
    return Signer(secret, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)


def _from_here(client: tuple[str, int] | None) -> bool:
    """Whether a client is on this machine; a client without an address came through a socket of this machine."""
    try:
        return client is None or ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return True


def _refuse_other_names(headers: Headers) -> None:
    """A page whose own name was made to mean this machine may not use the browser to ask an open service."""
    given = headers.get("host")
    try:
        name = urlsplit(f"//{given}").hostname or ""
    except ValueError:
        name = ""
    if given is not None and not is_loopback(name):
        raise ForbiddenError(
            f"the request calls the service {given!a}, and no key was made yet",
            expected="localhost or a loopback address such as 127.0.0.1",
            remedy="for other names, make a key: musannif keys create NAME",
        )


def _refuse_other_sites(headers: Headers) -> None:
    """A page of another site may not make a browser write here: not with a session, and not where access is open."""
    site = headers.get("sec-fetch-site", "none")
    if site not in ("none", "same-origin"):
        raise ForbiddenError(
            f"the request was made by a page of another site (Sec-Fetch-Site: {site!a})",
            expected="a page of this service",
            remedy="programs use a key",
        )


def _check_csrf(caller: Caller, headers: Headers) -> None:
    given = headers.get("x-csrf-token", "").encode()
    if not hmac.compare_digest(given, caller.csrf.encode()):
        raise ForbiddenError(
            "the header X-CSRF-Token is missing, or is not of this session",
            expected="csrf as GET /v1/session gives it",
        )


def _check_scope(caller: Caller, operation: Operation) -> None:
    if operation.need is Open.CALLER:
        return
    needed = Scope.ADMIN if operation.need is None else operation.need
    if needed not in caller.scopes:
        raise ForbiddenError(
            f"{operation.method} {operation.path} needs the scope {needed.value}"
            + (", or is not there" if operation.need is None else ""),
            expected=f"another key or user: {caller.actor} has {', '.join(sorted(caller.scopes)) or 'no scope'}",
        )


async def _access(request: Request) -> Access:
    access: Access | None = getattr(request.app.state, "access", None)
    if access is None:
        raise HTTPException(503, "the store is still opening", headers={"Retry-After": "1"})
    return access


AccessDep = Annotated[Access, Depends(_access)]
