"""No call in the services' code without its grant, and no grant without its call."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import yaml
from scripts.infra.terraform_checks import TERRAFORM

ROOT = Path(__file__).resolve().parents[2]
STACK = TERRAFORM / "stack" / "capabilities.yaml"
BOOTSTRAP = TERRAFORM / "bootstrap" / "capabilities.yaml"
CORE = ROOT / "packages/image_core/image_core"
# The commands that write to Secret Manager, and the secret of each.
SECRETS = {
    "keys/admin_keys.py": ("secret:image-manager-admin-key",),
    "keys/signing_key_versions.py": ("secret:image-manager-token-signing-keys",),
    "keys/master_secret_versions.py": (
        "secret:image-manager-delivery-master",
        "secret:image-manager-purged-hash-master",
        "secret:image-manager-upload-session-master",
        "secret:image-manager-webhook-master",
    ),
}
SECRET_VERBS = {"add_version": "add version", "latest_version": "access version"}

# What each method of `image_core.storage.protocol.ObjectStorage` asks of Cloud Storage.
STORAGE_VERBS = {
    "put": {"create", "read"},  # a retry that meets its own object looks at it
    "writer": {"create", "read"},
    "stat": {"read"},
    "read": {"read"},
    "download": {"read"},
    "delete": {"delete", "list"},  # every generation is found by a list
    "list": {"list"},
    "live_objects": {"list"},
    "bring_back": {"create", "read"},
    "soft_deleted": {"list"},
    # A retry that meets its own object looks at it.
    "restore": {"restore", "create", "read"},
    "copy_from": {"create", "read"},  # a retry that meets its own copy looks at it
    "check": {"list"},
}
BUCKETS = ("originals", "derivatives", "scratch", "models", "import_sources")

# What a predefined role allows, as far as the services use it. Source: Google Cloud documentation, "IAM roles".
ALLOWED = {
    "roles/storage.objectCreator": {"create"},
    "roles/storage.objectViewer": {"read", "list"},
    "roles/storage.objectUser": {"create", "read", "list", "delete", "restore"},
    "roles/pubsub.publisher": {"publish"},
    "roles/cloudsql.client": {"connect"},
    # Cloud Vision has no roles: every account of a project whose API is on may call it.
    "none": {"annotate"},
    "roles/cloudsql.instanceUser": {"log in"},
    "roles/secretmanager.secretVersionAdder": {"add version"},
    "roles/secretmanager.secretAccessor": {"access version"},
}
OF_THE_RELEASE_BEFORE = "housekeeping in the processor"
# Every client of Google's that the core makes, by the import that brings it; a new one needs a row of the table.
KNOWN_CLIENTS = {
    "google.cloud.secretmanager",
    "google.pubsub_v1",
    "google.cloud.sql.connector",
    "google.cloud.vision_v1",
}
# Imports that ask no API of Google's: types, errors, credentials, and the handler that writes to standard output.
NOT_CLIENTS = ("google.api_core", "google.auth", "google.oauth2", "google.cloud.logging_v2.handlers")


@dataclass(frozen=True)
class Call:
    resource: str
    verb: str


@dataclass(frozen=True)
class Code:
    """What a service runs of a package: all of it, or one of the API's two doors with what is behind it."""

    folder: Path
    is_housekeeping: bool | None = None

    @property
    def files(self) -> list[Path]:
        return [
            path
            for path in sorted(self.folder.rglob("*.py"))
            if "tests" not in path.parts and path.name != "testing.py"
            if self.is_housekeeping in (None, path.name in ("tasks.py", "tasks_app.py") or path.parent.name == "tasks")
        ]


API = Code(ROOT / "apps/image_api/image_api", is_housekeeping=False)
TASKS = Code(ROOT / "apps/image_api/image_api", is_housekeeping=True)
PROCESSOR = Code(ROOT / "apps/image_processor/image_processor")
DELIVERY = Code(ROOT / "apps/image_delivery/image_delivery")


@cache
def _trees(code: Code) -> list[ast.Module]:
    return [ast.parse(path.read_text()) for path in code.files]


@cache
def _scoped_calls(code: Code) -> list[tuple[list[ast.AST], ast.Call]]:
    """Every call of a folder, with the functions and classes around it."""
    return [found for tree in _trees(code) for found in _calls_with_scope(tree)]


@cache
def _assignments(scope: ast.AST) -> list[tuple[str, ast.expr]]:
    return [
        (node.targets[0].id, node.value)
        for node in ast.walk(scope)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    ]


def _bucket_of(node: ast.expr, aliases: dict[str, set[str]]) -> set[str]:
    """The buckets that an expression may stand for: an attribute of that name, `source.bucket`, or a name of one."""
    if isinstance(node, ast.Attribute) and node.attr in BUCKETS:
        return {node.attr}
    if isinstance(node, ast.Attribute) and node.attr == "bucket" and getattr(node.value, "id", "") == "source":
        return {"import_sources"}
    if isinstance(node, ast.IfExp):
        return _bucket_of(node.body, aliases) | _bucket_of(node.orelse, aliases)
    if isinstance(node, ast.Name):
        return aliases.get(node.id, {node.id} if node.id in BUCKETS else set())
    return set()


