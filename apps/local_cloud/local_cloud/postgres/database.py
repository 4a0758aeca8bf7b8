"""The database, its owner and the logins of the services on the local server."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from local_cloud.identity import write_private
from local_cloud.postgres.server import PostgresServer

DATABASE = "image_manager"
OWNER = "image_migrator"
SERVICE_ROLES = ("image_api", "image_processor", "image_tasks", "image_delivery")


@dataclass(frozen=True)
class DatabaseUrls:
    """One URL for each login."""

    owner: str
    api: str
    processor: str
    tasks: str
    delivery: str

    @classmethod
    def all_the_same(cls, url: str) -> "DatabaseUrls":
        """For a server from outside, whose logins are not ours to make."""
        return cls(url, url, url, url, url)


def prepare_database(server: PostgresServer, data_dir: Path) -> DatabaseUrls:
    """Make roles and database where they are absent; the roles' passwords lie in `database-roles.json` (0600)."""
    passwords = _passwords(data_dir / "database-roles.json")
    statements = []
    for role, password in passwords.items():
        rights = "LOGIN CREATEROLE" if role == OWNER else "LOGIN"
        statements += [
            _unless_there(f"CREATE ROLE {role}", "pg_roles", "rolname", role),
            f"ALTER ROLE {role} {rights} PASSWORD '{password}';",
        ]
    statements += [
        # Without this the owner could not grant rights to roles that it did not make itself.
        f"GRANT {', '.join(SERVICE_ROLES)} TO {OWNER} WITH ADMIN OPTION;",
        _unless_there(f"CREATE DATABASE {DATABASE} OWNER {OWNER}", "pg_database", "datname", DATABASE),
        f"\\connect {DATABASE}",
        # The extension is not trusted: the superuser makes it, as a cloud administrator would.
        "SET client_min_messages = warning;",
        "CREATE EXTENSION IF NOT EXISTS vector;",
    ]
    server.execute("\n".join(statements))
    return DatabaseUrls(*(server.url(DATABASE, role, passwords[role]) for role in (OWNER, *SERVICE_ROLES)))


def _unless_there(statement: str, catalog: str, column: str, name: str) -> str:
    # psql runs what the query returns, which is nothing if the name is there.
    return f"SELECT '{statement}' WHERE NOT EXISTS (SELECT FROM {catalog} WHERE {column} = '{name}') \\gexec"  # noqa: S608


def _passwords(path: Path) -> dict[str, str]:
    """Read the roles' passwords, and make those of roles that came with a later release."""
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    absent = {role: secrets.token_hex(24) for role in (OWNER, *SERVICE_ROLES) if role not in known}
    if absent:
        write_private(path, json.dumps(known | absent))
    return known | absent
