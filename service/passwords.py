"""Names and passwords of those who sign in."""

from __future__ import annotations

import re
import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from nlp.errors import AccountError

MOST_CHARACTERS = 200
LEAST_CHARACTERS = 12

# argon2id in the second recommended form of RFC 9106 (64 MiB), which is what the library takes by default.
HASHER = PasswordHasher()

# Passwords are checked one at a time: each takes 64 MiB and all of a processor.
TURN = threading.RLock()

# ":" and "/" are what sets the names of keys and of requests off from those of users.
_NAME = re.compile(r"[^\x00-\x1f\x7f:/]{1,100}")

# Who is nobody in particular, in the audit log and as a sender.
_TAKEN = ("api", "command line")


def checked_name(name: str) -> str:
    """A name as it is kept: in the Unicode form NFKC, without spaces around it.

    Raises:
        AccountError: it cannot be a name.
    """
    found = unicodedata.normalize("NFKC", name).strip()
    invisible = any(unicodedata.category(character) in ("Cf", "Cs") for character in found)
    if not _NAME.fullmatch(found) or invisible or found in _TAKEN:
        raise AccountError(
            f"{name!a} cannot be a name",
            expected=f"1 to 100 characters, no colon, slash or invisible character, and not {' or '.join(_TAKEN)}",
        )
    return found


def hash_password(password: str) -> str:
    """The argon2 hash of a new password.

    Raises:
        AccountError: the password is too short or too long.
    """
    if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        raise AccountError(
            f"the password has {len(password)} characters",
            expected=f"{LEAST_CHARACTERS} to {MOST_CHARACTERS}",
            remedy="a few words in a row are easy to remember",
        )
    with TURN:
        return HASHER.hash(_normal(password))


def fits(password_hash: str, password: str) -> bool:
    """Whether a password is the one that was hashed."""
    with TURN:
        try:
            return HASHER.verify(password_hash, _normal(password))
        except VerifyMismatchError:
            return False


def _normal(password: str) -> str:
    """The same for the same characters, whichever keyboard wrote them; lone surrogates cannot be hashed."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace").decode()
