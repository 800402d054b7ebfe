"""The report as one page that asks the network for nothing; every text is escaped by the template."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from models.clustering.records import Clustering, Comparison, Size, Topic
from nlp import __version__
from nlp.errors import ClusteringError
from service.consultation_report.listing import (
    MOST_COMMENTS,
    Attribute,
    columns,
    filterable,
    shown_comments,
)
from service.consultation_report.wording import (
    LANGUAGES,
    Said,
    as_written,
    count,
    decimal,
    direction,
    figure,
    interval,
    isolated,
    knows,
    percent,
    points,
    say,
    wording,
)
from service.languages import Language

_FOLDER = Path(__file__).parent
# Drawn around (0, 0) and no wider than 16; a topic has a shape and one of nine colours.
_SHAPES = (
    "M0-6A6 6 0 1 1 0 6A6 6 0 1 1 0-6Z",
    "M-5.5-5.5H5.5V5.5H-5.5Z",
    "M0-7L6.5 5H-6.5Z",
    "M0-7.5L6.5 0L0 7.5L-6.5 0Z",
    "M-2.2-7H2.2V-2.2H7V2.2H2.2V7H-2.2V2.2H-7V-2.2H-2.2Z",
    "M0 7L6.5-5H-6.5Z",
    "M0-7.5L2-2.5L7.2-2.3L3.2 1L4.6 6.1L0 3.2L-4.6 6.1L-3.2 1L-7.2-2.3L-2-2.5Z",
    "M-3.5-6.5H3.5L7 0L3.5 6.5H-3.5L-7 0Z",
)
_COLOURS = 9
_LONGEST_QUOTE = 1_200
# A list of so many comments or fewer is printed unless the reader says otherwise.
_PRINTED_LIST = 200
_GROUPS_A_TABLE = 4
_MOST_CAMPAIGNS = 50
_HIGH_STABILITY = 0.8
# Notes that inform without warning, and those whose figures the page tells in its own words.
_INFORMING = frozenset({"campaigns", "no_stance"})
_TOLD = frozenset({"drift"})
# Options that the page shows elsewhere.
_SHOWN_OPTIONS = frozenset({"model", "presets", "seed"})


def render_report(
    clustering: Clustering,
    texts: Mapping[str, str],
    *,
    title: str,
    made_at: date,
    language: Language = "ar",
    comparisons: Sequence[Comparison] = (),
    masked: Mapping[str, int] | None = None,
    flags: Mapping[str, Collection[str]] = MappingProxyType({}),
    full_table: str = "",
    most_comments: int = MOST_COMMENTS,
) -> str:
    """Draw the report of a consultation.

    Args:
        clustering: what people said.
        texts: by id of comment, as they may be shown: personal data is masked before.
        title: of the consultation.
        made_at: date of the report; it never looks at the clock.
        language: that the page opens in; the other is one press away.
        comparisons: of groups, one for each attribute.
        masked: how many places were masked, by kind of personal data; ``None`` if nothing was looked for.
        flags: kinds of flag (``insult``, ``spam``) by id of comment.
        full_table: name of the file that lists every comment, told where the page lists a sample.
        most_comments: comments on the map and in the list; more are sampled.

    Returns:
        HTML with its styles, script and data in it.

    Raises:
        ClusteringError: the language is not known, or a comparison is of another tree.
    """
    _check(clustering, comparisons, language)
    shown = shown_comments(clustering, texts, most_comments)
    attributes = filterable(clustering.comments)
    style, script = _parts()
    return _template().render(
        clustering=clustering,
        texts=texts,
        notes=[note for note in clustering.notes if not note.about and note.code not in _TOLD],
        informing=_INFORMING,
        large_other=any(note.code == "large_other" for note in clustering.notes),
        options={
            name: json.dumps(value) for name, value in clustering.method.options.items() if name not in _SHOWN_OPTIONS
        },
        title=title,
        made_at=made_at.isoformat(),
        language=language,
        comparisons=comparisons,
        masked=masked,
        flagged=Counter(kind for kinds in flags.values() for kind in set(kinds)),
        flags=flags,
        full_table=full_table,
        version=__version__,
        shown=shown,
        attributes=attributes,
        print_list=len(shown) <= _PRINTED_LIST,
        most_campaigns=_MOST_CAMPAIGNS,
        groups_a_table=_GROUPS_A_TABLE,
        shapes=_SHAPES,
        signs=_signs(clustering),
        topics={topic.id: topic for topic in clustering.walk()},
        campaign_voices=_campaign_voices(clustering),
        label_titles=_label_titles(clustering),
        style=Markup(style),  # noqa: S704 - the package's own file
        script=Markup(script),  # noqa: S704 - the package's own file
        policy=report_policy(),
        data=_embedded(_data(clustering, columns(clustering, shown, attributes, texts, flags), attributes, shown)),
    )


@cache
def report_policy() -> str:
    """The Content-Security-Policy of every report: its own script and styles, and nothing from anywhere else."""
    style, script = map(_hash, _parts())
    return f"default-src 'none'; script-src '{script}'; style-src '{style}'; base-uri 'none'; form-action 'none'"


@cache
def _parts() -> tuple[str, str]:
    """The styles and the script."""
    style, script = (_FOLDER.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return style, script


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"say": say, "knows": knows, "count": count, "size": _size, "excerpt": _excerpt}
    environment.globals |= {"interval": interval, "direction": direction}
    environment.filters |= {
        "figure": figure,
        "percent": percent,
        "decimal": decimal,
        "isolated": isolated,
        "as_written": as_written,
        "points": points,
    }
    environment.filters |= {"number_of": _number, "stability": _stability, "batches": _batches}
    return environment.from_string(_FOLDER.joinpath("page.html.jinja").read_text(encoding="utf-8"))


def _check(clustering: Clustering, comparisons: Sequence[Comparison], language: str) -> None:
    if language not in LANGUAGES:
        raise ClusteringError(f"a report in the language {language!r}", expected="one of " + ", ".join(LANGUAGES))
    for comparison in comparisons:
        for topic in comparison.topics:
            clustering.topic(topic)


def _data(
    clustering: Clustering, comments: Mapping[str, Any], attributes: Sequence[Attribute], shown: Sequence[object]
) -> dict[str, Any]:
    topics = list(clustering.walk())
    nouns = ("voices", "arguments", "comments")
    return {
        "words": {**wording()["page"], **{noun: wording()["counts"][noun] for noun in nouns}},
        "shapes": _SHAPES,
        "colours": _COLOURS,
        "sampled": len(shown) < len(clustering.comments),
        "topics": [{"id": topic.id, "number": _number(topic.id), "title": topic.title} for topic in topics],
        "roots": [place for place, topic in enumerate(topics) if topic in clustering.topics],
        "minorities": [minority.id for minority in clustering.minorities],
        "campaigns": [campaign.id for campaign in clustering.campaigns],
        "attributes": [{"name": attribute.name, "values": attribute.values} for attribute in attributes],
        "comments": comments,
    }


def _embedded(data: Mapping[str, Any]) -> Markup:
    """JSON that cannot end the script element which holds it, nor open a comment in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - every character that HTML could read is escaped above


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _campaign_voices(clustering: Clustering) -> Counter[str]:
    """Voices of campaigns by topic and sub-topic."""
    voices: Counter[str] = Counter()
    for comment in clustering.comments:
        if comment.campaign is not None:
            voices[comment.topic] += 1
            if comment.subtopic is not None:
                voices[comment.subtopic] += 1
    return voices


