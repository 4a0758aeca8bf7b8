import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.images import filenames
from image_core.images.filenames import MAX_LENGTH

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("photo.png", "photo.png"),
        ("C:\\Users\\ada\\photo.png", "photo.png"),
        ("../../etc/passwd", "passwd"),
        ("a\x01b\x85\u2028.png", "ab.png"),
        ("gpj.\u202efdp\u2066\u2069.png", "gpj.fdp.png"),
        ("می\u200cخواهم.png", "می\u200cخواهم.png"),
        (f"{FAMILY}.png", f"{FAMILY}.png"),
        ("Bildschirmfoto um 10.30\u202fUhr\u00a0.png", "Bildschirmfoto um 10.30\u202fUhr\u00a0.png"),
        ("Zu\u0308rich.png", "Zu\u0308rich.png"),
        ("half\ud83d.png", "half.png"),
        ("folder/", None),
        ("..", None),
        ("\u202e \n", None),
        ("", None),
    ],
)
def test_the_last_part_of_a_path_is_kept_as_it_was_sent(sent: str, kept: str | None) -> None:
    assert filenames.clean(sent) == kept


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("x" * 300 + ".png", "x" * 251 + ".png"),
        ("x" * 300 + ".tar.gz", "x" * 252 + ".gz"),
        ("." + "x" * 300, "." + "x" * 254),
        ("x." + "y" * 300, "x." + "y" * 253),
        # Nothing that reads as one character is taken apart.
        ("x" * 250 + "e\u0301\u0302" * 9 + ".png", "x" * 250 + ".png"),
        ("x" * 249 + FAMILY * 9 + ".png", "x" * 249 + ".png"),
        ("x" * 250 + "\U0001f1f3\U0001f1f4" * 9 + ".png", "x" * 250 + ".png"),
        ("x" * 250 + "\U0001f44d\U0001f3fd" * 9 + ".png", "x" * 250 + ".png"),
    ],
)
def test_a_long_name_keeps_its_extension(sent: str, kept: str) -> None:
    assert filenames.clean(sent) == kept


@given(st.text())
def test_a_cleaned_name_stays_as_it_is(text: str) -> None:
    name = filenames.clean(text)
    assert name is None or (0 < len(name) <= MAX_LENGTH and filenames.clean(name) == name)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Ålesund ✓".encode(), "Ålesund ✓"),
        ("Übersicht-Ålesund".encode("latin-1"), "Übersicht-Ålesund"),
        ("„10 €“".encode("cp1252"), "„10 €“"),
        ("写真".encode("shift-jis") + b"\x81", None),
    ],
)
def test_bytes_of_any_encoding_have_a_text(raw: bytes, text: str | None) -> None:
    assert text in (filenames.decode(raw), None)
    filenames.decode(raw).encode()


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("form-data; name=file; filename=photo.png", "photo.png"),
        ('form-data; name="file"; filename="Ålesund.png"', "Ålesund.png"),
        ("attachment; filename*=UTF-8''%C3%85lesund.png", "Ålesund.png"),
        ("attachment; filename=\"a.png\"; filename*=utf-8'en'%e2%82%ac.png", "€.png"),
        ("attachment; filename*=iso-8859-1''%C5lesund.png; filename=a.png", "Ålesund.png"),
        ("attachment; filename*=\"UTF-8''%C3%85.png\"", "Å.png"),
        ("attachment; filename*=UTF-8''; filename=a.png", "a.png"),
        ("attachment; filename*=nonsense; filename=a.png", "a.png"),
        ("attachment; FILENAME = a.png", "a.png"),
        ("filename=a.png", "a.png"),
        ("attachment; filename=\"a; filename*=UTF-8''b.png\"", "a; filename*=UTF-8''b.png"),
        ('attachment; filename="say \\"cheese\\".png"', 'say "cheese".png'),
        ('form-data; filename="say %22cheese%22.png"', 'say "cheese".png'),
        ('form-data; filename="C:\\Users\\ada\\a.png"', "a.png"),
        ('form-data; filename="%0D%0Aa.png"', "a.png"),
        ("attachment; filename*=UTF-8''..%2F..%2Fa.png", "a.png"),
        ("attachment", None),
        ("", None),
        ('attachment; filename=""', None),
    ],
)
def test_the_extended_name_counts_before_the_plain_one(disposition: str, name: str | None) -> None:
    assert filenames.from_disposition(disposition.encode().decode("latin-1")) == name


def test_a_name_in_latin_1_is_read_from_a_header() -> None:
    assert filenames.from_disposition('form-data; name="file"; filename="Übersicht.png"') == "Übersicht.png"


@given(st.text())
def test_what_is_sent_out_reads_back_as_the_cleaned_name(text: str) -> None:
    sent = filenames.to_disposition(text)
    assert sent.isascii()
    assert sent.isprintable()
    assert filenames.from_disposition(sent) == (filenames.clean(text) or "image")


def test_old_clients_get_the_letters_without_their_accents() -> None:
    assert 'filename="Alesund _1_.png"' in filenames.to_disposition('Ålesund "1".png')


def test_a_text_is_looked_for_in_both_forms_of_unicode() -> None:
    composed, decomposed = "Zürich", unicodedata.normalize("NFD", "Zürich")
    assert filenames.normal_forms(composed) == [composed, decomposed]
    assert filenames.normal_forms(decomposed) == [decomposed, composed]
    assert filenames.normal_forms("Oslo") == ["Oslo"]
    assert filenames.normalize(decomposed) == composed


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("filename*=GB18030''%C4%E3.png", "你.png"),
        ("filename*=Shift_JIS''%83e.png", "テ.png"),
        ("filename*=koi8-r''%D0%CF.png", "по.png"),
        ("filename*=nonsense''bl%C3%A5.png", "blå.png"),
        ("filename*=shift_jis''%FF%FF.png", "ÿÿ.png"),
        ('filename="=?utf-8?B?w6UucG5n?="', "å.png"),
        ('filename="=?utf-8?Q?bl=C3=A5_b=C3=A6r.png?="', "blå bær.png"),
        ('filename="=?ISO-8859-1?Q?bl=E5.png?="', "blå.png"),
        ('filename="=?utf-8?B?w6U=?= =?utf-8?B?LnBuZw==?="', "å.png"),
        ('filename="=?utf-8?B?YmzDpWLDpnIvw7wucG5n?="', "ü.png"),
        ('filename="=?utf-8?B?!?="', "=?utf-8?B?!?="),
        ('filename="=?utf-8?B?YWJjZ?="', "=?utf-8?B?YWJjZ?="),
        ('filename="=?a.png"', "=?a.png"),
    ],
)
def test_the_encoding_that_a_name_is_sent_with_counts(sent: str, kept: str) -> None:
    assert filenames.from_disposition(f"attachment; {sent}") == kept


@pytest.mark.parametrize(
    ("name", "plain"), [("日本.png", "image.png"), ("日本", "image"), (".png", ".png"), ("é.png", "e.png")]
)
def test_old_clients_get_a_name_too(name: str, plain: str) -> None:
    assert f'filename="{plain}"' in filenames.to_disposition(name)