def _signatures(code: Code) -> dict[str, list[str]]:
    """The names of the parameters of each function, and of each class as it is called."""
    signatures: dict[str, list[str]] = {}
    for node in (node for tree in _trees(code) for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            signatures[node.name] = [each.arg for each in node.args.args]
        elif isinstance(node, ast.ClassDef):
            constructors = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
            for method in constructors:
                signatures[node.name] = [each.arg for each in method.args.args[1:]]
    return signatures


@cache
def _handed_on(code: Code) -> dict[str, dict[str, set[str]]]:
    """For each function (or class) of the folder, the buckets that its parameters are given, by position and name."""
    signatures = _signatures(code)
    given: dict[str, dict[str, set[str]]] = {}
    for _ in range(4):  # a bucket may be handed on by whoever was handed it
        for scope, node in _scoped_calls(code):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name not in signatures:
                continue
            aliases = _aliases(scope, given)
            pairs = list(zip(signatures[name], node.args, strict=False))
            pairs += [(each.arg or "", each.value) for each in node.keywords]
            for parameter, argument in pairs:
                if buckets := _bucket_of(argument, aliases):
                    given.setdefault(name, {}).setdefault(parameter, set()).update(buckets)
    return given


def _calls_with_scope(tree: ast.Module) -> Iterator[tuple[list[ast.AST], ast.Call]]:
    def walk(node: ast.AST, scope: list[ast.AST]) -> Iterator[tuple[list[ast.AST], ast.Call]]:
        inner = [*scope, node] if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else scope
        if isinstance(node, ast.Call):
            yield inner, node
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inner)

    yield from walk(tree, [])


def _aliases(scope: list[ast.AST], given: dict[str, dict[str, set[str]]]) -> dict[str, set[str]]:
    known: dict[str, set[str]] = {}
    for each in scope:
        known.update(given.get(getattr(each, "name", ""), {}))
        for name, value in _assignments(each):
            if buckets := _bucket_of(value, known):
                known[name] = buckets
    return known


def _storage_calls(code: Code) -> set[Call]:
    given = _handed_on(code)
    found: set[Call] = set()
    for scope, node in _scoped_calls(code):
        if not isinstance(node.func, ast.Attribute) or node.func.attr not in STORAGE_VERBS:
            continue
        target = node.func.value
        if isinstance(target, ast.Attribute) and target.attr == "_storage":
            buckets = given.get(getattr(scope[0], "name", ""), {}).get("storage", set()) if scope else set()
        else:
            buckets = _bucket_of(target, _aliases(scope, given))
        found |= {Call(f"bucket:{bucket}", verb) for bucket in buckets for verb in STORAGE_VERBS[node.func.attr]}
        if node.func.attr == "copy_from":
            found |= {Call(f"bucket:{bucket}", "read") for bucket in _bucket_of(node.args[0], _aliases(scope, given))}
    return found


def _content_calls(code: Code) -> set[Call]:
    """`content_chunks` of the core reads whatever bucket it is given."""
    given, buckets = _handed_on(code), set()
    for scope, node in _scoped_calls(code):
        if getattr(node.func, "id", "") == "content_chunks":
            buckets |= _bucket_of(node.args[0], _aliases(scope, given))
    return {Call(f"bucket:{bucket}", "read") for bucket in buckets}


