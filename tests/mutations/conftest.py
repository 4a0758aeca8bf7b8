import sys
from pathlib import Path

# The scripts are no installed package; pytest may be started from anywhere.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
