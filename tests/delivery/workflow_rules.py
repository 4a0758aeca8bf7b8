"""The rules that the workflows keep, as functions from workflows to what breaks a rule."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from scripts.delivery import cloud_run, rollout, wait_for_checks
from scripts.infra.project import BUILT_AS

from .conftest import ROOT

FOLDER = ROOT / ".github" / "workflows"
PINS: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("action_pins.json").read_text())
WORKFLOWS = (
    "ci", "infra-check", "infra-plan", "deploy", "build-image", "infra-apply", "apply-environment", "drift", "security",
    "scorecard", "release",
)  # fmt: skip
ENVIRONMENTS = ("dev", "small", "prod")
# Text that somebody outside can choose reaches a script only as a variable of its environment.
TRIGGERS = {"pull_request", "merge_group", "push", "schedule", "workflow_dispatch", "workflow_call"}
# Every right to write that any job has; whoever adds one adds it here.
WRITES = {
    ("deploy", "build"): {"packages", "id-token", "attestations"},
    ("build-image", "build"): {"packages", "id-token", "attestations"},
    ("deploy", "rollout"): {"id-token"},
    ("drift", "issue"): {"issues"},
    ("drift", "plan"): {"id-token"},
    ("apply-environment", "apply"): {"id-token"},
    ("infra-apply", "environment"): {"id-token"},
    ("infra-plan", "comment"): {"pull-requests"},
    ("infra-plan", "plan"): {"id-token"},
    ("release", "images"): {"packages", "id-token", "attestations"},
    ("release", "publish"): {"contents"},
    ("security", "codeql"): {"security-events"},
    ("security", "images"): {"security-events"},
    ("scorecard", "scorecard"): {"security-events", "id-token"},
}
# The account that a job may become, and the environment in which alone it may.
ACCOUNTS = {
    ("deploy", "rollout"): ("DEPLOY", ""),
    ("drift", "plan"): ("PLAN", "plan-"),
    ("apply-environment", "apply"): ("APPLY", "infra-"),
    ("infra-plan", "plan"): ("PLAN", "plan-"),
}
SECRETS = {("deploy", "rollout"): {"SMOKE_TEST_KEY"}}
MAX_LINES_OF_A_STEP = 6
# What may fail and does not end its job: a drift that takes data away is reported like every other.
PASSED_OVER = {("drift", "plan", "|| [ $? -eq 3 ]")}
MINUTES_TO_START = 5
MINUTES_OF_A_ROLLOUTS_STEPS = 25
"""Copies of images, revisions that become ready, smoke tests, and the way back."""
_ROLLOUT = ("--image=x", "--version=x", "--project=x", "--region=x")
_USES = re.compile(r"^\s*(?:- )?uses: (?P<action>[^@\s]+)@(?P<ref>\S+)(?: # (?P<release>\S+))?$", re.MULTILINE)
# A workflow of this repository comes from the same commit and has no pin.
_ANY_USES = re.compile(r"^\s*(?:- )?uses: (?!\./)", re.MULTILINE)

Texts = dict[str, str]


def read() -> Texts:
    """The workflows' texts by name."""
    return {path.stem: path.read_text() for path in sorted(FOLDER.iterdir())}


def jobs(texts: Texts) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for workflow, text in texts.items():
        for name, job in yaml.safe_load(text)["jobs"].items():
            yield workflow, name, job


def steps(texts: Texts) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for workflow, name, job in jobs(texts):
        for step in job.get("steps", []):
            yield workflow, name, step


def triggers(text: str) -> dict[str, Any]:
    # YAML 1.1 takes the key `on` for a truth value.
    found: dict[str, Any] = yaml.safe_load(text)[True]
    return found


def actions_are_pinned(texts: Texts) -> Iterator[str]:
    for name, text in texts.items():
        pinned = list(_USES.finditer(text))
        if len(pinned) != len(_ANY_USES.findall(text)):
            yield f"{name}: an action without a reference"
        for uses in pinned:
            repository = "/".join(uses["action"].split("/")[:2])
            expected = PINS.get(repository)
            if expected is None or (uses["ref"], uses["release"]) != (expected["commit"], expected["release"]):
                yield f"{name}: {uses[0].strip()} is not in the table"


