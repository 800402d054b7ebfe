"""Which decisions fit together, and which levels of a text they settle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nlp.errors import ReviewError
from nlp.taxonomy import Taxonomy
from service.store.records import Action, Submission, Verdict

_ACCEPTING = (Action.CONFIRM, Action.ADD)


def settled_labels(taxonomy: Taxonomy, submission: Submission) -> dict[str, tuple[str, ...]]:
    """The labels that reviewers accepted, for every level that they settled.

    A level is settled when a reviewer decided something in it and no tag that the model gave in it waits for a
    decision. A level without tags is settled by an added label, or by the action ``settle``. The targets are settled
    only with their goals, and no level is settled by a label that the taxonomy no longer has.

    Returns:
        Label ids by level, in the order of the taxonomy; unsettled levels are absent.
    """
    undecided = {level for level, _ in submission.undecided}
    found: dict[str, tuple[str, ...]] = {}
    for level in taxonomy.levels:
        live = [decision.verdict for decision in submission.live if decision.verdict.level == level.name]
        accepted = {verdict.label for verdict in live if verdict.action in _ACCEPTING}
        whole = level.parent is None or level.parent in found
        if live and whole and level.name not in undecided and accepted <= level.index.keys():
            found[level.name] = tuple(sorted(accepted, key=level.index.__getitem__))
    return found


def check_verdicts(taxonomy: Taxonomy, submission: Submission, verdicts: Sequence[Verdict]) -> None:
    """Refuse decisions that do not fit the submission, the taxonomy, or each other.

    Raises:
        ReviewError: says which one, and what would fit.
        TaxonomyError: a level does not exist.
    """
    given = {(level, tag.id) for level, tags in submission.tagging.tags.items() for tag in tags}
    before = {(one.verdict.level, one.verdict.label): one.verdict.action for one in submission.live}
    after = dict(before)
    seen = set()
    for verdict in verdicts:
        place = (verdict.level, verdict.label)
        name = f"{verdict.level}:{verdict.label}"
        level = taxonomy.level(verdict.level)
        if place in seen:
            raise ReviewError(f"{name} is decided twice in one request", expected="one decision a label")
        if (verdict.action is Action.SETTLE) == bool(verdict.label):
            found = f"action {verdict.action} of {verdict.level} with label {verdict.label!r}"
            raise ReviewError(found, expected="a label for confirm, reject and add, and none for settle")
        if verdict.label and verdict.label not in level.index:
            raise ReviewError(f"{name} is not in the taxonomy", expected="a label that /v1/taxonomy lists")
        if verdict.action is Action.ADD and place in given:
            raise ReviewError(f"the model gave {name} already", expected="confirm or reject")
        if verdict.action in (Action.CONFIRM, Action.REJECT) and place not in given | before.keys():
            raise ReviewError(
                f"{name} is neither a tag of the model nor an added one",
                expected="one of " + (", ".join(sorted(f"{one}:{label}" for one, label in given)) or "no tag"),
                remedy="use the action add",
            )
        seen.add(place)
        after[place] = verdict.action
    for verdict in verdicts:
        left = sorted(f"{level}:{label}" for level, label in given - after.keys() if level == verdict.level)
        if verdict.action is Action.SETTLE and left:
            raise ReviewError(
                f"{verdict.level} cannot be settled: nobody decided {', '.join(left)}",
                expected="a decision on every tag of the level",
            )
    _check_parents(taxonomy, given, after)


def _check_parents(taxonomy: Taxonomy, given: set[tuple[str, str]], after: Mapping[tuple[str, str], Action]) -> None:
    for level in taxonomy.levels:
        if level.parent is None:
            continue
        for (name, label), action in after.items():
            if name != level.name or action not in _ACCEPTING or label not in level.index:
                continue
            parent = (level.parent, str(level.labels[level.index[label]].parent))
            stands = after[parent] in _ACCEPTING if parent in after else parent in given
            if not stands:
                raise ReviewError(
                    f"{name}:{label} is accepted without {parent[0]}:{parent[1]}",
                    expected="a label together with the label above it",
                    remedy=f"accept {parent[0]}:{parent[1]} in the same request, or reject {name}:{label}",
                )
