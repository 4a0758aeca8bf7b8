"""`image-manager-admin evaluate`: an analyzer, or a model before it is switched on, against pictures with labels.

No database is needed. What does the work is loaded by the command alone, because every command registers this one.
"""

import argparse
import asyncio
import json
import logging
import os
from pathlib import Path

from image_core.analyses.catalogue import CATALOGUE
from image_core.telemetry import JsonFormatter

_SUMMARY = "judge an analyzer, or a model before it is switched on, by pictures with labels"


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to `image-manager-admin`."""
    parser = commands.add_parser("evaluate", help=_SUMMARY, description=_SUMMARY)
    parser.add_argument("--analyzer", default="labels", choices=list(CATALOGUE))
    parser.add_argument(
        "--dataset", type=Path, required=True, help="folder with a folder for each label, or CSV with file,label"
    )
    parser.add_argument("--model", help="model that answers labels, as MODEL_PATH names it; without: measurements")
    parser.add_argument("--field", help="field of the result that is compared with the label")
    parser.add_argument("--workers", type=_count, default=os.cpu_count() or 1, help="pictures at once; default: cores")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count


def run(options: argparse.Namespace) -> None:
    """Print what was found; exits with a message where nothing could be."""
    from image_processor.evaluation.dataset import DatasetInvalid, read_dataset
    from image_processor.evaluation.figures import figures
    from image_processor.evaluation.judge import JUDGED, ModelUnusable, judge
    from image_processor.evaluation.report import as_text

    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level="WARNING", handlers=[handler])
    judged = JUDGED[options.analyzer]
    if options.field is not None:
        judged = judged._replace(field=options.field)
    if judged.field not in CATALOGUE[options.analyzer].result.model_fields:
        raise SystemExit(f"A result of {options.analyzer} has no field {judged.field}.")
    try:
        pictures = read_dataset(options.dataset)
        answers = asyncio.run(judge(options.analyzer, judged, pictures, options.model, options.workers))
    except DatasetInvalid as error:
        raise SystemExit(str(error)) from error
    except ModelUnusable as error:
        raise SystemExit(f"The model cannot be used ({error}); the reason is in the log above.") from error
    found = figures(answers)
    print(json.dumps(found, indent=2, ensure_ascii=False) if options.json else as_text(found))
