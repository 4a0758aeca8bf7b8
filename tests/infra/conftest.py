import sys
from pathlib import Path

import pytest

# The scripts are no installed package; pytest may be started from anywhere.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "infra: needs terraform and a provider")
