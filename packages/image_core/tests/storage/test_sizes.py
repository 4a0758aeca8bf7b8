import pytest

from image_core.storage.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("size_bytes", "size"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.50 KiB"),
        (2**20 - 6, "1023.99 KiB"),
        (2**20 - 1, "1 MiB"),
        (20 * 2**20, "20 MiB"),
        (20 * 2**20 + 1, "20 MiB"),
        (1_521_000, "1.45 MiB"),
        (2**30, "1 GiB"),
        (5 * 2**40, "5 TiB"),
        (2**50, "1024 TiB"),
    ],
)
def test_sizes_are_shown_in_binary_units(size_bytes: int, size: str) -> None:
    assert format_size(size_bytes) == size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("1,234,567", 1_234_567),
        ("100 B", 100),
        ("1.50 KiB", 1536),
        ("1.5KiB", 1536),
        ("50 GiB", 50 * 2**30),
        ("5 TiB", 5 * 2**40),
        ("9007199254740992", 2**53),
        ("", None),
        ("-1", None),
        ("50 GB", None),
        ("1.123 GiB", None),
        ("1e3", None),
        ("٣", None),
    ],
)
def test_a_size_is_read_as_it_is_shown(text: str, size_bytes: int | None) -> None:
    assert parse_size(text) == size_bytes
