"""Where a model errs, as one HTML file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from keras_vit.inference.picture_answers import PictureAnswers
from keras_vit.pages.document import check_page, write_document
from keras_vit.reporting.against import against_section, checked_against, shown_against
from keras_vit.reporting.album import Album
from keras_vit.reporting.breakdown import breakdown_section
from keras_vit.reporting.class_scores import Confusions, confusions_of
from keras_vit.reporting.classes import classes_section, matrix_section
from keras_vit.reporting.copies import copies_section, find_copies
from keras_vit.reporting.mistakes import (
    confident_section,
    pairs_section,
    shown_pictures,
    unsure_section,
)
from keras_vit.reporting.origin import model_section, training_section
from keras_vit.reporting.several import (
    labels_section,
    mistakes_sections,
    shown_of_several,
)
from keras_vit.reporting.summary import data_name, header, model_name, summary_section
from keras_vit.reporting.trust import coverage_section, trust_section
from keras_vit.reporting.wording import number_of


def write_report(
    evaluation: Any,
    path: str | Path,
    *,
    against: Any = None,
    heat_maps: bool = True,
    near_duplicates: bool | None = None,
    command: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the report of an `Evaluation`; see `Evaluation.report`."""
    path = check_page(path, overwrite)
    answers: PictureAnswers | None = evaluation.answers
    if answers is None:
        raise ValueError(
            "A report needs what the model says of each picture, which this evaluation "
            "does not know. Make it with keras_vit.evaluate."
        )
    is_evaluation = isinstance(against, type(evaluation))
    if against is not None and not is_evaluation and answers.judge is not None:
        against = answers.judge(against)
    other = None if against is None else checked_against(answers, against.answers)
    album = Album(answers, heat_maps)
    compared = [] if other is None else shown_against(answers, other)
    confusions = None
    if answers.is_multi_label:
        about_classes = _of_several(evaluation, answers, album, compared)
    else:
        confusions = confusions_of(answers)
        about_classes = _of_one(answers, album, confusions, compared)
    copies = find_copies(answers, evaluation.part, near_duplicates)
    sections = [summary_section(answers, confusions, copies)]
    name = model_name(answers.model)
    if other is not None:
        others = model_name(other.model)
        others = "the other model" if others == name else others
        sections.append(against_section(answers, other, others, album))
    sections += [*about_classes, trust_section(answers)]
    if not answers.is_multi_label:
        sections.append(coverage_section(answers, other))
    parts = (
        breakdown_section(answers),
        copies_section(copies, album),
        training_section(answers.model),
        model_section(evaluation, answers, album.model, command),
    )
    sections += [part for part in parts if part is not None]
    body = [header(evaluation, answers, confusions, against), _contents(sections)]
    body += ["<main>", *sections, *_notes(answers, album), "</main>"]
    title = f"Errors of {name} on {data_name(answers)}"
    return write_document(path, title, body, scripted=True)


def _of_one(
    answers: PictureAnswers, album: Album, confusions: Confusions, compared: list[int]
) -> list[str]:
    """Return mistakes and classes where a picture has one label."""
    shown = shown_pictures(answers, confusions.pairs)
    album.draw_maps([*shown.all(), *compared])
    found = [
        confident_section(answers, album, shown),
        matrix_section(confusions),
    ]
    if confusions.pairs:
        found.append(pairs_section(answers, album, shown, len(confusions.pairs)))
    found.append(classes_section(confusions))
    if shown.unsure:
        found.append(unsure_section(answers, album, shown))
    return found


def _of_several(
    evaluation: Any, answers: PictureAnswers, album: Album, compared: list[int]
) -> list[str]:
    """Return mistakes and classes where a picture may have several labels."""
    shown = shown_of_several(answers)
    drawn: dict[int, list[int]] = {}
    for number, i in (pair for kind in shown.values() for pair in kind):
        drawn.setdefault(i, []).append(number)
    for i, numbers in drawn.items():
        album.draw_maps(numbers, i)
    album.draw_maps(compared)
    mistakes = mistakes_sections(answers, album, shown)
    return [labels_section(evaluation, answers), *mistakes]


def _contents(sections: Sequence[str]) -> str:
    names = [
        m[1] for one in sections if (m := re.match(r'<section id="([a-z-]+)"', one))
    ]
    texts = [name.replace("-", " ").capitalize() for name in names]
    links = "".join(
        f'<li><a href="#{name}">{text}</a></li>'
        for name, text in zip(names, texts, strict=True)
    )
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def _notes(answers: PictureAnswers, album: Album) -> Iterator[str]:
    said = []
    if answers.readable is None:
        said.append("Pictures of a stream cannot be read again, and are not shown.")
    if album.has_maps:
        said.append(
            "A map beside a picture says what the model reads for "
            + ("the class that is named" if answers.is_multi_label else "its answer")
            + ", from little (dark blue) to much (yellow); how it is made is in "
            "docs/explain.md."
        )
    if album.why_no_maps:
        said.append(f"{album.why_no_maps.rstrip('.')}.")
    if album.num_unreadable:
        count = number_of(album.num_unreadable, "picture", "pictures")
        said.append(f"{count} could not be read when the report was made.")
    if album.is_full:
        said.append("Some pictures were left out: a page holds 8 MB of them.")
    if said:
        yield '<p class="note last">' + " ".join(escape(one) for one in said) + "</p>"