def _signs(clustering: Clustering) -> dict[str, tuple[int, int]]:
    """Shape and colour of every topic; sub-topics have those of their topic."""
    return {
        part.id: (place % len(_SHAPES), place % _COLOURS)
        for place, topic in enumerate(clustering.topics)
        for part in (topic, *topic.subtopics)
    }


def _label_titles(clustering: Clustering) -> dict[str, Said]:
    """Titles of the labels in the profiles, by ``level/id``."""
    return {
        f"{level}/{label.id}": Said(*(Markup.escape(label.title.get(one, label.id)) for one in LANGUAGES))
        for topic in clustering.walk()
        for level, labels in topic.profile.items()
        for label in labels
    }


def _size(size: Size) -> Said:
    voices, arguments = count("voices", size.voices), count("arguments", size.arguments)
    return Said(*(Markup("<b>{}</b> · {}").format(getattr(voices, one), getattr(arguments, one)) for one in LANGUAGES))


def _number(group: str) -> str:
    """What stands for a topic, minority or campaign in the page: ``t1.2`` is 1.2."""
    return group[1:] if group[1:2].isdigit() else ""


def _stability(topic: Topic) -> str:
    """The word for a topic's stability."""
    found = topic.stability
    if found.low:
        return "low"
    if found.score is None:
        return "unmeasured"
    return "high" if found.score >= _HIGH_STABILITY else "fair"


def _excerpt(text: str) -> tuple[str, bool]:
    """A text short enough to print, and whether it was cut."""
    text = text.strip()
    if len(text) <= _LONGEST_QUOTE:
        return text, False
    return text[:_LONGEST_QUOTE].rsplit(maxsplit=1)[0] + "…", True


def _batches(items: Sequence[Any], most: int) -> list[Sequence[Any]]:
    """Parts of nearly equal length, none longer than ``most``."""
    length = math.ceil(len(items) / math.ceil(len(items) / most)) if items else most
    return [items[start : start + length] for start in range(0, len(items), length)]
