"""What a reader must know of a result, in Arabic and in English."""

from __future__ import annotations

from models.clustering.records import Note

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


def note(code: str, about: str = "", **values: object) -> Note:
    """The note with this code.

    Args:
        code: see the table above.
        about: id of a topic, if it is about one.
        values: numbers that the sentence holds.
    """
    ar, en = _SENTENCES[code]
    return Note(code, about, ar.format(**values), en.format(**values))
