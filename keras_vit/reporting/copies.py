"""Pictures that are there more than once, in what is judged and what was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np

from keras_vit.data.images import Images, joined
from keras_vit.inference.picture_answers import PictureAnswers
from keras_vit.inspecting.data_check import Finding
from keras_vit.inspecting.duplicates import equal_pairs, near_pairs
from keras_vit.inspecting.findings import copies
from keras_vit.inspecting.pictures import PictureFacts, look_at, small_picture
from keras_vit.pages.parts import section
from keras_vit.reporting.album import Album
from keras_vit.reporting.wording import number_of

_MOST_COMPARED = 2000  # pictures that are compared with each other unasked
_GROUPS, _OF_GROUP = 8, 4
_TITLES = {
    "between_splits": "in training and in what is judged, too",
    "between_classes": "there with several labels",
    "equal": "there more than once",
    "near": "nearly equal to another one",
}


@dataclass(frozen=True, kw_only=True)
class Copies:
    """What was found. Pictures have numbers: those of training, then what is judged.

    Args:
        findings: of `inspecting`, with the groups that hold a judged picture.
        whole: all pictures; None of a stream, in which nothing can be looked for.
        num_trained: how many of them are of training.
        looked_near: whether nearly equal ones were looked for.
    """

    findings: tuple[Finding, ...] = ()
    whole: Images | None = None
    num_trained: int = 0
    looked_near: bool = False

    @property
    def num_leaked(self) -> int:
        """How many of the judged pictures are in training, too."""
        groups = [
            g for f in self.findings if f.kind == "between_splits" for g in f.groups
        ]
        return sum(number >= self.num_trained for group in groups for number in group)


def find_copies(answers: PictureAnswers, part: str, near: bool | None) -> Copies:
    """Look for pictures that are there more than once.

    Args:
        answers: of the pictures that are judged.
        part: of the data that they are.
        near: whether to look for nearly equal ones. None: of few pictures.
    """
    judged = answers.readable
    if judged is None or judged.content is None:
        return Copies()
    training = _training(answers, judged, part)
    whole = judged if training is None else joined([training, judged])
    num_trained = 0 if training is None else len(training)
    looked_near = len(whole) <= _MOST_COMPARED if near is None else near
    labels = whole.labels
    if labels.ndim == 2:  # Several labels together are a class.
        labels = np.unique(labels, axis=0, return_inverse=True)[1].ravel()
    pictures = [
        PictureFacts(
            name="", part="train" if n < num_trained else "test", label=int(label)
        )
        for n, label in enumerate(labels)
    ]
    contents: Any = whole.content
    equal = equal_pairs(contents)
    close = _near_pairs(whole, equal) if looked_near else []
    # Labels that a picture has beside others are no contradiction.
    names = () if whole.is_multi_label else answers.data.class_names
    found = []
    for one in copies(pictures, equal, close, names):
        groups = tuple(group for group in one.groups if group[-1] >= num_trained)
        if groups:
            counted = number_of(len(groups), "picture is", "pictures are")
            title = f"{counted} {_TITLES[one.kind]}"
            found.append(replace(one, title=title, groups=groups, notes=()))
    found.sort(key=lambda one: [*_TITLES].index(one.kind))
    return Copies(
        findings=tuple(found),
        whole=whole,
        num_trained=num_trained,
        looked_near=looked_near,
    )


def _training(answers: PictureAnswers, judged: Images, part: str) -> Images | None:
    """Return what the model was trained on of the data, without what is judged."""
    parts = [one for one in answers.data.parts.values() if isinstance(one, Images)]
    trained, train = answers.trained, answers.data.train
    if any(one.content is None for one in parts):
        return None
    if trained is None or not trained.parts:
        is_apart = part in ("validation", "test")
        return train if is_apart and isinstance(train, Images) else None
    whole = joined(parts)
    contents: Any = whole.content
    own: Any = judged.content
    seen = trained.are(contents, "train") & ~np.isin(contents, own)
    return whole.subset(whole.indices[seen]) if seen.any() else None


def _near_pairs(whole: Images, equal: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return pairs of pictures that are nearly equal, one of those that are equal."""
    again = {number for _, number in equal}
    facts = [*look_at(whole, "")]
    seen = [
        n
        for n, one in enumerate(facts)
        if n not in again and one.problem is None and not one.is_blank
    ]
    if not seen:
        return []
    vectors: list[Any] = [facts[n].vectors for n in seen]

    def read(number: int) -> Any:
        return small_picture(whole.read(int(whole.indices[number])), whole)[0]

    return near_pairs(np.stack(vectors), seen, read)


def copies_section(found: Copies, album: Album) -> str:
    """Return what was found, with some of the pictures."""
    title = "Pictures that are there twice"
    if found.whole is None:
        body = ['<p class="empty">A stream cannot be searched for copies.</p>']
        return section("copies", title, body)
    body = []
    for one in found.findings:
        body.append(f"<h3>{escape(one.title)}</h3>")
        body.append(f'<p class="note">{escape(one.advice)}.</p>')
        body += _pictures(one, found, album)
    if not found.findings:
        body.append('<p class="empty">None was found.</p>')
    kinds = "Equal and nearly equal ones" if found.looked_near else "Equal ones"
    lead = f"{kinds} were looked for among these pictures"
    if found.num_trained:
        lead += f" and {number_of(found.num_trained, 'training picture')}"
    lead += "."
    if not found.looked_near:
        lead += (
            " Nearly equal ones take longer: <code>near_duplicates=True</code>, "
            "<code>--near-duplicates</code>."
        )
    return section("copies", title, body, lead)


def _pictures(one: Finding, found: Copies, album: Album) -> Iterator[str]:
    yield '<div class="groups">'
    for group in one.groups[:_GROUPS]:
        yield '<div class="group">'
        yield from (_figure(number, found, album) for number in group[:_OF_GROUP])
        yield "</div>"
    yield "</div>"
    if len(one.groups) > _GROUPS:
        more = number_of(len(one.groups) - _GROUPS, "more group", "more groups")
        yield f'<p class="note">And {more}.</p>'


def _figure(number: int, found: Copies, album: Album) -> str:
    judged = number - found.num_trained
    if judged >= 0:
        label = album.answers.named(judged)
        return album.figure(judged, f"Picture of {label}", escape(label))
    return (
        '<figure class="shot"><div class="images"><span class="none">in training'
        f'</span></div><figcaption><span class="path">'
        f"{escape(album.name_in(found.whole, number))}</span></figcaption></figure>"
    )
