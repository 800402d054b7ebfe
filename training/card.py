"""The model card that a bundle carries, written from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.audit import corpus_states
from training.runs import Run

# The corpus of which the card knows who wrote it, under which licence, and how far its readers agree.
OWN_CORPUS = Path(__file__).parents[1] / "data" / "corpus"

# Kilowatts that a small server at work is assumed to draw, for an estimate of energy.
_KILOWATT = 0.1

_CARD = """\
# {name}

<div dir="rtl">

نموذج يصنّف النصوص العربية عن الممارسات الحكومية: أهداف التنمية المستدامة (17) وغاياتها (169)، والتقنيات (24)،
وأبعاد RITE الأربعة. يعمل على المعالج وحده ومن غير شبكة. درجاته احتمالات معايَرة، ولكل وسم عتبة، وما لا يثق به
يعلّمه للمراجعة البشرية. ليس حكماً على الممارسة ولا على الجهة، ولا يصلح وحده لقرار يمس أفراداً. دُرّب على نصوص
{texts_ar}، فقد يضعف في مجالات ولهجات لم ترد فيها.

</div>

Tags Arabic texts about government practices: SDG goals (17) and targets (169), technologies (24), RITE dimensions (4).
Runs on a processor alone, without a network. Scores are calibrated probabilities, each label has its threshold, and
what the model is not sure of is marked for review. It does not judge a practice or an institution, and is no ground
for decisions about persons. It was trained on texts {texts_en}: expect it to be weaker elsewhere.

## Origin

- Base: {base}, 8-bit weights.{student}
- Method: label-wise attention over the encoder's tokens, and a linear model of character n-grams beside it; the two are
  weighed, and the thresholds set, on texts that neither was trained on.
- Data: {corpus}, sha256 `{data}`; {train} texts trained on, {validation} to calibrate, {test} to test.{made}
{besides}
{origin}
{hardware}
- Licences: {licences}

## Measured on held-out parts of the corpus

F1 with 95% bootstrap intervals; macro F1 over the labels that occur; ECE is the expected calibration error.

{tables}

## Limits

{limits}
"""

_OWN_LIMITS = """\
- It was measured on written texts of the same making. On real texts expect less; `data/DATASHEET.md` of the project has
  the figures on its development set of real practices.
- Two readers of the guide agree at a micro F1 of about 0.90 on goals, 0.85 on targets, 0.91 on technologies and 0.82 on
  RITE (`data/DATASHEET.md`): nothing above that can be told from chance.
- Targets with few texts, RITE dimensions and the dialects, Sudanese and Yemeni above all, are its weakest points."""
_OTHER_LIMITS = """\
- It was measured on held-out texts of the same corpus. On other texts expect less.
- How far two readers agree on the labels of that corpus, and so which figures mean anything, is not known here."""


def model_card(name: str, run: Run, metrics: Mapping[str, Any]) -> str:
    """The card in Markdown.

    Args:
        name: of the bundle.
        run: where it comes from.
        metrics: evaluations by part of the corpus, as :meth:`training.evaluation.Evaluation.to_dict` gives them.
    """
    tables = "\n\n".join(f"### {part}\n\n{_table(figures)}" for part, figures in metrics.items())
    texts = run.provenance["texts"]
    hardware = run.provenance.get("hardware")
    spent = (
        f"- Training took {run.provenance['seconds'] / 3600:.1f} hours on {hardware['processor']}, "
        f"{hardware['threads']} threads: about {run.provenance['seconds'] / 3600 * _KILOWATT:.2f} kWh at an assumed "
        f"{_KILOWATT * 1000:.0f} W."
        if hardware
        else ""
    )
    states = corpus_states(OWN_CORPUS)
    own, embedded = run.provenance["data_sha256"] in states, run.provenance["base"] == "embedded"
    earlier = own and run.provenance["data_sha256"] != states[-1]
    return _CARD.format(
        name=name,
        base="`intfloat/multilingual-e5-small` (MIT), embedded" if embedded else run.provenance["base"],
        texts_ar="كُتبت للمشروع" if own else "مدوّنة أخرى غير مدوّنة المشروع",
        texts_en="written for the project" if own else "of another corpus than the project's",
        corpus=f"the project's own corpus (Apache-2.0){', an earlier state of it' if earlier else ''}"
        if own
        else "another corpus than the project's",
        made="\n  The texts were written by language models under an annotation guide, the labels read twice on 30%."
        if own
        else "",
        besides=_besides(run.provenance),
        licences=_licences(own, embedded, bool(run.config.added)),
        limits=_OWN_LIMITS if own else _OTHER_LIMITS,
        data=run.provenance["data_sha256"],
        origin=_origin(run.provenance),
        hardware=spent,
        student=f"\n  Of its layers {run.config.layers} were kept; they were taught its states and probabilities."
        if run.config.layers
        else "",
        tables=tables,
        **texts,
    )


def _besides(provenance: Mapping[str, Any]) -> str:
    """How many texts were added to the corpus, and which."""
    if provenance.get("added_sha256") is None:
        return "- Nothing but the corpus was trained on."
    return (
        f"- Added to the corpus, and among the texts trained on: {provenance['texts']['added']} texts, "
        f"sha256 `{provenance['added_sha256']}`."
    )


def _licences(own: bool, embedded: bool, added: bool) -> str:
    """What is known of the licences of what went in."""
    known = [*(["base weights MIT"] if embedded else []), *(["corpus Apache-2.0"] if own else [])]
    unknown = [name for name, there in (("base", not embedded), ("corpus", not own), ("added texts", added)) if there]
    if not unknown:
        return "base weights MIT, corpus and trained weights Apache-2.0. Nothing else went in."
    said = "".join(f"{one}; " for one in known)
    return f"{said}not known here: those of {' and '.join(unknown)}, on which that of the trained weights depends."


def _origin(provenance: Mapping[str, Any]) -> str:
    """Seed and commit; of each run, with its data, where the weights are a mean of several."""
    if "averaged" not in provenance:
        return f"- Seed {provenance['seed']}, commit `{provenance['git_commit']}`."
    runs = [
        f"  - seed {run['seed']}, commit `{run['git_commit']}`, {run['texts']['train']} texts of data "
        f"`{run['data_sha256'][:12]}`"
        for run in provenance["averaged"]
    ]
    return "\n".join([f"- The weights are the mean of those of {len(runs)} runs:", *runs])


def _table(figures: Mapping[str, Any]) -> str:
    lines = ["| level | precision | recall | micro F1 | macro F1 | ECE |", "|---|---|---|---|---|---|"]
    for level, values in figures["levels"].items():
        cells = [f"{values[name]:.3f}" for name in ("precision", "recall")]
        cells += [_with_interval(values["intervals"][name]) for name in ("micro_f1", "macro_f1")]
        lines.append(f"| {level} | " + " | ".join([*cells, f"{values['calibration_error']:.3f}"]) + " |")
    lines.append("")
    lines.append(
        f"Needs review: {figures['reviewed']:.0%} of texts; precision on goals of the others "
        f"{figures['confident_precision']:.3f}."
    )
    return "\n".join(lines)


def _with_interval(found: Mapping[str, float]) -> str:
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
