"""`image-manager-admin evaluate`: evaluate an analyzer, or a model before it is switched on, against labelled pictures.

It needs no database. The command imports its dependencies only when it runs, because every admin command registers it.
"""

import argparse
import asyncio
import json
import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from image_core.analyses.catalogue import CATALOGUE
from image_core.telemetry import JsonFormatter

if TYPE_CHECKING:
    from image_engine.evaluation.judge import FindModel

_SUMMARY = "evaluate an analyzer, or a model before it goes live, on labelled images"


def register(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", find_model: "FindModel | None" = None
) -> None:
    """Add the command to `image-manager-admin`. `find_model` finds models that are not on this machine."""
    parser = commands.add_parser("evaluate", help=_SUMMARY, description=_SUMMARY)
    parser.add_argument("--analyzer", default="labels", choices=list(CATALOGUE), help="analyzer (default: labels)")
    parser.add_argument(
        "--dataset",
        type=Path,
        required=True,
        help="folder with a subfolder for each label, or CSV file with the columns file and label",
    )
    parser.add_argument("--model", help="model of the analyzer, in the format of MODEL_PATH (default: measurements)")
    parser.add_argument("--field", help="field of the result that is compared with the label")
    parser.add_argument(
        "--workers",
        type=_count,
        default=os.cpu_count() or 1,
        help="number of concurrent images (default: number of cores)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=partial(run, find_model=find_model))


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


def run(options: argparse.Namespace, find_model: "FindModel | None") -> None:
    """Print the figures of an analyzer.

    Raises:
        SystemExit: Nothing can be evaluated; the message says why.
    """
    from image_engine.evaluation.dataset import DatasetInvalid, read_dataset
    from image_engine.evaluation.figures import figures
    from image_engine.evaluation.judge import JUDGED, ModelUnusable, find_here, judge
    from image_engine.evaluation.report import as_text
    from image_engine.models.model import ROLES

    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level="WARNING", handlers=[handler])
    judged = JUDGED[options.analyzer]
    if options.field is not None:
        judged = judged._replace(field=options.field)
    if judged.field not in CATALOGUE[options.analyzer].result.model_fields:
        raise SystemExit(f"A result of {options.analyzer} has no field {judged.field}.")
    if options.model is not None and options.analyzer not in ROLES:
        raise SystemExit(f"{options.analyzer} takes no model.")
    try:
        pictures = read_dataset(options.dataset)
        judging = judge(options.analyzer, judged, pictures, options.model, options.workers, find_model or find_here)
        answers = asyncio.run(judging)
    except DatasetInvalid as error:
        raise SystemExit(str(error)) from error
    except ModelUnusable as error:
        raise SystemExit(f"The model cannot be used ({error}); the reason is in the log above.") from error
    found = figures(answers)
    print(json.dumps(found, indent=2, ensure_ascii=False) if options.json else as_text(found))