def _message_calls(code: Code) -> set[Call]:
    """A topic for each of the ways in which a message is made."""
    made = {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for tree in _trees(code)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    topics = {
        "process_request": "topic:uploads",
        "image_event": "topic:events",
        "analysis_request": "topic:analyses",
        "rendition_request": "topic:renditions",
        "eager_requests": "topic:renditions",
        "discard_request": "topic:renditions",
        "nudge": "topic:tasks",
    }
    # The backlog holds the messages of every service, on every topic.
    named = topics.keys() if "publish_backlog" in made else topics.keys() & made
    return {Call(topics[name], "publish") for name in named}


def _database_calls(code: Code) -> set[Call]:
    opens = any(
        isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Database"
        for tree in _trees(code)
        for node in ast.walk(tree)
    )
    return {Call("project", "connect"), Call("project", "log in")} if opens else set()


def _calls_on(name: str, tree: ast.Module) -> set[str]:
    """The functions or methods that are called on what is called `name`."""
    return {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if getattr(node.func.value, "id", "") == name
    }


def _secret_calls(tree: ast.Module, secret: str) -> set[Call]:
    return {Call(secret, verb) for name, verb in SECRET_VERBS.items() if name in _calls_on("secrets", tree)}


def _master_calls(tree: ast.Module) -> set[Call]:
    """`from_secret` of the core reads the latest version; settings open the masters of hashes and sessions with it."""
    of_delivery, of_hashes, of_sessions, of_webhooks = SECRETS["keys/master_secret_versions.py"]
    read = {of_delivery} if "from_secret" in _calls_on("master_secrets", tree) else set()
    read |= {of_hashes} if "open_purged_hash_master" in _calls_on("settings", tree) else set()
    read |= {of_sessions} if "open_upload_session_master" in _calls_on("settings", tree) else set()
    read |= {of_webhooks} if "open_webhook_master" in _calls_on("settings", tree) else set()
    return {Call(secret, "access version") for secret in read}


def _vision_calls(code: Code) -> set[Call]:
    asks = any(
        isinstance(node, ast.Attribute) and node.attr == "batch_annotate_images"
        for tree in _trees(code)
        for node in ast.walk(tree)
    )
    return {Call("api:vision", "annotate")} if asks else set()


@cache
def calls_of(code: Code) -> set[Call]:
    """Everything that a service asks of Google's APIs."""
    calls = _storage_calls(code) | _content_calls(code) | _message_calls(code) | _database_calls(code)
    calls |= _vision_calls(code)
    for tree in _trees(code):
        (signing_keys,) = SECRETS["keys/signing_key_versions.py"]
        calls |= _secret_calls(tree, signing_keys) | _master_calls(tree)
    return calls


def calls_of_the_migration() -> set[Call]:
    calls: set[Call] = set()
    for name, secrets in SECRETS.items():
        for secret in secrets:
            calls |= _secret_calls(ast.parse((CORE / name).read_text()), secret)
    if "connect" in _calls_on("connector", ast.parse((CORE / "db.py").read_text())):
        calls |= {Call("project", "connect"), Call("project", "log in")}
    return calls


def granted(actor: str) -> list[dict[str, object]]:
    """The rows of an account, without those for the code of the release before."""
    rows = yaml.safe_load(STACK.read_text())
    return [row for row in rows if row["actor"] == actor and row.get("when") != OF_THE_RELEASE_BEFORE]


ACTORS = {
    "image-api": lambda: calls_of(API),
    "image-processor": lambda: calls_of(PROCESSOR),
    "image-tasks": lambda: calls_of(TASKS),
    "image-delivery": lambda: calls_of(DELIVERY),
    "image-migrate": calls_of_the_migration,
}


@pytest.mark.parametrize("actor", ACTORS)
def test_every_call_has_its_grant(actor: str) -> None:
    allowed = {(row["resource"], verb) for row in granted(actor) for verb in ALLOWED[str(row["role"])]}
    missing = {call for call in ACTORS[actor]() if (call.resource, call.verb) not in allowed}
    assert not missing


@pytest.mark.parametrize("actor", ACTORS)
def test_every_grant_has_its_call(actor: str) -> None:
    made = {(call.resource, call.verb) for call in ACTORS[actor]()}
    idle = [row for row in granted(actor) if not any((row["resource"], verb) in made for verb in row["does"])]  # type: ignore[attr-defined]
    assert not idle


@pytest.mark.parametrize("actor", ACTORS)
def test_table_says_what_the_code_does(actor: str) -> None:
    said = {(row["resource"], verb) for row in granted(actor) for verb in row["does"]}  # type: ignore[attr-defined]
    assert said == {(call.resource, call.verb) for call in ACTORS[actor]()}


@pytest.mark.parametrize("actor", ACTORS)
def test_no_row_does_more_than_its_role_allows(actor: str) -> None:
    assert all(set(row["does"]) <= ALLOWED[str(row["role"])] for row in granted(actor))  # type: ignore[call-overload]


def test_core_makes_no_client_that_the_table_does_not_know() -> None:
    imported: set[str] = set()
    for code in (Code(CORE), API, TASKS, PROCESSOR, DELIVERY):
        for tree in _trees(code):
            for node in ast.walk(tree):
                if isinstance(node, ast.Import):
                    imported |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    of_google = {name for name in imported if name.startswith("google.") and not name.startswith(NOT_CLIENTS)}
    unknown = {name for name in of_google if not any(name.startswith(known) for known in KNOWN_CLIENTS)}
    assert not unknown


@pytest.mark.parametrize("path", [STACK, BOOTSTRAP], ids=["stack", "bootstrap"])
def test_no_role_is_basic_or_of_every_account(path: Path) -> None:
    rows = yaml.safe_load(path.read_text())
    basic = {"roles/owner", "roles/editor", "roles/viewer"}
    of_every_account = {"roles/iam.serviceAccountTokenCreator", "roles/iam.serviceAccountUser"}
    wrong = [
        row for row in rows
        if row["role"] in basic or (row["resource"] == "project" and row["role"] in of_every_account)
    ]  # fmt: skip
    assert not wrong


@pytest.mark.parametrize("path", [STACK, BOOTSTRAP], ids=["stack", "bootstrap"])
def test_no_row_stands_twice(path: Path) -> None:
    keys = [(row["actor"], row["role"], row["resource"]) for row in yaml.safe_load(path.read_text())]
    assert len(keys) == len(set(keys))


def test_roles_on_the_project_are_for_one_instance() -> None:
    rows = [row for row in yaml.safe_load(STACK.read_text()) if row["resource"] == "project"]
    assert all(row["on"] == "instance:database" for row in rows)
