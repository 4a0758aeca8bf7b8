"""The tag of an image in its addresses: it changes with the bytes and when the addresses are revoked."""

import hashlib

TAG_LENGTH = 6


def delivery_tag(generation: int, delivery_epoch: int) -> str:
    """Return six hex digits for a generation of the original and the image's delivery epoch."""
    return hashlib.sha256(f"{generation}/{delivery_epoch}".encode()).hexdigest()[:TAG_LENGTH]
