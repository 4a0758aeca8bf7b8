"""A release that brings a service: an installation that runs gets it by an apply, and what is there stays."""

from pathlib import Path

import pytest
from scripts.infra.commands import run
from scripts.infra.terraform_checks import copied_tree, environment, initialise

RELEASE = Path(__file__).with_name("another_service")
# What it takes in a file that others share, after the line of the processor.
LINES = {
    "variables.tf": {"    processor = string\n": "    another   = optional(string)\n"},
    "locals.tf": {
        "    image-processor = module.image_processor\n": "    image-another   = one(module.image_another[*])\n",
        "    image-processor = module.image_processor.service_account_email\n": (
            "    image-another   = var.images.another == null ? null : module.image_another[0].service_account_email\n"
        ),
        "    image-processor = var.processor\n": "    image-another   = var.another\n",
    },
}


def add_to(stack: Path) -> None:
    """Write the service into the configuration, in the places that docs/delivery.md names."""
    for name, lines in LINES.items():
        text = (stack / name).read_text()
        for line, added in lines.items():
            assert text.count(line) == 1
            text = text.replace(line, line + added)
        (stack / name).write_text(text)
    for part in ("services.tf", "variables.tf", "capabilities.yaml"):
        (stack / part).write_text((stack / part).read_text() + (RELEASE / part).read_text())


@pytest.fixture(scope="module")
def upgrade() -> str:
    with copied_tree() as copy:
        stack = copy / "stack"
        add_to(stack)
        for path in (stack / "tests").glob("*.tftest.hcl"):
            path.unlink()
        (stack / "tests" / "upgrade.tftest.hcl").write_text((RELEASE / "upgrade.tftest.hcl").read_text())
        initialise(stack, environment())
        command = ["terraform", "test", "-no-color", f"-var-file={copy / 'environments' / 'small.tfvars'}"]
        ended = run(command, cwd=stack, env=environment(), check=False)
        return ended.stdout + ended.stderr


@pytest.mark.infra
@pytest.mark.parametrize(
    "name", ["four_services_run", "the_fifth_comes_by_an_apply", "its_connections_were_counted_before_it_came"]
)
def test_an_installation_of_four_services_becomes_one_of_five(name: str, upgrade: str) -> None:
    assert f'run "{name}"... pass' in upgrade, upgrade
