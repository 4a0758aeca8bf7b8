import pytest

from image_api.fetching.source_url import parse


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("https://Example.ORG", "example.org", 443, "/"),
        ("http://example.org:/a/b.png?x=1&y=%20#part", "example.org", 80, "/a/b.png?x=1&y=%20"),
        ("https://example.org./ü/a.png?ö", "example.org", 443, "/%C3%BC/a.png?%C3%B6"),
        ("https://müller.example/", "xn--mller-kva.example", 443, "/"),
        ("http://a_b.example:8080/?", "a_b.example", 8080, "/"),
        ("http://1.1.1.1/", "1.1.1.1", 80, "/"),
        ("http://[2606:4700:0::1111]/", "2606:4700::1111", 80, "/"),
        ("http://１.1.1.1/", "1.1.1.1", 80, "/"),
    ],
)
def test_an_honest_url_is_taken_apart(url: str, host: str, port: int, target: str) -> None:
    parsed = parse(url)
    assert (parsed.host, parsed.port, parsed.target) == (host, port, target)


@pytest.mark.parametrize(
    ("url", "filename"),
    [
        ("http://a.example/x/fjord.jpg?size=1", "fjord.jpg"),
        ("http://a.example/%C3%B8y.jpg", "øy.jpg"),
        ("http://a.example/x/", None),
        ("http://a.example", None),
        ("http://a.example/a%2Fb.png", "b.png"),
    ],
)
def test_the_last_part_of_the_path_is_the_name(url: str, filename: str | None) -> None:
    assert parse(url).filename == filename


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("b.png", ("https", "a.example", 8443, "/x/b.png")),
        ("/b.png", ("https", "a.example", 8443, "/b.png")),
        ("//b.example/", ("https", "b.example", 443, "/")),
        ("http://b.example", ("http", "b.example", 80, "/")),
        ("?page=2", ("https", "a.example", 8443, "/x/a.png?page=2")),
    ],
)
def test_a_redirect_is_read_from_where_it_came(location: str, expected: tuple[str, str, int, str]) -> None:
    found = parse("https://a.example:8443/x/a.png").redirected_to(location)
    assert (found.scheme, found.host, found.port, found.target) == expected