def rights_are_given_by_job(texts: Texts) -> Iterator[str]:
    for name, text in texts.items():
        if yaml.safe_load(text).get("permissions") != {}:
            yield f"{name}: rights for the whole workflow"
    for workflow, name, job in jobs(texts):
        rights = job.get("permissions")
        if not isinstance(rights, dict):
            yield f"{workflow}/{name}: no rights of its own"
            continue
        writes = {right for right, level in rights.items() if level == "write"}
        if writes != WRITES.get((workflow, name), set()):
            yield f"{workflow}/{name}: may write {sorted(writes)}"


def nothing_outside_is_trusted(texts: Texts) -> Iterator[str]:
    for name, text in texts.items():
        if not set(triggers(text)) <= TRIGGERS:
            yield f"{name}: started by {sorted(triggers(text))}"
    for workflow, name, step in steps(texts):
        if "${{" in step.get("run", ""):
            yield f"{workflow}/{name}: an expression inside a script"
        if "checkout" in step.get("uses", "") and step.get("with", {}).get("persist-credentials") is not False:
            yield f"{workflow}/{name}: the token stays in the checkout"


def builds_run_nothing_else(texts: Texts) -> Iterator[str]:
    """An attestation says who built: no script of the repository runs beside the build, and no caller steers it."""
    called = yaml.safe_load(texts["deploy"])["jobs"]["build"]
    if called.get("uses") != "./.github/workflows/build-image.yml" or "secrets" in called:
        yield "deploy/build: built elsewhere, or with the caller's secrets"
    if set(triggers(texts["build-image"])["workflow_call"]["inputs"]) != {"service", "dockerfile"}:
        yield "build-image: takes more from its caller than which image"
    for step in yaml.safe_load(texts["build-image"])["jobs"]["build"]["steps"]:
        if re.search(r"scripts|make |python|uv ", step.get("run", "")) or "cache" in str(step.get("with", "")):
            yield f"build-image: runs or takes something else: {step}"


def jobs_end(texts: Texts) -> Iterator[str]:
    # A job that calls another workflow has neither steps nor a runner; the called jobs have their own limits.
    own = [(workflow, name, job) for workflow, name, job in jobs(texts) if "uses" not in job]
    for workflow, name, job in own:
        if not 0 < job.get("timeout-minutes", 0) <= 150:
            yield f"{workflow}/{name}: no limit of time"
        if job["runs-on"] != "ubuntu-24.04":
            yield f"{workflow}/{name}: runs on {job['runs-on']}, which changes by itself"
    for name, text in texts.items():
        alone = all("concurrency" in job for workflow, _, job in own if workflow == name)
        if "concurrency" not in yaml.safe_load(text) and not alone:
            yield f"{name}: runs may overtake each other"


def secrets_go_where_they_are_needed(texts: Texts) -> Iterator[str]:
    for workflow, name, job in jobs(texts):
        found = set(re.findall(r"secrets\.(\w+)", json.dumps(job)))
        if found != SECRETS.get((workflow, name), set()) or "secrets[" in json.dumps(job):
            yield f"{workflow}/{name}: reads {sorted(found)}"


def identities_stay_in_their_environment(texts: Texts) -> Iterator[str]:
    for workflow, name, job in jobs(texts):
        accounts = set(re.findall(r"vars\.GCP_(\w+)_SERVICE_ACCOUNT", json.dumps(job)))
        expected = ACCOUNTS.get((workflow, name))
        if accounts != ({expected[0]} if expected else set()):
            yield f"{workflow}/{name}: becomes {sorted(accounts)}"
        elif expected and set(environments(job)) != {expected[1] + name for name in ENVIRONMENTS}:
            yield f"{workflow}/{name}: in {environments(job)}"
    if "head.repo.full_name == github.repository" not in texts["infra-plan"]:
        yield "infra-plan: a fork gets an identity"


