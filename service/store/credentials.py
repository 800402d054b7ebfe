"""Keys, users and sessions in the store. Every change but the count of failures has its entry in the audit log."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.orm import Session

from nlp.errors import AccountError
from service.store import audit
from service.store.records import ApiKey, Scope, SignIn, User
from service.store.tables import JobRow, KeyRow, SecretRow, SessionRow, SubmissionRow, UserRow

_ANY = select(or_(exists(KeyRow.id), exists(UserRow.id)))


class Credentials:
    """Questions, answered from one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def any(self) -> bool:
        """Whether a key or a user was ever made."""
        return bool(self._session.scalar(_ANY))

    def key(self, prefix: str) -> ApiKey | None:
        """The key that begins so."""
        row = self._key(prefix)
        return None if row is None else _key_of(row)

    def all_keys(self) -> Sequence[ApiKey]:
        """All keys in the order in which they were made, also those that open nothing any more."""
        return [_key_of(row) for row in self._session.scalars(select(KeyRow).order_by(KeyRow.id))]

    def user(self, name: str) -> User | None:
        """The user of that name."""
        row = self._user(name)
        return None if row is None else _user_of(row)

    def all_users(self) -> Sequence[User]:
        """All users in the order in which they were made, also those that are disabled."""
        return [_user_of(row) for row in self._session.scalars(select(UserRow).order_by(UserRow.id))]

    def sign_in(self, digest: str, at: datetime) -> SignIn | None:
        """The session whose token has this SHA-256, if it has not ended and its user is not disabled."""
        row = self._session.get(SessionRow, digest)
        if row is None or at >= row.expires or row.user.disabled is not None:
            return None
        return SignIn(_user_of(row.user), row.expires)

    def _key(self, prefix: str) -> KeyRow | None:
        return self._session.scalars(select(KeyRow).where(KeyRow.prefix == prefix)).one_or_none()

    def _user(self, name: str) -> UserRow | None:
        return self._session.scalars(select(UserRow).where(UserRow.name == name)).one_or_none()


