"""What is planted among comments, by seed: copies with changed words, small groups, and many comments out of few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from training.consultation import KnownComment

_COPIES, _EDITED = 4, 5
# Shorter comments are no campaign: a campaign is at least a sentence.
LEAST_WORDS = 8
_VARIED_SHARE = 0.15


@dataclass(frozen=True)
class Planted:
    """Comments with copies among them.

    Attributes:
        texts: all of them, in mixed order.
        campaign: of each; ``None`` for a comment that is nobody's copy.
        edited: whether each is a copy with changed words.
    """

    texts: tuple[str, ...]
    campaign: tuple[str | None, ...]
    edited: tuple[bool, ...]


def edited(text: str, share: float, words: Sequence[str], random: Random) -> str:
    """A text of which so large a share of words is changed, at least one.

    Of five changed words three give way to a word from elsewhere, one is left out, and one gets a word beside it.

    Args:
        text: one comment.
        share: of its words.
        words: what takes their place.
        random: of the places and words.
    """
    found = text.split()
    for place in random.sample(range(len(found)), min(len(found), max(1, round(share * len(found))))):
        chance = random.random()
        if chance < 0.6:
            found[place] = random.choice(words)
        elif chance < 0.8:
            found[place] = ""
        else:
            found[place] += " " + random.choice(words)
    return " ".join(filter(None, found))


def plant_copies(texts: Sequence[str], campaigns: int, share: float, seed: int) -> Planted:
    """Choose comments of at least eight words, and add to each four exact copies and five with changed words.

    Args:
        texts: comments, none of them a copy.
        campaigns: how many of them are copied.
        share: of the words that an edited copy changes.
        seed: of the choice and the changes.
    """
    random = Random(f"copies {seed}")
    words = sorted({word for text in texts for word in text.split()})
    chosen = random.sample([place for place, text in enumerate(texts) if len(text.split()) >= LEAST_WORDS], campaigns)
    names = {place: f"copy-{number}" for number, place in enumerate(chosen)}
    rows: list[tuple[str, str | None, bool]] = [(text, names.get(place), False) for place, text in enumerate(texts)]
    for place in chosen:
        rows += [(texts[place], names[place], False)] * _COPIES
        rows += [(edited(texts[place], share, words, random), names[place], True) for _ in range(_EDITED)]
    random.shuffle(rows)
    return Planted(tuple(row[0] for row in rows), tuple(row[1] for row in rows), tuple(row[2] for row in rows))


def plant_minorities(
    minorities: Sequence[KnownComment], comments: Sequence[str], others: Sequence[str], count: int, seed: int
) -> list[KnownComment]:
    """Small groups among so many comments, in mixed order.

    Args:
        minorities: all of them are planted.
        comments: all of them are taken.
        others: so many are drawn as are wanting, or all of them.
        count: comments in all.
        seed: of the draw and the order.
    """
    random = Random(f"minorities {seed}")
    drawn = random.sample(list(others), min(len(others), max(0, count - len(minorities) - len(comments))))
    found = [KnownComment(str(place), text, "", "") for place, text in enumerate([*comments, *drawn])]
    found += minorities
    random.shuffle(found)
    return found


def varied(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """As many comments as wanted out of fewer.

    Each is the first half of one and the second half of another with one word in seven changed, so that even those that
    share a half are no copies of each other.
    """
    random = Random(f"varied {seed}")
    words = sorted({word for text in texts for word in text.split()})
    return [edited(_spliced(texts, random), _VARIED_SHARE, words, random) for _ in range(count)]


def _spliced(texts: Sequence[str], random: Random) -> str:
    """The first half of one text, and the second half of another."""
    first, second = (random.choice(texts).split() for _ in range(2))
    return " ".join([*first[: (len(first) + 1) // 2], *second[len(second) // 2 :]])