def environments(job: dict[str, Any]) -> list[str]:
    """The environments that a job can run in, with its one condition and its matrix written out."""
    return [_written_out(str(job.get("environment", "")), name) for name in ENVIRONMENTS]


def groups(job: dict[str, Any]) -> list[str]:
    return [_written_out(str(job.get("concurrency", {}).get("group", "")), name) for name in ENVIRONMENTS]


def _written_out(expression: str, environment: str) -> str:
    # A tag goes to prod, or to small where there is no prod.
    by_tag = (
        "${{ github.ref_type != 'tag' && 'dev' || contains(vars.DELIVERY_ENVIRONMENTS, 'prod') && 'prod' || 'small' }}"
    )
    for written in (by_tag, "${{ matrix.environment }}", "${{ inputs.environment }}"):
        expression = expression.replace(written, environment)
    return expression


def deploys_and_applies_exclude_each_other(texts: Texts) -> Iterator[str]:
    for workflow, name in (("deploy", "rollout"), ("apply-environment", "apply")):
        job = yaml.safe_load(texts[workflow])["jobs"][name]
        if (
            groups(job) != [f"deliver-{each}" for each in ENVIRONMENTS]
            or job["concurrency"]["cancel-in-progress"] is not False
        ):
            yield f"{workflow}/{name}: group {groups(job)}"
        if job["concurrency"].get("queue") != "max":
            yield f"{workflow}/{name}: a third run takes the place of the second"


def approvals_hold_no_group(texts: Texts) -> Iterator[str]:
    """An apply is approved by a job before the one that shares its group with deploys."""
    made = yaml.safe_load(texts["apply-environment"])["jobs"]
    if made["apply"].get("needs") != "approve" or "if" in made["apply"]:
        yield "apply-environment: an apply that nobody approved"
    if environments(made["approve"]) != [f"approval-{each}" for each in ENVIRONMENTS]:
        yield f"apply-environment/approve: in {environments(made['approve'])}"
    if set(groups(made["approve"])) & set(groups(made["apply"])):
        yield "apply-environment/approve: holds the group of the deploys while it waits"
    called = yaml.safe_load(texts["infra-apply"])["jobs"]["environment"]
    if called["uses"] != "./.github/workflows/apply-environment.yml" or "refs/heads/main" not in called["if"]:
        yield "infra-apply: something else is called, or from elsewhere than main"


def images_are_those_of_the_commit(texts: Texts) -> Iterator[str]:
    """An attestation counts only for the commit that is being deployed, by its workflow, from main."""
    made = yaml.safe_load(texts["deploy"])["jobs"]["rollout"]["steps"]
    steps_with_it = [step for step in made if "attestation verify" in step.get("run", "")]
    verifying = [step["run"] for step in steps_with_it]
    kinds = [step["env"].get("PREDICATES", "").split() for step in steps_with_it]
    if kinds != [["https://slsa.dev/provenance/v1", "https://spdx.dev/Document/v2.3"]]:
        yield f"deploy/rollout: {kinds} are asked for, and not who built it and what is in it"
    wanted = (
        "/.github/workflows/build-image.yml", '--predicate-type "$kind"',
        "--source-ref refs/heads/main", '--source-digest "$GITHUB_SHA"',
        "--deny-self-hosted-runners", '--repo "$GITHUB_REPOSITORY"',
    )  # fmt: skip
    if len(verifying) != 1 or [each for each in wanted if each not in verifying[0]]:
        yield "deploy/rollout: an image of another commit passes"


