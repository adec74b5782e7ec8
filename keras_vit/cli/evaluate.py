"""The command that measures the accuracy of a model."""

from __future__ import annotations

from argparse import BooleanOptionalAction, Namespace

from keras_vit.cli.arguments import (
    MODEL_HELP,
    Commands,
    add_command,
    add_switches,
    add_views,
    command_line,
    print_found,
)
from keras_vit.cli.data import add_source, add_split, has_split, open_to_judge
from keras_vit.data.trained_pictures import ALL, read_trained_pictures
from keras_vit.inference.evaluate import evaluate
from keras_vit.inference.predictor import find_model
from keras_vit.pages.document import check_page


def add_evaluate(commands: Commands) -> None:
    """Add `keras-vit evaluate` to the commands."""
    parser = add_command(
        commands,
        run_evaluate,
        "evaluate",
        "measure the accuracy of a model on labelled images",
        "saved_models/digits/model.tflite --data digits",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    add_source(parser)
    add_split(parser)
    parser.add_argument(
        "--part",
        help="train, validation, test or all; default: what the model was not trained "
        "on, else all",
    )
    parser.add_argument("--batch-size", type=int, default=64, metavar="N")
    add_views(parser)
    about = "a page of where it errs: pictures, classes, calibration"
    parser.add_argument("--report", metavar="FILE.html", help=about)
    about = "of --report: another model, compared on the same images"
    parser.add_argument("--against", metavar="OTHER", help=about)
    for name, about in (
        ("near-duplicates", "look for nearly equal pictures; default: up to 2,000"),
        ("heat-maps", "show what the model looks at; default: yes"),
    ):
        about = f"of --report: {about}"
        parser.add_argument(f"--{name}", action=BooleanOptionalAction, help=about)
    add_switches(parser, overwrite="replace the report that is there")


def run_evaluate(options: Namespace) -> None:
    """Evaluate a model of any form, and write the report."""
    _check(options)
    trained = read_trained_pictures(find_model(options.model).parent)
    data = open_to_judge(options, trained)
    part = options.part
    if part is None and has_split(options):
        # As it was asked for.
        part = data.held_out[0] if options.folds is None else "validation"
    elif part is None and trained is None and [*data.parts] == ["train"]:
        part = ALL
    evaluation = evaluate(
        options.model,
        data,
        part=part,
        batch_size=options.batch_size,
        augment=options.tta,
    )
    names = {"model": options.model, "data": options.data}
    if options.tta:
        names["tta"] = options.tta
    lines = [evaluation.text()]
    if options.report:
        path = evaluation.report(
            options.report,
            against=options.against,
            heat_maps=options.heat_maps is not False,
            near_duplicates=options.near_duplicates,
            command=command_line(options),
            overwrite=options.overwrite,
        )
        names["report"] = str(path)
        lines.append(f"report in {path}")
    print_found(options, {**names, **evaluation.as_json()}, *lines)


def _check(options: Namespace) -> None:
    """Refuse what cannot be written, or has no meaning, before any work."""
    if options.report:
        check_page(options.report, options.overwrite)
        if options.against:
            find_model(options.against)
        return
    for name in ("against", "near_duplicates", "heat_maps", "overwrite"):
        if getattr(options, name) not in (None, False):
            option = "--" + name.replace("_", "-")
            raise ValueError(
                f"{option} is about the report, received it without --report. Add "
                "--report FILE.html, or leave it out."
            )
