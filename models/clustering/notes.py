"""What a reader must know of a result, in Arabic and in English."""

from __future__ import annotations

from models.clustering.describing import Material
from models.clustering.reading import MOST_CHARACTERS
from models.clustering.records import OTHER, Clustering, Note
from models.clustering.stability import LEAST_STABLE, SMALL_SAMPLE

_LARGE_OTHER = 0.15
_SENTENCES = {
    "small_sample": (
        "العينة صغيرة ({count} من الآراء المتمايزة): الموضوعات استرشادية ولا يُبنى على نسبها.",
        "The sample is small ({count} distinct arguments): topics are a guide, and shares should not be built on.",
    ),
    "unstable": (
        "هذا الموضوع غير مستقر: لا يعود كما هو عند إعادة السحب من التعليقات ({score}).",
        "This topic is not stable: it does not come back when the comments are drawn again ({score}).",
    ),
    "unmeasured": ("لم يُقَس استقرار الموضوعات.", "The stability of the topics was not measured."),
    "large_other": (
        "{share}% من التعليقات لا تنتمي بوضوح إلى أي موضوع.",
        "{share}% of the comments do not clearly belong to any topic.",
    ),
    "wordless": (
        "{count} من التعليقات فارغة أو لا كلمات فيها، وهي محسوبة ضمن «آراء أخرى».",
        "{count} comments are empty or have no words; they are counted under other views.",
    ),
    "truncated": (
        "{count} من التعليقات أطول من 20000 حرف، وقُرئ أولها فقط.",
        "{count} comments are longer than 20,000 characters; only their beginning was read.",
    ),
    "untagged": (
        "لم تُعط تصنيفات للتعليقات، فلا ملامح لأهداف أو تقنيات.",
        "The comments came without tags: there are no profiles of goals or technologies.",
    ),
    "one_topic": (
        "لم تنقسم التعليقات إلى موضوعات متمايزة.",
        "The comments do not fall apart into distinct topics.",
    ),
    "no_stance": (
        "لا يُقاس الموقف من المقترح (تأييدا أو رفضا): التجميع بحسب الموضوع وحده.",
        "Stance towards the proposal is not measured: comments are grouped by subject alone.",
    ),
    "campaigns": (
        "{voices} من التعليقات نسخ متطابقة أو معدلة قليلا؛ تُعد كل حملة رأيا واحدا، ويُذكر العددان دائما.",
        "{voices} comments are copies or lightly edited copies; a campaign counts as one argument, and both counts are"
        " always given.",
    ),
    "drift": (
        "التعليقات الجديدة لا تلائم الموضوعات القائمة كما ينبغي ({share}% منها خارجها): يُستحسن إعادة التجميع.",
        "The comments that joined do not fit the topics as they should ({share}% of them outside): group again.",
    ),
}


def notes_of(tree: Clustering, material: Material) -> tuple[Note, ...]:
    """The notes of a tree as it is; those that others made of it stay behind them.

    Args:
        tree: described, with its drift.
        material: what it is drawn from.
    """
    found = []
    if tree.size.arguments < SMALL_SAMPLE:
        found.append(_note("small_sample", count=tree.size.arguments))
    if len(tree.topics) < 2:
        found.append(_note("one_topic"))
    if tree.other.share > _LARGE_OTHER:
        found.append(_note("large_other", OTHER, share=round(100 * tree.other.share)))
    if tree.wordless:
        found.append(_note("wordless", OTHER, count=tree.wordless))
    long = sum(len(comment.text) > MOST_CHARACTERS for comment in material.comments)
    if long:
        found.append(_note("truncated", count=long))
    if tree.campaigns:
        found.append(_note("campaigns", voices=sum(one.size.voices for one in tree.campaigns)))
    if not tree.method.options.get("bootstrap"):
        found.append(_note("unmeasured"))
    for topic in tree.topics:
        score = topic.stability.score
        if score is not None and score < LEAST_STABLE:
            found.append(_note("unstable", topic.id, score=score))
    if not material.tags.given:
        found.append(_note("untagged"))
    found.append(_note("no_stance"))
    if tree.drift is not None and tree.drift.drifted:
        found.append(_note("drift", share=round(100 * tree.drift.unfit)))
    return (*found, *(one for one in tree.notes if one.code not in _SENTENCES))


def _note(code: str, about: str = "", **values: object) -> Note:
    ar, en = _SENTENCES[code]
    return Note(code, about, ar.format(**values), en.format(**values))