# What a job does, in this order; each text stands in one of its steps. Every job that may write is here.
STEPS: dict[tuple[str, str], tuple[str, ...]] = {
    ("build-image", "build"): (
        "login-action", "docker/build-push-action", "actions/attest-build-provenance", "sbom-action", "actions/attest@",
    ),
    ("deploy", "gate"): ("wait_for_checks", "login-action", "image-api:", "image-processor:", "image-delivery:"),
    ("deploy", "rollout"): (
        "gh attestation verify", "google-github-actions/auth", "docker.pkg.dev", "image-api:", "image-processor:",
        "image-delivery:", "rollout forward", "rollout back",
    ),
    ("apply-environment", "apply"): ("google-github-actions/auth", "stack plan", "plan_summary", "stack apply"),
    ("infra-plan", "plan"): ("google-github-actions/auth", "stack plan", "plan_summary", "upload-artifact"),
    ("drift", "plan"): ("google-github-actions/auth", "stack plan", "plan_summary", "upload-artifact"),
    ("release", "notes"): ("release_notes", "wait_for_checks", "upload-artifact"),
    ("release", "images"): (
        "login-action", "promote_image digest", "cosign sign", "sbom-action", "actions/attest@", "promote_image copy",
    ),
    ("scorecard", "scorecard"): ("scorecard-action", "upload-sarif"),
    ("release", "publish"): ("download-artifact", "gh release create"),
}  # fmt: skip


OUTWARD = {"id-token", "packages", "attestations", "contents"}
"""Rights to write by which something leaves a job: an identity, an image, a release."""


def steps_stand_in_their_order(texts: Texts) -> Iterator[str]:
    for workflow, text in texts.items():
        for name, job in yaml.safe_load(text)["jobs"].items():
            rights = {right for right, level in job["permissions"].items() if level == "write"}
            if "steps" in job and rights & OUTWARD and (workflow, name) not in STEPS:
                yield f"{workflow}/{name}: in which order?"
    for (workflow, name), expected in STEPS.items():
        made = yaml.safe_load(texts[workflow])["jobs"][name]["steps"]
        shown = [f"{step.get('uses', '')} {step.get('run', '')} {step.get('with', '')}" for step in made]
        at = [next((place for place, text in enumerate(shown) if part in text), -1) for part in expected]
        if -1 in at or at != sorted(at):
            yield f"{workflow}/{name}: steps in the order {at}"


def deploys_keep_their_order(texts: Texts) -> Iterator[str]:
    made = yaml.safe_load(texts["deploy"])["jobs"]
    if (made["gate"].get("needs"), made["rollout"].get("needs")) != ("build", "gate"):
        yield "deploy: rollout before gate before build"
    last = made["rollout"]["steps"][-1]
    if "rollout back" not in last["run"] or last.get("if") != "${{ failure() || cancelled() }}":
        yield "deploy/rollout: a run that is ended leaves its traffic where it was"
    first = next(step for step in made["rollout"]["steps"] if "rollout forward" in step.get("run", ""))
    if not first["run"].startswith("exec "):
        yield "deploy/rollout: a shell stands between the signal and the rollout"


def plans_are_refused_before_they_are_applied(texts: Texts) -> Iterator[str]:
    for workflow, job, expected in (
        ("infra-plan", "plan", ["infra.stack plan", "delivery.plan_summary"]),
        ("apply-environment", "apply", ["infra.stack plan", "delivery.plan_summary", "infra.stack apply"]),
    ):
        made = yaml.safe_load(texts[workflow])["jobs"][job]["steps"]
        found = [part for step in made for part in expected if f"scripts.{part}" in step.get("run", "")]
        if found != expected:
            yield f"{workflow}/{job}: {found}"
        if any("||" in step.get("run", "") or step.get("continue-on-error") for step in made):
            yield f"{workflow}/{job}: a refusal is passed over"


def only_summaries_leave_a_plan(texts: Texts) -> Iterator[str]:
    for workflow, name, step in steps(texts):
        kept = step["with"]["path"] if "upload-artifact" in step.get("uses", "") else ""
        if re.search(r"tfplan|plan\.json|runner\.temp|plan/?$", kept, re.MULTILINE):
            yield f"{workflow}/{name}: a plan with all its values is kept"


