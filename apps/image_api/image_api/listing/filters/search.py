"""Searches for words: what a text must contain, and the terms by which the database finds candidates.

The database folds queries as it folds texts. Each word of a query has to occur within a filename, a description or a
tag; one of one or two characters has to begin a word there, unless it is Chinese, Japanese or Korean.
"""

import re
from typing import Any
from uuid import UUID

from sqlalchemy import Text, bindparam, func, select

from image_core.db import Query, Runner

# Parts of bracket expressions, as the database's function `search_terms` has them.
_BLANKS = r"\x01-\x20"
_SEPARATORS = r"\x01-\x2f\x3a-\x40\x5b-\x60\x7b-\xbf\u2000-\u206f\u3001-\u3003\u3008-\u3020"
_UNSPACED = r"\u3005\u3040-\u30ff\u3100-\u318f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7ff\U00020000-\U0003ffff"

_fold = Query(select(func.fold_search(bindparam("value", type_=Text))))
_blanks = re.compile(f"[{_BLANKS}]+")
_beginning = re.compile(f"[^{_SEPARATORS}{_UNSPACED}]{{1,2}}")
_runs = re.compile(f"([{_UNSPACED}]{{2,}})|([^{_UNSPACED}]{{3,}})")
_special = re.compile(r"([%_\\])")


async def search_conditions(runner: Runner, team_id: UUID | None, query: str) -> dict[str, Any]:
    """Return the values of a search's conditions by their names; none for a query without words."""
    terms: list[str] = []
    patterns: list[str] = []
    beginnings: list[str] = []
    for word in filter(None, _blanks.split(await runner.fetch_value(_fold, value=query))):
        if _beginning.fullmatch(word):
            beginnings.append(f"(^|[{_SEPARATORS}]){word}")
            terms.append(f"^{word}")
        else:
            escaped = _special.sub(r"\\\1", word)
            patterns.append(f"%{escaped}%")
            terms += _terms_within(word)
    # Without a term, as for a single character of Chinese, only the texts themselves tell.
    found = terms if team_id is None or not terms else [f"@{team_id}", *terms]
    conditions = {"q_patterns": patterns, "q_beginnings": beginnings, "terms_q": found}
    return {name: values for name, values in conditions.items() if values}


def _terms_within(word: str) -> list[str]:
    """Return the trigrams of a word, and the bigrams of what is written without spaces."""
    terms = []
    for run in _runs.finditer(word):
        size = 2 if run[1] else 3
        terms += [run[0][at : at + size] for at in range(len(run[0]) - size + 1)]
    return terms
