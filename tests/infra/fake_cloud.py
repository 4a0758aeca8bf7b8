"""A recorded stand-in for gcloud, gh, terraform, docker, git and make: it answers, remembers, and fails on demand."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.infra.commands import CommandFailed, Output

ADMIN_KEY = "the-key-that-the-migration-made"
DEFAULT_ACCOUNT = "123456789012-compute@developer.gserviceaccount.com"
DIGEST = "sha256:" + "0" * 64
ENVIRONMENT_VARIABLES = {"GCP_PROJECT_ID": "example-project", "TERRAFORM_STATE_BUCKET": "example-project-terraform"}


@dataclass
class FakeCloud:
    """What exists, what was asked, and which call fails: before it has an effect, or after, when its answer is lost."""

    fails_at: int | None = None
    after_effect: bool = False
    billing: bool = True
    exists: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    planned_changes: list[dict[str, Any]] = field(default_factory=list)
    instance_state: str = "RUNNABLE"
    instances: list[dict[str, Any]] = field(default_factory=list)
    log_bucket: str = ""
    # For how many attempts a subnet's addresses are held, and what a destroy that stopped at them leaves.
    holds_addresses: int | None = None
    left_by_destroy: list[str] = field(default_factory=lambda: ["module.network.google_compute_subnetwork.run"])
    missing_services: set[str] = field(default_factory=set)
    unreachable_services: set[str] = field(default_factory=set)
    github: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    reviewers: list[dict[str, Any]] = field(default_factory=list)
    refused_by_github: tuple[str, ...] = ()
    firewall_rules: list[str] = field(default_factory=lambda: ["default-allow-icmp", "default-allow-ssh"])
    managed: list[str] = field(default_factory=lambda: ["module.database.google_sql_database_instance.this"])

    def __call__(
        self,
        command: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        show: bool = False,
    ) -> Output:
        line = " ".join(command)
        self.calls.append(line)
        fails = self.fails_at == len(self.calls)
        if fails and not self.after_effect:
            return self._ended(line, Output("", "connection reset", 1), check)
        answer = self._answer(line, cwd)
        return self._ended(line, Output("", "answer lost", 1) if fails else answer, check)

    def _ended(self, line: str, output: Output, check: bool) -> Output:
        if check and output.code:
            raise CommandFailed(f"{line}: {output.stderr}")
        return output

    def _answer(self, line: str, cwd: Path | None) -> Output:
        for beginning, answer in self._answers(cwd).items():
            if line.startswith(beginning):
                return answer(line)
        raise AssertionError(f"nobody told the stand-in what to answer to: {line}")

    def _answers(self, cwd: Path | None) -> dict[str, Callable[[str], Output]]:
        folder = cwd.name if cwd else ""
        return {
            "gcloud auth list": _says([{"account": "somebody@example.com"}]),
            "gcloud auth application-default print-access-token": lambda _: Output("a-token", "", 0),
            "gcloud sql instances describe": lambda _: Output(self.instance_state, "", 0),
            "terraform state list module.database": lambda _: Output("\n".join(self.managed), "", 0),
            "terraform state rm": self._forgets,
            "terraform import -input=false -var-file": self._adopts,
            "gcloud auth configure-docker": _says(None),
            "gcloud projects describe": _says({"projectNumber": "123456789012"}),
            **self._default_resources(),
            "gcloud billing projects describe": _says({"billingEnabled": self.billing}),
            "gcloud services enable": self._makes("first APIs"),
            "gcloud storage buckets describe": self._asks("state bucket"),
            "gcloud storage buckets create": self._makes("state bucket", once=True),
            "gcloud storage buckets update": self._makes("versions of the state", needs="state bucket"),
            "gcloud beta services identity create": self._makes("Pub/Sub's agent"),
            "gh api repos/": _says({"id": 123456789, "owner": {"id": 987654}}),
            "gh api --method": self._github,
            "gh variable list": _says([{"name": "DELIVERY_ENVIRONMENTS", "value": '["prod"]'}]),
            "gh variable set": lambda line: self._makes(f"variable {line.split()[3]}", needs="GitHub environment")(
                line
            ),
            "git rev-parse": lambda _: Output("0123456789ab\n", "", 0),
            "terraform init": self._makes(f"init {folder}", needs="versions of the state"),
            "terraform state list": self._lists,
            "terraform import": self._makes("imported bucket", once=True),
            "terraform output -json github_variables": _says(ENVIRONMENT_VARIABLES),
            "terraform output -raw api_url": lambda _: Output("https://image-api-abc-ew.a.run.app", "", 0),
            "terraform output -raw network_name": lambda _: Output("image-manager", "", 0),
            "terraform plan": self._plans,
            "terraform show": _says({"resource_changes": self.planned_changes}),
            "terraform apply": lambda line: self._applies(line, folder),
            "gcloud logging buckets describe": lambda _: Output(self.log_bucket, "", 0 if self.log_bucket else 1),
            "gcloud logging buckets undelete": self._undeletes,
            "gcloud artifacts docker images describe": self._image_digest,
            "docker build": lambda line: self._makes(f"built {_name_of(line)}")(line),
            "docker push": lambda line: self._makes(f"pushed {_name_of(line)}", once=True)(line),
            "gcloud run services describe": self._service,
            "gcloud run jobs execute image-migrate": self._makes("schema", needs="stack"),
            "gcloud services vpc-peerings delete": self._makes("no peering"),
            "gcloud secrets versions access": lambda _: Output(
                ADMIN_KEY if "schema" in self.exists else "", "", 0 if "schema" in self.exists else 1
            ),
            "make smoke": self._makes("smoke test", needs="schema"),
        }

    def _github(self, line: str) -> Output:
        """GitHub's API: keeps what is put and posted, and refuses what the plan of the repository does not have."""
        _, _, _, method, path, *rest = line.split()
        body = json.loads(Path(rest[0].removeprefix("--input=")).read_text()) if rest else {}
        if path == "user":
            return Output(json.dumps({"id": 42}), "", 0)
        if method == "GET" and path.endswith("/rulesets"):
            return Output(json.dumps([each for _, each in self.github if "rules" in each]), "", 0)
        if method == "GET" and path.endswith("/deployment-branch-policies"):
            policies = [each for posted, each in self.github if posted == path]
            return Output(json.dumps({"branch_policies": policies}), "", 0)
        if method == "GET":
            asked = {"reviewers": self.reviewers} if self.reviewers else {}
            return Output(json.dumps({"protection_rules": [asked]}), "", 0)
        if refused := [key for key in self.refused_by_github if body.get(key)]:
            return Output("", f"the billing plan has no {refused[0]}", 1)
        self.github = [each for each in self.github if method == "POST" or each[0] != path] + [(path, body)]
        self.exists.add("GitHub environment")
        return Output("{}", "", 0)

    def _default_resources(self) -> dict[str, Callable[[str], Output]]:
        """What Google puts into a new project, until it is removed."""
        network = [] if "no default network" in self.exists else [{"name": "default"}]
        rules = [] if "no default rules" in self.exists else [{"name": name} for name in self.firewall_rules]
        member = f"serviceAccount:{DEFAULT_ACCOUNT}"
        editors = [] if "no default editor" in self.exists else [member]
        return {
            "gcloud compute networks list": _says(network),
            "gcloud compute firewall-rules list": _says(rules),
            "gcloud compute instances list": _says(self.instances),
            "gcloud compute firewall-rules delete": self._makes("no default rules", once=True),
            "gcloud compute networks delete": self._makes("no default network", needs="no default rules", once=True),
            "gcloud iam service-accounts describe": lambda _: Output(str("no default account" in self.exists), "", 0),
            "gcloud run services list": _says([]),
            "gcloud projects get-iam-policy": _says({"bindings": [{"role": "roles/editor", "members": editors}]}),
            "gcloud projects remove-iam-policy-binding": self._makes("no default editor", once=True),
            "gcloud iam service-accounts disable": self._makes("no default account", once=True),
        }

    def _makes(self, thing: str, *, needs: str = "", once: bool = False) -> Callable[[str], Output]:
        def answer(_: str) -> Output:
            if needs and needs not in self.exists:
                return Output("", f"{thing} needs {needs}", 1)
            if once and thing in self.exists:
                return Output("", f"{thing} exists already", 1)
            self.exists.add(thing)
            return Output("", "", 0)

        return answer

    def _lists(self, _: str) -> Output:
        left = self.left_by_destroy if self.holds_addresses is not None else []
        return Output("\n".join(["google_storage_bucket.state"] * ("imported bucket" in self.exists) + left), "", 0)

    def _applies(self, line: str, folder: str) -> Output:
        if self.log_bucket == "DELETE_REQUESTED":
            return Output("", "bucket is pending deletion", 1)
        if self.holds_addresses:
            self.holds_addresses -= 1
            return Output("", "subnetwork is already being used", 1)
        return self._makes(folder, needs="imported bucket")(line)

    def _undeletes(self, _: str) -> Output:
        self.log_bucket = "ACTIVE"
        return Output("", "", 0)

    def _forgets(self, line: str) -> Output:
        self.managed = [each for each in self.managed if each not in line.split()]
        return Output("", "", 0)

    def _adopts(self, line: str) -> Output:
        address = line.split()[-2]
        if address in self.managed:
            return Output("", f"{address} is managed already", 1)
        self.managed.append(address)
        return Output("", "", 0)

    def _asks(self, thing: str) -> Callable[[str], Output]:
        return lambda _: Output("", "", 0 if thing in self.exists else 1)

    def _image_digest(self, line: str) -> Output:
        return Output(DIGEST, "", 0) if f"pushed {_name_of(line)}" in self.exists else Output("", "NOT_FOUND", 1)

    def _service(self, line: str) -> Output:
        if _name_of(line) in self.unreachable_services:
            return Output("", "UNAVAILABLE: try again", 1)
        if "stack" not in self.exists or _name_of(line) in self.missing_services:
            return Output("", f"Cannot find service [{_name_of(line)}]", 1)
        if "--format=json" in line:
            ready = "True" if "schema" in self.exists else "False"
            return Output(json.dumps({"status": {"conditions": [{"type": "Ready", "status": ready}]}}), "", 0)
        return Output(f"europe-west1-docker.pkg.dev/example-project/images/{_name_of(line)}@{DIGEST}", "", 0)

    def _plans(self, _: str) -> Output:
        return Output("", "", 0 if "stack" in self.exists and not self.planned_changes else 2)


def _name_of(line: str) -> str:
    return next(
        (name for name in ("image-processor", "image-tasks", "image-delivery", "image-other") if name in line),
        "image-api",
    )


def _says(answer: Any) -> Callable[[str], Output]:
    return lambda _: Output("" if answer is None else json.dumps(answer), "", 0)
