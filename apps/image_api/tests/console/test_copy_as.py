"""What pages offer to copy works as it is, whatever it has to quote."""

import html
import json
import re
import shlex

import pytest

from image_api.console import frame

URL = "http://api/api/v1/collections"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ('"GET", "/api/v1/collections"', [URL]),
        ('"DELETE", "/api/v1/collections"', ["-X", "DELETE", URL]),
        ('"POST", "/api/v1/collections"', ["-X", "POST", URL]),
        ('"POST", "/api/v1/collections", body', [URL, "--json"]),
        ('"PATCH", "/api/v1/collections", body', ["-X", "PATCH", URL, "--json"]),
    ],
)
def test_a_request_is_a_command_of_a_shell(arguments: str, words: list[str]) -> None:
    body = {"name": "Ada's $HOME `id` <b>\n\"\\"}
    source = f'{{% from "copy_as.html" import copy_as_curl with context %}}{{{{ copy_as_curl({arguments}) }}}}'
    page = frame._templates().environment.from_string(source).render(base_url="http://api", body=body)
    (text,) = re.findall(r"<pre [^>]*>([^<]*)</pre>", page)
    program, silent, *rest = shlex.split(html.unescape(text))
    assert (program, silent) == ("curl", "-sS")
    if "--json" in words:
        assert json.loads(rest.pop()) == body
    assert [word for word in rest if word not in ("-H", "X-API-KEY: $KEY")] == words
