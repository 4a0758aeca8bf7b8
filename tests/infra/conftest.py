import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The scripts are no installed package; pytest may be started from anywhere.
sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session")
def terraform_folder() -> Path:
    return ROOT / "terraform"
