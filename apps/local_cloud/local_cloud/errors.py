"""Errors of starting the local cloud; each message says what to do.

LocalCloudError
├── AlreadyRunning          another `up` holds this data folder
├── PortInUse               another process listens on a requested port
├── NoFreePort              every candidate port is taken
├── DiskFull                no space left on the data's device
├── ChildCrashed            a process ended before it was ready; carries the tail of its log
├── NotReadyInTime          a process runs but does not answer
└── PostgresError
    ├── PostgresBinariesMissing
    ├── PostgresAccountMissing   started as root on a system where no account could be created
    ├── DataFolderBroken
    ├── DataFolderInUse
    └── DataFolderVersion        written by another major version
"""

# Errors are named for the condition, without a suffix, as the tree above shows.


class LocalCloudError(Exception):
    """An error that a person can fix; the message is a complete sentence for them."""


class AlreadyRunning(LocalCloudError):
    """Another process holds the lock of this data folder."""


class PortInUse(LocalCloudError):
    """A port that was requested by number is taken."""


class NoFreePort(LocalCloudError):
    """Every candidate port is taken."""


class DiskFull(LocalCloudError):
    """There is no space left on the device that holds the data."""


class ChildCrashed(LocalCloudError):
    """A process ended before it was ready, or too often."""


class NotReadyInTime(LocalCloudError):
    """A process is running but did not become ready before its deadline."""


class PostgresError(LocalCloudError):
    """The database server could not be started or queried."""


class PostgresBinariesMissing(PostgresError):
    """The wheel with the PostgreSQL binaries is not installed for this platform."""


class PostgresAccountMissing(PostgresError):
    """PostgreSQL refuses to run as root and there is no other account for it."""


class DataFolderBroken(PostgresError):
    """The data folder exists but PostgreSQL cannot start from it."""


class DataFolderInUse(PostgresError):
    """Another process of this machine serves the same data folder."""


class DataFolderVersion(PostgresError):
    """The data folder was written by another major version."""
