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
    """One URL per login."""

    owner: str
    api: str
    processor: str
    tasks: str
    delivery: str

    @classmethod
    def all_the_same(cls, url: str) -> "DatabaseUrls":
        """Return the same URL for every login, for an external server whose logins we do not manage."""
        return cls(url, url, url, url, url)


def prepare_database(server: PostgresServer, data_dir: Path) -> DatabaseUrls:
    """Create roles and database unless they exist; the roles' passwords are in `database-roles.json` (0600)."""
    passwords = _passwords(data_dir / "database-roles.json")
    statements = []
    for role, password in passwords.items():
        rights = "LOGIN CREATEROLE" if role == OWNER else "LOGIN"
        statements += [
            _unless_exists(f"CREATE ROLE {role}", "pg_roles", "rolname", role),
            f"ALTER ROLE {role} {rights} PASSWORD '{password}';",
        ]
    statements += [
        # Without this the owner could not grant roles that it did not create itself.
        f"GRANT {', '.join(SERVICE_ROLES)} TO {OWNER} WITH ADMIN OPTION;",
        _unless_exists(f"CREATE DATABASE {DATABASE} OWNER {OWNER}", "pg_database", "datname", DATABASE),
        f"\\connect {DATABASE}",
        # The extension is not trusted: the superuser creates it, as a cloud administrator would.
        "SET client_min_messages = warning;",
        "CREATE EXTENSION IF NOT EXISTS vector;",
    ]
    server.execute("\n".join(statements))
    return DatabaseUrls(*(server.url(DATABASE, role, passwords[role]) for role in (OWNER, *SERVICE_ROLES)))


def _unless_exists(statement: str, catalog: str, column: str, name: str) -> str:
    # psql runs the output of the query, which is empty if the name exists.
    return f"SELECT '{statement}' WHERE NOT EXISTS (SELECT FROM {catalog} WHERE {column} = '{name}') \\gexec"  # noqa: S608


def _passwords(path: Path) -> dict[str, str]:
    """Return the roles' passwords, and generate those of roles added by a later release."""
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    absent = {role: secrets.token_hex(24) for role in (OWNER, *SERVICE_ROLES) if role not in known}
    if absent:
        write_private(path, json.dumps(known | absent))
    return known | absent
