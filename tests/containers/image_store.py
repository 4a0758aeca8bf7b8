"""Builds the images with buildah, against a stand-in for the official Python base made from Debian packages."""

import fcntl
import json
import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BASE_IMAGE = "docker.io/library/python:3.13-slim"
DEBIAN_RELEASE = "trixie"
DEBIAN_PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
IMAGES = {
    "image-api": "apps/image_api/Dockerfile",
    "image-processor": "apps/image_processor/Dockerfile",
    "image-delivery": "apps/image_delivery/Dockerfile",
    "emulators": "apps/local_cloud/Dockerfile",
}
# Layers of old runs are kept, because they make the next build a matter of seconds; beyond this all of them go.
MOST_STORED_BYTES = 8 * 1024**3

# What Debian has and the official image has not, or the other way round. Without bytecode of the standard library
# the stand-in starts as slowly as the official base does.
_MAKE_ALIKE = """
rm -rf var/cache/apt/* var/lib/apt/lists/* usr/share/doc/* usr/share/man/* usr/share/locale/*
rm -f usr/lib/python3.13/EXTERNALLY-MANAGED
find usr/lib -name __pycache__ -prune -exec rm -rf {} +
ln -s /usr/bin/python3 usr/local/bin/python
ln -s /usr/bin/pip3 usr/local/bin/pip
"""


@dataclass(frozen=True)
class Layer:
    """One layer of an image, by the digest of its content; `size_bytes` is without compression."""

    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Image:
    """A built image, as its configuration describes it."""

    reference: str
    config: Mapping[str, Any]
    layers: tuple[Layer, ...]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the image sets."""
        return dict(item.split("=", 1) for item in self.config["Env"])

    @property
    def size_bytes(self) -> int:
        """All layers together, without compression."""
        return sum(layer.size_bytes for layer in self.layers)


class ImageStore:
    """Images and layers in a folder of their own: what other tools have on this machine is neither seen nor touched."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def in_cache(cls) -> "ImageStore":
        """The store that is kept between runs: `CONTAINER_TEST_CACHE`, or a folder in the user's cache."""
        default = Path.home() / ".cache" / "image-manager" / "containers"
        return cls(Path(os.environ.get("CONTAINER_TEST_CACHE") or default))

    def build(self, name: str, context: Path = ROOT, *, tag: str = "test") -> Image:
        """Build one of `IMAGES` and return it."""
        reference = f"localhost/image-manager/{name}:{tag}"
        certificates = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile or CERTIFICATES
        # OCI's own format has no place for a health check.
        options = ["--format", "docker", "--layers", "--pull-never", "--volume", f"{certificates}:{CERTIFICATES}:ro"]
        options += ["--file", str(context / IMAGES[name]), "--tag", reference]
        options += ["--build-context", f"base=container-image://{BASE_IMAGE}"]
        with self._alone():
            self._ensure_base()
            self.buildah("build", *options, str(context))
            return self._inspect(reference)

    @contextmanager
    def mounted(self, image: Image) -> Iterator[Path]:
        """The root file system of a container of this image, until the block ends."""
        container = self.buildah("from", "--pull-never", image.reference)
        try:
            yield Path(self.buildah("mount", container))
        finally:
            self.buildah("umount", container)
            self.buildah("rm", container)

    def push(self, image: Image, folder: Path) -> None:
        """Write the image to `folder` as a registry would store it, its layers compressed."""
        self.buildah("push", image.reference, f"oci:{folder}")

    def buildah(self, command: str, *arguments: str) -> str:
        """Run buildah on this store and return what it prints.

        Raises:
            RuntimeError: with the end of what it said.
        """
        where = ["--root", str(self._folder / "storage"), "--runroot", str(self._folder / "run")]
        done = subprocess.run(
            ["buildah", *where, "--storage-driver", self._driver, command, *arguments],
            env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"buildah {command} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done.stdout.strip()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Test processes share the store: one builds, the others then find its layers."""
        with (self._folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @cached_property
    def _driver(self) -> str:
        """Overlay mounts where the kernel has them here; whole copies of each layer otherwise."""
        given = os.environ.get("STORAGE_DRIVER")
        if given:
            return given
        with tempfile.TemporaryDirectory(dir=self._folder) as probe:
            where = ["--root", f"{probe}/root", "--runroot", f"{probe}/run", "--storage-driver", "overlay"]
            done = subprocess.run(["buildah", *where, "info"], capture_output=True, check=False)
        return "overlay" if done.returncode == 0 else "vfs"

    def _ensure_base(self) -> None:
        if sum(self._layer_sizes().values()) > MOST_STORED_BYTES and not self.buildah("containers", "--quiet"):
            self.buildah("rmi", "--all", "--force")
        if BASE_IMAGE in self.buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
            return
        container = self.buildah("from", "scratch")
        self.buildah("add", "--quiet", container, str(self._base_folder()), "/")
        path = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.buildah("config", "--env", f"PATH={path}", "--cmd", "python3", container)
        self.buildah("commit", "--rm", "--quiet", container, BASE_IMAGE)

    def _base_folder(self) -> Path:
        folder = self._folder / f"base-{DEBIAN_RELEASE}"
        if folder.exists():
            return folder
        staging = self._folder / f"base-{DEBIAN_RELEASE}.new"
        shutil.rmtree(staging, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", f"--include={DEBIAN_PACKAGES}", DEBIAN_RELEASE, str(staging)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"debootstrap failed:\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}")
        subprocess.run(["sh", "-euc", _MAKE_ALIKE], cwd=staging, check=True)
        return staging.rename(folder)

    def _inspect(self, reference: str) -> Image:
        described = json.loads(self.buildah("inspect", "--type", "image", reference))["Docker"]
        sizes = self._layer_sizes()
        layers = tuple(Layer(digest, sizes[digest]) for digest in described["rootfs"]["diff_ids"])
        return Image(reference, described["config"], layers)

    def _layer_sizes(self) -> dict[str, int]:
        """Every layer of the store by the digest of its content, with its size without compression."""
        index = self._folder / "storage" / f"{self._driver}-layers" / "layers.json"
        if not index.exists():
            return {}
        layers = json.loads(index.read_text())
        return {layer["diff-digest"]: layer.get("diff-size", 0) for layer in layers if "diff-digest" in layer}