class CredentialChanges(Credentials):
    """Changes, made in one transaction by one writer at a time.

    Args:
        session: has begun, and holds the store's turn to write.
        at: the time of all that is written.
    """

    def __init__(self, session: Session, at: datetime) -> None:
        super().__init__(session)
        self._at = at

    def add_key(self, key: ApiKey, *, actor: str) -> None:
        """Keep a new key.

        Raises:
            AccountError: there is or was a key of this name.
        """
        if self._session.scalar(select(exists().where(KeyRow.name == key.name))):
            raise AccountError(
                f"there is or was a key named {key.name!r}", expected="a new name", remedy="number it, say"
            )
        self._session.add(
            KeyRow(
                name=key.name,
                prefix=key.prefix,
                digest=key.digest,
                scopes=sorted(key.scopes),
                created=key.created,
                expires=key.expires,
            )
        )
        self._session.flush()
        self._log(actor, "key.create", name=key.name, prefix=key.prefix, scopes=sorted(key.scopes))

    def replace_key(self, former: str, name: str, *, actor: str) -> None:
        """Give a key what an earlier one handed in: submissions and jobs.

        Args:
            former: name of the earlier key, which goes on to open what it opens.
            name: of the new key.
            actor: who does it.

        Raises:
            AccountError: there never was a key of the former name.
        """
        if not self._session.scalar(select(exists().where(KeyRow.name == former))):
            raise AccountError(f"there is no key named {former!r}", expected="a name that musannif keys list shows")
        for table in (SubmissionRow, JobRow):
            self._session.execute(update(table).where(table.owner == f"key:{former}").values(owner=f"key:{name}"))
        self._log(actor, "key.replace", name=name, former=former)

    def revoke_key(self, prefix: str, *, actor: str) -> ApiKey:
        """Take a key back, for ever.

        Raises:
            AccountError: there is no such key, or it was revoked before.
        """
        row = self._key(prefix)
        if row is None or row.revoked is not None:
            raise AccountError(
                f"there is no key {prefix!r} that could be revoked", expected="a prefix that musannif keys list shows"
            )
        row.revoked = self._at
        self._session.flush()
        self._log(actor, "key.revoke", name=row.name, prefix=prefix)
        return _key_of(row)

    def add_user(self, user: User, *, actor: str) -> None:
        """Keep a new user.

        Raises:
            AccountError: there is a user of this name.
        """
        if self._user(user.name) is not None:
            raise AccountError(
                f"there is a user named {user.name!r}", expected="a new name", remedy="or change the password"
            )
        self._session.add(
            UserRow(
                name=user.name,
                password_hash=user.password_hash,
                scopes=sorted(user.scopes),
                created=user.created,
                failures=0,
            )
        )
        self._session.flush()
        self._log(actor, "user.create", name=user.name, scopes=sorted(user.scopes))

    def disable_user(self, name: str, *, actor: str) -> None:
        """Shut a user out: all sessions end, and no password is taken; a new password opens the account again.

        Raises:
            AccountError: there is no such user.
        """
        row = self._known(name)
        row.disabled = self._at
        self._end_sessions(row)
        self._log(actor, "user.disable", name=name)

    def set_password(self, name: str, password_hash: str, *, actor: str) -> None:
        """Give a user a new password. All sessions end; the account is neither locked nor disabled any more.

        Raises:
            AccountError: there is no such user.
        """
        row = self._known(name)
        row.password_hash, row.failures, row.locked_until, row.disabled = password_hash, 0, None, None
        self._end_sessions(row)
        self._log(actor, "user.password", name=name)

    def count_failure(self, name: str, *, most: int, lock: timedelta) -> None:
        """A wrong password for this user; at the last that is allowed the account is locked for some time."""
        row = self._known(name)
        row.failures += 1
        if row.failures >= most:
            row.failures, row.locked_until = 0, self._at + lock
            self._log(name, "user.lock", until=row.locked_until.isoformat())
        self._session.flush()

    def start_session(self, user: User, digest: str, *, lasting: timedelta) -> SignIn | None:
        """A session for a user whose password was right; those of anyone that have ended are forgotten.

        ``None`` if the user was changed since: has another password, was locked or disabled.
        """
        row = self._known(user.name)
        now = _user_of(row)
        if now.password_hash != user.password_hash or now.disabled is not None or now.locked(self._at):
            return None
        row.failures, row.locked_until = 0, None
        self._session.execute(delete(SessionRow).where(SessionRow.expires <= self._at))
        self._session.add(SessionRow(digest=digest, user_id=row.id, expires=self._at + lasting))
        self._session.flush()
        self._log(row.name, "session.start")
        return SignIn(_user_of(row), self._at + lasting)

    def end_session(self, digest: str) -> None:
        """The user signs out; nothing happens where there is no such session."""
        row = self._session.get(SessionRow, digest)
        if row is not None:
            self._log(row.user.name, "session.end")
            self._session.delete(row)
            self._session.flush()

    def secret(self, name: str) -> str:
        """A random secret of 256 bits in hexadecimal digits, made when it is first asked for."""
        row = self._session.get(SecretRow, name)
        if row is None:
            row = SecretRow(name=name, value=secrets.token_hex(32))
            self._session.add(row)
            self._session.flush()
        return row.value

    def _known(self, name: str) -> UserRow:
        row = self._user(name)
        if row is None:
            raise AccountError(f"there is no user {name!r}", expected="a name that musannif users list shows")
        return row

    def _end_sessions(self, row: UserRow) -> None:
        self._session.execute(delete(SessionRow).where(SessionRow.user_id == row.id))
        self._session.flush()

    def _log(self, actor: str, action: str, **payload: object) -> None:
        audit.append(self._session, at=self._at, actor=actor, action=action, payload=payload)


def _key_of(row: KeyRow) -> ApiKey:
    scopes = frozenset(map(Scope, row.scopes))
    return ApiKey(row.name, row.prefix, row.digest, scopes, row.created, row.expires, row.revoked)


def _user_of(row: UserRow) -> User:
    scopes = frozenset(map(Scope, row.scopes))
    return User(row.name, row.password_hash, scopes, row.created, row.disabled, row.failures, row.locked_until)
