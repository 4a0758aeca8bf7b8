"""House rules that no linter knows."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import Column

from image_core import models
from image_core.analyses import transitions as analysis_transitions
from image_core.delivery import key_transitions as delivery_key_transitions
from image_core.images import transitions as image_transitions
from image_core.states import AnalysisStatus, DeliveryKeyState, ImageStatus, Mover

ROOT = Path(__file__).parents[1]
PACKAGES = [ROOT / f"packages/{name}/{name}" for name in ("image_core", "image_client", "image_engine")]
PACKAGES += [ROOT / f"apps/{name}/{name}" for name in ("image_api", "image_delivery", "image_processor", "local_cloud")]
SERVICES = [package for package in PACKAGES if package.name != "local_cloud"]

FORBIDDEN_NAMES = {"utils", "common", "helpers", "base", "manager", "misc"}
MOST_FILE_LINES, MOST_FUNCTION_LINES = 400, 60
MOST_MODULES = 12
# Folders of one kind of thing, each file a member.
COLLECTIONS = {"picture", "analyzers", "errors", "models", "pages", "versions"}

# Whoever commits is named here: a request's transaction, and the steps that must be seen before the rest is done.
COMMITTERS = {
    "image_core/delivery/rendition_store.py": {"keep_object"},
    "image_core/events.py": {"collecting"},
    "image_api/dependencies.py": {"open_transaction"},
    "image_api/analyses/many.py": {"request_many"},
    "image_api/analyses/service.py": {"_add_request"},
    "image_api/batches/large.py": {"begin_operation"},
    "image_api/batches/service.py": {"_change_chunk"},
    "image_api/dead_letters/service.py": {"redrive"},
    "image_api/people/accounts.py": {"register", "change_password", "reset_password"},
    "image_api/people/key_sessions.py": {"sign_in_by_key"},
    "image_api/people/delays.py": {"count_failures"},
    "image_api/people/service.py": {"sign_in"},
    "image_api/share_pages/guesses.py": {"_forgive"},
    # Rows come before objects, and what became of a copy is noted outside any request.
    "image_api/imports/tasks.py": {"_note_stored", "_fetch", "_give_up"},
    # An item of an operation is a transaction of its own.
    "image_api/operations/tasks.py": {"_run_once"},
    "image_api/direct_uploads/service.py": {"_add_row", "_open_session", "_give_up", "cancel_upload"},
    "image_api/uploads/service.py": {"_add_row", "_complete", "reuse_existing", "_expire"},
    "image_api/audit_events/tasks.py": {"seal_audit_log", "_settled_position"},
    "image_api/images/tasks.py": {"_take_discarded", "_take_marked"},
    "image_api/tasks/parts.py": {"committing"},
    "image_api/webhooks/sending/fan_out.py": {"fan_out"},
    "image_api/uploads/tasks.py": {"_take_overdue"},
    "image_processor/analyses/job.py": {"_handle", "_release_claim"},
    "image_processor/parts.py": {"committing"},
    "image_processor/images/job.py": {"_claim_and_work", "_find_row", "_not_claimed", "_release_claim"},
}  # fmt: skip

GOOGLE = {f"image_core/{name}.py" for name in ("storage/token", "db", "feed/pubsub", "telemetry", "secrets")} | {
    "image_processor/vision.py"
}


def python_files(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py") if "/versions/" not in path.as_posix())


def name_of(path: Path) -> str:
    """As in the tables above: `image_api/images/queries.py`."""
    return path.relative_to(next(package.parent for package in PACKAGES if path.is_relative_to(package))).as_posix()


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in nodes_of(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_only_named_places_open_a_transaction_of_their_own() -> None:
    found: dict[str, set[str]] = {}
    for path in python_files(*SERVICES):
        if name_of(path) == "image_core/db.py":
            continue
        for function in functions(path):
            for node in ast.walk(function):
                if isinstance(node, ast.Attribute) and node.attr in (
                    "transaction",
                    "commit",
                    "begin",
                    "committing",
                    "collecting",
                ):
                    if ast.unparse(node) == "credits.commit":
                        continue
                    found.setdefault(name_of(path), set()).add(function.name)
    # What stands outside serving: migrations and admin commands, and a shutdown that begins.
    for outside in (
        "image_core/migrations/runner.py", "image_core/admin.py", "image_core/audit/chain.py",
        "image_core/keys/rotations.py", "image_core/feed/epoch.py", "image_api/server/shutdown.py",
    ):  # fmt: skip
        found.pop(outside, None)
    assert found == {name: places for name, places in COMMITTERS.items() if places}


def test_google_clients_are_imported_in_named_files_only() -> None:
    importing = {
        name_of(path)
        for path in python_files(*SERVICES)
        if re.search(
            r"^\s*(?:import|from) (?:google\.(?!protobuf)|grpc|opentelemetry\.exporter)", path.read_text(), re.MULTILINE
        )
    }
    assert importing <= GOOGLE


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    """A service starts fast: the port is open before any Google client is loaded."""
    heavy = ("google.cloud", "google.pubsub_v1", "grpc", "jinja2", "pyvips", "numpy", "PIL", "requests")
    script = f"import sys, image_api.app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_file_is_called_after_nothing() -> None:
    folders = [
        *PACKAGES,
        *ROOT.glob("apps/*/tests"),
        *ROOT.glob("packages/*/tests"),
        ROOT / "tests",
        ROOT / "benchmarks",
    ]
    assert [path for path in python_files(*folders) if path.stem in FORBIDDEN_NAMES] == []


def test_no_folder_is_a_heap_of_modules() -> None:
    heaps = {
        name_of(folder): len(modules)
        for package in PACKAGES
        for folder in [package, *(path for path in package.rglob("*") if path.is_dir())]
        if folder.name not in COLLECTIONS
        and len(modules := [path for path in folder.glob("*.py") if not path.stem.startswith("__")]) > MOST_MODULES
    }
    assert heaps == {}


def test_files_and_functions_can_be_read_at_a_sitting() -> None:
    too_long = [
        f"{name_of(path)}: {lines} lines"
        for path in python_files(*PACKAGES)
        if (lines := len(path.read_text().splitlines())) > MOST_FILE_LINES
    ]
    for path in python_files(*PACKAGES):
        too_long += [
            f"{name_of(path)}:{function.name}"
            for function in functions(path)
            if (function.end_lineno or 0) - function.lineno + 1 > MOST_FUNCTION_LINES
        ]
    assert too_long == []


@pytest.mark.parametrize("kind", ["queries", "service"])
def test_urls_are_made_beside_http(kind: str) -> None:
    paths = (ROOT / "apps/image_api/image_api").rglob(f"*{kind}.py")
    assert [name_of(path) for path in paths if "base_url" in path.read_text()] == []


MOVED_TABLES = {
    "image": image_transitions,
    "analysis": analysis_transitions,
    "delivery_key": delivery_key_transitions,
}


def source_files() -> list[Path]:
    """Everything that runs outside tests."""
    return [
        path
        for path in python_files(*(ROOT / name for name in ("packages", "apps", "scripts")))
        if not {"tests", ".venv"} & set(path.relative_to(ROOT).parts)
    ]


def updated_tables(path: Path) -> Iterator[str]:
    """Each table that a file updates by SQLAlchemy or by SQL; what is no plain name of a table as it is written."""
    imports = [node for node in nodes_of(path) if isinstance(node, ast.ImportFrom)]
    names = {alias.asname or alias.name: alias.name for node in imports for alias in node.names}
    builds_sql = any(node.module and node.module.startswith("sqlalchemy") for node in imports)
    for node in nodes_of(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"(?is)\bUPDATE\s+(?:ONLY\s+)?(?:public\.)?\"?(\w+)\"?\s.*?\bSET\b", node.value)
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if names.get(called, called.removeprefix("sqlalchemy.").removeprefix("sa.")) == "update" and node.args:
            table = ast.unparse(node.args[0])
        elif builds_sql and called.endswith(".update") and not node.args:
            table = called.removesuffix(".update")
        else:
            continue
        yield names.get(table, table.removeprefix("models."))


def test_images_and_analyses_are_updated_by_transitions_alone() -> None:
    elsewhere: dict[str, set[str]] = {}
    for path in source_files():
        updated = set(updated_tables(path))
        name = path.relative_to(ROOT).as_posix().partition("/")[2].partition("/")[2]
        at_home = {table for table, module in MOVED_TABLES.items() if path == Path(str(module.__file__))}
        # A table that stands in a variable may be one of these.
        if found := (updated & MOVED_TABLES.keys()) - at_home | {table for table in updated if "." in table}:
            elsewhere[name] = found
    assert elsewhere == {}


def mover_at(path: Path) -> Mover:
    """Return whose transitions the code in a file makes."""
    if "scripts" in path.relative_to(ROOT).parts or path.name == "admin.py":
        return Mover.OPERATOR
    if path.name == "tasks.py":
        return Mover.SWEEP
    return Mover.API if "image_api" in path.parts else Mover.PROCESSOR


@pytest.mark.parametrize("module", MOVED_TABLES.values(), ids=MOVED_TABLES)
def test_transitions_are_made_by_whom_they_name(module: ModuleType) -> None:
    named = {
        (name, mover)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        for mover in getattr(function, "movers", ())
    }
    made = set()
    for path in source_files():
        aliases = {
            alias.asname or alias.name
            for node in nodes_of(path)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if f"{node.module}.{alias.name}" == module.__name__
        }
        for node in nodes_of(path) if aliases else ():
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in aliases:
                made.add((node.attr, mover_at(path)))
    functions_made = {(name, mover) for name, mover in made if hasattr(getattr(module, name), "movers")}
    assert functions_made == named


def test_states_are_compared_by_their_names() -> None:
    words = {str(status) for status in (*ImageStatus, *AnalysisStatus, *DeliveryKeyState)}
    bare = [
        f"{name_of(path)}: {ast.unparse(node)}"
        for path in python_files(*SERVICES)
        if path.is_relative_to(ROOT / "apps") or "image_core" in path.parts
        for node in nodes_of(path)
        if isinstance(node, ast.Compare) and re.search("status|state", ast.unparse(node))
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and part.value in words
    ]
    assert bare == []


def test_every_foreign_key_says_what_becomes_of_its_rows() -> None:
    for table in models.metadata.tables.values():
        for key in table.foreign_keys:
            assert key.ondelete, f"{table.name}.{key.parent.name}"


def test_everything_in_the_schema_has_a_name() -> None:
    for table in models.metadata.tables.values():
        for constraint in table.constraints:
            assert constraint.name, f"{table.name}: {constraint}"
        times: list[Column[object]] = [column for column in table.columns if "TIMESTAMP" in repr(column.type).upper()]
        assert all(column.name.endswith("_at") for column in times)


def test_no_other_http_client_is_locked() -> None:
    locked = {package["name"] for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    assert locked & {"httpx", "respx", "niquests"} == set()
    assert "httpx2" in locked


def test_everything_that_the_documents_point_to_is_there() -> None:
    missing = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
        if "://" not in target and not target.startswith("mailto:") and not (document.parent / target).exists()
    ]
    assert missing == []


# Work that ends by itself, and whose end somebody awaits.
SHORT_TASKS = {
    "self._look_up(key)", "self.ask()", "_warm(services, gcs, publisher, when_warm)",
    "asyncio.to_thread(_warm, gcs, publisher)",
    "self._read_waiting()", "self._read(name, read)", "_left(receive)", "self.flush()",
    "self._make(order, image, recipe, preset, is_exact)",
    "_start(parts.pool, readiness)", "self._try(image, order, spec, is_exact=is_exact)",
    "self._deliver(backlog, delivery, window)", "stream.read(requests)", "self._take()",
    "self._consume(session, progress.writer, request)", "work",
    "self._attempt()", "check(services)", "self._deliver(due, token, masters)",
}  # fmt: skip


def test_work_in_the_background_is_supervised() -> None:
    loose = {
        f"{path.relative_to(ROOT)}: {ast.unparse(call.args[0])}"
        for package in PACKAGES
        for path in package.rglob("*.py")
        for call in nodes_of(path)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).endswith(("create_task", "ensure_future"))
        and not ast.unparse(call.args[0]).startswith("supervise(")
        and ast.unparse(call.args[0]) not in SHORT_TASKS
    }
    assert loose == set()


def test_tests_of_pages_wait_without_evaluating_text_in_the_page() -> None:
    """The console's policy forbids it: Playwright's own wait raises unless its condition holds at once."""
    waiting = [
        path.relative_to(ROOT).as_posix()
        for path in python_files(ROOT / "tests", ROOT / "benchmarks", ROOT / "scripts")
        for call in nodes_of(path)
        if isinstance(call, ast.Attribute) and call.attr == "wait_for_function"
    ]
    assert waiting == []