def jobs_outlast_what_they_wait_for(texts: Texts) -> Iterator[str]:
    """A job that GitHub ends has neither an answer nor a way back, so that it may take longer than all its waits."""
    watch_seconds = rollout.parser().parse_args(("forward", *_ROLLOUT)).watch_seconds
    checks_seconds = wait_for_checks.parser().parse_args(("commit",)).minutes * 60
    stages_seconds = len(rollout.SERVICES) * len(rollout.STAGES) * watch_seconds
    waits = {
        ("deploy", "gate"): checks_seconds,
        ("release", "notes"): checks_seconds,
        ("deploy", "rollout"): cloud_run.JOB_SECONDS + stages_seconds + MINUTES_OF_A_ROLLOUTS_STEPS * 60,
    }
    for (workflow, name), seconds in waits.items():
        minutes = yaml.safe_load(texts[workflow])["jobs"][name]["timeout-minutes"]
        if minutes < seconds / 60 + MINUTES_TO_START:
            yield f"{workflow}/{name}: ended after {minutes} minutes, and waits for {seconds / 60:g}"


def failures_count(texts: Texts) -> Iterator[str]:
    """No check only watches: what fails ends its job, unless it is listed here."""
    for workflow, name, job in jobs(texts):
        for part in (job, *job.get("steps", [])):
            if "continue-on-error" in part or str(part.get("if", "")).strip() in {"false", "${{ false }}"}:
                yield f"{workflow}/{name}: a failure is passed over"
    for workflow, name, step in steps(texts):
        run, inputs = step.get("run", ""), step.get("with", {})
        passed_over = re.findall(r"(?:\|\||; *true|set \+e).*", run)
        if passed_over and (workflow, name, *passed_over) not in PASSED_OVER:
            yield f"{workflow}/{name}: {passed_over} is passed over"
        if inputs.get("fail-build") is False or str(inputs.get("exit-code")) == "0":
            yield f"{workflow}/{name}: findings end nothing"


def every_image_is_built_and_scanned(texts: Texts) -> Iterator[str]:
    """The image of each service is in every list of images."""
    images = {BUILT_AS.get(service, service) for service in rollout.SERVICES}
    built = {image: f"apps/{image.replace('-', '_')}/Dockerfile" for image in images}
    for workflow, name in (("deploy", "build"), ("security", "images")):
        rows = yaml.safe_load(texts[workflow])["jobs"][name]["strategy"]["matrix"]["include"]
        if {row["service"]: row["dockerfile"] for row in rows} != built:
            yield f"{workflow}/{name}: other images than {sorted(built)}"
    released = yaml.safe_load(texts["release"])["jobs"]["images"]["strategy"]["matrix"]["service"]
    if set(released) != set(built):
        yield f"release/images: other images than {sorted(built)}"


def services_run_their_own_images(texts: Texts) -> Iterator[str]:
    """What a service is rolled out with is the image that was built for it, verified and copied on the way."""
    made = yaml.safe_load(texts["deploy"])["jobs"]
    gate = {each["id"]: each["run"] for each in made["gate"]["steps"] if "id" in each}
    copies = {each["id"]: each["run"] for each in made["rollout"]["steps"] if "promote_image copy" in str(each)}
    (forward,) = [each for each in made["rollout"]["steps"] if "rollout forward" in each.get("run", "")]
    (verifying,) = [each["run"] for each in made["rollout"]["steps"] if "attestation verify" in each.get("run", "")]
    given = dict(re.findall(r'--image "(\S+)=\$(\w+)"', forward["run"]))
    for service in rollout.SERVICES:
        image = BUILT_AS.get(service, service)
        copied = copies[_reference(forward["env"][given[service]], "steps")]
        variable, target = re.findall(r'copy "\$(\w+)" "\$REPOSITORY/([\w-]+):\$GITHUB_SHA"', copied)[0]
        found = gate[
            _reference(made["gate"]["outputs"][_reference(made["rollout"]["env"][variable], "needs")], "steps")
        ]
        if target != image or f'/{image}:$GITHUB_SHA"' not in found or f'"${variable}"' not in verifying:
            yield f"deploy/rollout: {service} runs another image than {image}, or one that nobody verified"


def _reference(expression: str, source: str) -> str:
    """The step, or the output of the gate, that an expression names."""
    (found,) = re.findall(rf"^\$\{{\{{ {source}\.(?:gate\.outputs\.)?([\w-]+)", expression)
    return str(found)


