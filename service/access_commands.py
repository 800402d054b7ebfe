"""The commands ``musannif keys`` and ``musannif users``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import timedelta

import click
from rich.console import Console
from rich.table import Table

from service.clock import utc_now
from service.keys import new_key
from service.options import database_option, opened_store
from service.passwords import checked_name, hash_password
from service.store.records import Scope, User

_ACTOR = "command line"

_scopes = [scope.value for scope in Scope]


@click.group()
def keys() -> None:
    """Keys of programs. From the first key or user on, every request must say who asks."""


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(_scopes),
    default=[Scope.CLASSIFY.value],
    show_default=True,
    help="What the key opens; give it several times for several scopes.",
)
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="How long it opens that.")
@click.option("--replaces", help="Name of an earlier key: what that one handed in is the new one's from now on.")
@database_option
def create_key(name: str, scopes: tuple[str, ...], days: int, replaces: str | None, database: str | None) -> None:
    """Make a key for the program NAME and show it: now, and never again."""
    at = utc_now()
    key, kept = new_key(checked_name(name), map(Scope, scopes), at, timedelta(days=days))
    with opened_store(database, create=True) as store, store.write(at) as writer:
        writer.credentials.add_key(kept, actor=_ACTOR)
        if replaces:
            writer.credentials.replace_key(replaces, kept.name, actor=_ACTOR)
    click.echo(key)
    click.echo(f"{kept.prefix} for {kept.name}, {_listed(kept.scopes)}, until {kept.expires:%Y-%m-%d}", err=True)
    click.echo("Keep the key now: only its hash is stored. Send it as Authorization: Bearer KEY.", err=True)


@keys.command("list")
@database_option
def list_keys(database: str | None) -> None:
    """Show all keys by the prefix with which they begin."""
    at = utc_now()
    with opened_store(database) as store, store.read() as reader:
        found = reader.credentials.all_keys()
    table = Table("prefix", "name", "scopes", "created", "expires", "state")
    for key in found:
        state = "revoked" if key.revoked else "holds" if key.usable(at) else "expired"
        table.add_row(
            key.prefix, key.name, _listed(key.scopes), f"{key.created:%Y-%m-%d}", f"{key.expires:%Y-%m-%d}", state
        )
    _show(table)


@keys.command("revoke")
@click.argument("prefix")
@database_option
def revoke_key(prefix: str, database: str | None) -> None:
    """Take back the key that begins with PREFIX, at once and for ever."""
    with opened_store(database) as store, store.write(utc_now()) as writer:
        key = writer.credentials.revoke_key(prefix, actor=_ACTOR)
    click.echo(f"{key.prefix} of {key.name} opens nothing any more")


@click.group()
def users() -> None:
    """Reviewers who sign in by name and password."""


@users.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(_scopes),
    default=[Scope.CLASSIFY.value, Scope.REVIEW.value],
    show_default=True,
    help="What the user may do; give it several times for several scopes.",
)
@database_option
def create_user(name: str, scopes: tuple[str, ...], database: str | None) -> None:
    """Add a user; the password is asked for, or read as a line of standard input."""
    at = utc_now()
    user = User(checked_name(name), hash_password(_password()), frozenset(map(Scope, scopes)), at)
    with opened_store(database, create=True) as store, store.write(at) as writer:
        writer.credentials.add_user(user, actor=_ACTOR)
    click.echo(f"{user.name}: {_listed(user.scopes)}")


@users.command("list")
@database_option
def list_users(database: str | None) -> None:
    """Show all users."""
    at = utc_now()
    with opened_store(database) as store, store.read() as reader:
        found = reader.credentials.all_users()
    table = Table("name", "scopes", "created", "state")
    for user in found:
        state = "disabled" if user.disabled else "locked" if user.locked(at) else "active"
        table.add_row(user.name, _listed(user.scopes), f"{user.created:%Y-%m-%d}", state)
    _show(table)


@users.command("disable")
@click.argument("name")
@database_option
def disable_user(name: str, database: str | None) -> None:
    """Shut a user out at once; `musannif users password` lets them in again."""
    with opened_store(database) as store, store.write(utc_now()) as writer:
        writer.credentials.disable_user(checked_name(name), actor=_ACTOR)
    click.echo(f"{name} is disabled")


@users.command("password")
@click.argument("name")
@database_option
def set_password(name: str, database: str | None) -> None:
    """Give a user a new password, asked for or read as a line of standard input; all sessions end, all locks open."""
    found = hash_password(_password())
    with opened_store(database) as store, store.write(utc_now()) as writer:
        writer.credentials.set_password(checked_name(name), found, actor=_ACTOR)
    click.echo(f"{name} has a new password")


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


def _listed(scopes: Iterable[Scope]) -> str:
    return ", ".join(sorted(scopes))


def _show(table: Table) -> None:
    Console(width=None if sys.stdout.isatty() else 160).print(table)
