"""Joins runs of Terraform tests, because Terraform plans anew for each: seconds for a stack, to check one condition."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.infra.hcl_blocks import RUN, blocks_in

_ASSERTION = re.compile(r"^  assert \{\n.*?^  \}\n", re.MULTILINE | re.DOTALL)
_VARIABLES = re.compile(r"^  variables \{\n(?P<values>.*?)^  \}\n", re.MULTILINE | re.DOTALL)
_REFUSED = re.compile(r"^  expect_failures = \[var\.(?P<variable>\w+)\]\n", re.MULTILINE)
_NAME_OF_VALUE = re.compile(r"^    (?P<name>\w+) += ", re.MULTILINE)

References = Mapping[str, set[str]]
"""The variables that the validation of each variable mentions beside itself."""


def references(folder: Path) -> References:
    """Return the references of the variables of a configuration."""
    return {
        block.labels[0]: set(re.findall(r"\bvar\.(\w+)", block.text)) - {block.labels[0]}
        for block in blocks_in(folder, "variable")
    }


def joined_runs(text: str) -> str:
    """Return a file of tests in which runs that make the same plan are one, with the assertions of all of them.

    The message of an assertion then begins with the name of the run that it comes from. In a file in which a run
    applies something, what is planned depends on what came before, so only runs that follow one another are joined.
    """
    in_order = "command = apply" in text
    groups: list[list[re.Match[str]]] = []
    for run in RUN.finditer(text):
        candidates = groups[-1:] if in_order else groups
        group = next((each for each in candidates if _setup(each[0]) == _setup(run)), None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    joined = {group[0].start(): group for group in groups}

    def written(run: re.Match[str]) -> str:
        if run.start() not in joined:
            return ""
        assertions = "".join(_named_assertions(each) for each in joined[run.start()])
        return f'run "{run["name"]}" {{\n{_setup(run)}\n{assertions}}}\n'

    return RUN.sub(written, text)


def _setup(run: re.Match[str]) -> str:
    return "\n".join(line for line in _ASSERTION.sub("", run["body"]).splitlines() if line.strip())


def _named_assertions(run: re.Match[str]) -> str:
    return "".join(_ASSERTION.findall(run["body"])).replace('error_message = "', f'error_message = "{run["name"]}: ')


@dataclass(frozen=True)
class _Refusal:
    """A run that sets variables and expects one of them to be refused."""

    run: re.Match[str]
    variable: str
    values: str
    references: frozenset[str]

    @property
    def names(self) -> set[str]:
        """Names of the variables that it sets."""
        return set(_NAME_OF_VALUE.findall(self.values))

    def can_join(self, other: "_Refusal") -> bool:
        """Whether nothing that either sets decides about the other."""
        return not (self.names & (other.names | other.references) or self.references & other.names)


def joined_refusals(text: str, mentioned: References) -> str:
    """Return a file of tests in which runs that expect different variables to be refused are one.

    Terraform names each variable that was expected to be refused and was not. A file in which a run applies something
    stays as it is.
    """
    if "command = apply" in text:
        return text
    groups: list[list[_Refusal]] = []
    for refusal in filter(None, (_refusal(run, mentioned) for run in RUN.finditer(text))):
        group = next((each for each in groups if all(one.can_join(refusal) for one in each)), None)
        if group is None:
            groups.append([refusal])
        else:
            group.append(refusal)
    written = {group[0].run.start(): _written(group) for group in groups}
    joined = {refusal.run.start() for group in groups for refusal in group}
    return RUN.sub(lambda run: written.get(run.start(), "" if run.start() in joined else run[0]), text)


def _refusal(run: re.Match[str], mentioned: References) -> _Refusal | None:
    """Return what a run expects to be refused; None if there is more to it."""
    refused, variables = _REFUSED.search(run["body"]), _VARIABLES.search(run["body"])
    rest = _REFUSED.sub("", _VARIABLES.sub("", run["body"])).strip()
    if refused is None or variables is None or rest != "command = plan":
        return None
    variable = refused["variable"]
    return _Refusal(run, variable, variables["values"], frozenset(mentioned.get(variable, ())))


def _written(group: list[_Refusal]) -> str:
    expected = ", ".join(f"var.{refusal.variable}" for refusal in group)
    values = "".join(refusal.values for refusal in group)
    body = f"  command = plan\n\n  variables {{\n{values}  }}\n\n  expect_failures = [{expected}]\n"
    return f'run "{group[0].run["name"]}" {{\n{body}}}\n'