def tests_run_when_what_they_test_changes(texts: Texts) -> Iterator[str]:
    """Tests of the configuration that need a provider run in one workflow, and look at settings and lines of a log."""
    texts_of_tests = [path.read_text() for path in (ROOT / "tests" / "infra").glob("test_*.py")]
    imported = {name for text in texts_of_tests for name in re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)}
    packages = {
        path.parent.relative_to(ROOT)
        for place in ("apps", "packages")
        for path in ROOT.glob(f"{place}/*/*/__init__.py")
    }
    wanted = {f"{path.parent}/**" for path in packages if path.name in imported}
    for trigger in ("pull_request", "push"):
        missing = wanted - set(triggers(texts["infra-check"])[trigger]["paths"])
        if missing:
            yield f"infra-check: not run when {sorted(missing)} change"


def scripts_are_files(texts: Texts) -> Iterator[str]:
    makefiles = [path.read_text() for path in (ROOT / "Makefile", *ROOT.glob("*.mk"))]
    targets = set(re.findall(r"^([a-z-]+):", "\n".join(makefiles), re.MULTILINE))
    for workflow, name, step in steps(texts):
        run = step.get("run", "")
        if len(run.splitlines()) > MAX_LINES_OF_A_STEP:
            yield f"{workflow}/{name}: a script of {len(run.splitlines())} lines"
        for module in re.findall(r"-m (scripts\.[a-z_.]+)", run):
            if not (ROOT / f"{module.replace('.', '/')}.py").exists():
                yield f"{workflow}/{name}: there is no {module}"
        for target in re.findall(r"\bmake ([a-z-]+)", run):
            if target not in targets:
                yield f"{workflow}/{name}: there is no target {target}"


def ci_calls_what_developers_call(texts: Texts) -> Iterator[str]:
    called = {
        step["run"].split()[1] for _, _, step in steps({"ci": texts["ci"]}) if step.get("run", "").startswith("make ")
    }
    missing = {"lint", "types", "imports", "docs-check", "test", "smoke-images", "workflows-check"} - called
    if missing:
        yield f"ci: without {sorted(missing)}"
    if yaml.safe_load(texts["ci"])["jobs"]["tests"]["strategy"]["matrix"]["python"] != ["3.11", "3.13"]:
        yield "ci: other versions of Python"
    if not {"pull_request", "merge_group", "push"} <= set(triggers(texts["ci"])):
        yield "ci: not for every change"


def every_kind_of_test_is_run(texts: Texts) -> Iterator[str]:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    for kind in (marker.partition(":")[0] for marker in options["markers"]):
        # Terraform's provider is there in one workflow only.
        workflow = "infra-check" if kind == "infra" else "ci"
        if not re.search(rf"-m {kind}\b", texts[workflow]):
            yield f"{workflow}: tests of the kind {kind} are run nowhere"


def one_version_of_terraform(texts: Texts) -> Iterator[str]:
    found = set(re.findall(r"terraform_version: (\S+)", "\n".join(texts.values())))
    if len(found) != 1:
        yield f"versions of Terraform: {sorted(found)}"
    if len(re.findall(r"terraform_wrapper: false", "\n".join(texts.values()))) != 4:
        yield "a wrapper hides Terraform's exit status"


RULES: tuple[Callable[[Texts], Iterator[str]], ...] = (
    actions_are_pinned,
    rights_are_given_by_job,
    nothing_outside_is_trusted,
    builds_run_nothing_else,
    jobs_end,
    secrets_go_where_they_are_needed,
    identities_stay_in_their_environment,
    deploys_and_applies_exclude_each_other,
    approvals_hold_no_group,
    images_are_those_of_the_commit,
    steps_stand_in_their_order,
    deploys_keep_their_order,
    plans_are_refused_before_they_are_applied,
    only_summaries_leave_a_plan,
    jobs_outlast_what_they_wait_for,
    failures_count,
    every_image_is_built_and_scanned,
    services_run_their_own_images,
    tests_run_when_what_they_test_changes,
    scripts_are_files,
    ci_calls_what_developers_call,
    every_kind_of_test_is_run,
    one_version_of_terraform,
)
