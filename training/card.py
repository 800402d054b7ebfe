"""The model card that a bundle carries, written from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.runs import Run

_CARD = """\
# {name}

<div dir="rtl">

نموذج يصنّف النصوص العربية عن الممارسات الحكومية: أهداف التنمية المستدامة (17) وغاياتها (169)، والتقنيات (24)،
وأبعاد RITE الأربعة. يعمل على المعالج وحده ومن غير شبكة. درجاته احتمالات معايَرة، ولكل وسم عتبة، وما لا يثق به
يعلّمه للمراجعة البشرية. ليس حكماً على الممارسة ولا على الجهة، ولا يصلح وحده لقرار يمس أفراداً. دُرّب على نصوص
كُتبت للمشروع، فقد يضعف في مجالات ولهجات لم ترد فيها.

</div>

Tags Arabic texts about government practices: SDG goals (17) and targets (169), technologies (24), RITE dimensions (4).
Runs on a processor alone, without a network. Scores are calibrated probabilities, each label has its threshold, and
what the model is not sure of is marked for review. It does not judge a practice or an institution, and is no ground
for decisions about persons. It was trained on texts written for the project: expect it to be weaker elsewhere.

## Origin

- Base: {base} (`intfloat/multilingual-e5-small`, MIT, when it says "embedded"), 8-bit weights.
- Data: the project's own corpus, sha256 `{data}`; {train} texts trained on, {validation} to calibrate, {test} to test.
- Seed {seed}, commit `{commit}`.

## Measured on held-out parts of the corpus

Precision, recall, micro F1, macro F1 over the labels that occur, expected calibration error.

{tables}
"""


def model_card(name: str, run: Run, metrics: Mapping[str, Any]) -> str:
    """The card in Markdown.

    Args:
        name: of the bundle.
        run: where it comes from.
        metrics: evaluations by part of the corpus, as :meth:`training.evaluation.Evaluation.to_dict` gives them.
    """
    tables = "\n\n".join(f"### {part}\n\n{_table(figures)}" for part, figures in metrics.items())
    texts = run.provenance["texts"]
    return _CARD.format(
        name=name,
        base=run.provenance["base"],
        data=run.provenance["data_sha256"],
        seed=run.provenance["seed"],
        commit=run.provenance["git_commit"],
        tables=tables,
        **texts,
    )


def _table(figures: Mapping[str, Any]) -> str:
    columns = ("precision", "recall", "micro_f1", "macro_f1", "calibration_error")
    lines = ["| level | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for level, values in figures["levels"].items():
        lines.append(f"| {level} | " + " | ".join(f"{values[column]:.3f}" for column in columns) + " |")
    lines.append("")
    lines.append(
        f"Needs review: {figures['reviewed']:.0%} of texts; precision on goals of the others "
        f"{figures['confident_precision']:.3f}."
    )
    return "\n".join(lines)
