"""`python -m benchmarks`: the benchmarks that take a few minutes together, one after the other."""

import runpy
import sys

for name in ("reads", "uploads", "starts", "freshness"):
    print(f"\n== {name}")
    sys.argv = [name]
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
