import pytest
from pydantic import TypeAdapter, ValidationError

from image_api.http.language_tags import LanguageTag

_tag: TypeAdapter[str] = TypeAdapter(LanguageTag)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("EN", "en"),
        ("pt-br", "pt-BR"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("sl-rozaj-biske-1994", "sl-rozaj-biske-1994"),
        ("zh-cmn-Hans-cn", "zh-cmn-Hans-CN"),
        # Examples of RFC 5646, section 2.1.1.
        ("EN-ca-X-CA", "en-CA-x-ca"),
        ("AZ-latn-x-LATN", "az-Latn-x-latn"),
        ("en-u-islamcal-gb", "en-u-islamcal-gb"),
    ],
)
def test_a_tag_is_kept_in_its_usual_spelling(sent: str, stored: str) -> None:
    assert _tag.validate_python(sent) == stored


@pytest.mark.parametrize(
    "sent", ["", "e", "englishlanguage", "en_GB", "en-", "en-GB-", "12", "en-x", "é", "en-" * 12 + "en"]
)
def test_what_is_no_tag_is_refused(sent: str) -> None:
    with pytest.raises(ValidationError):
        _tag.validate_python(sent)
