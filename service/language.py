"""Problems in Arabic: what is wrong and how to mend it, by kind; the English detail stays beside it as ``found``."""

from __future__ import annotations

from contextvars import ContextVar

LANGUAGES = ("en", "ar")

# The language of the request under way.
language: ContextVar[str] = ContextVar("language", default="en")

# By kind of problem, or by status where it has none: title, and what to do.
ARABIC: dict[str, tuple[str, str]] = {
    "urn:musannif:reading": ("تعذّرت القراءة", "لا يمكن قراءة الملف أو العنصر. أرسل ملفاً سليماً."),
    "urn:musannif:empty-text": ("نص فارغ", "النص فارغ. أرسل حرفاً واحداً على الأقل."),
    "urn:musannif:invalid-text": ("نص غير صالح", "النص أو المعرّف ليس سلسلة يونيكود صالحة. صدّره من جديد بترميز UTF-8."),
    "urn:musannif:text-too-long": ("نص أطول من الحد", "النص أطول من الحد. قسّمه إلى فصول أو صفحات؛ الحدود في ‎/v1/info‎."),
    "urn:musannif:unknown-format": (
        "صيغة غير معروفة",
        "نوع الملف أو أعمدته غير معروفة. احفظه نصاً أو CSV أو JSONL، وسمِّ عمود النص في text_column.",
    ),
    "urn:musannif:taxonomy": ("وسم غير معروف", "هذا المحور أو الوسم ليس في التصنيف. الأوسمة كلها في ‎/v1/taxonomy‎."),
    "urn:musannif:bundle": ("حزمة النموذج غير صالحة", "حزمة النموذج مفقودة أو ناقصة أو مبدَّلة. انسخها من جديد."),
    "urn:musannif:tagging": ("أخفق النموذج", "أخفق النموذج في هذا النص. في سجل الخدمة التفاصيل."),
    "urn:musannif:queue-full": (
        "الطابور ممتلئ",
        "نصوص كثيرة تنتظر النموذج. أعد الطلب بعد الثواني المذكورة في Retry-After.",
    ),
    "urn:musannif:deadline": ("انقضت المهلة", "لم يبلغ النموذج الطلب في مهلته. أعده لاحقاً أو أرسله مهمةً إلى ‎/v1/jobs‎."),
    "urn:musannif:job": ("حال المهمة لا تسمح", "المهمة ليست في الحال التي يحتاجها هذا الطلب. اسأل عن حالها أولاً."),
    "urn:musannif:webhook": (
        "عنوان غير مقبول",
        "لا يُرسَل إلى هذا العنوان: يلزم عنوان http أو https عام، أو شبكة يسمح بها MUSANNIF_WEBHOOK_NETWORKS.",
    ),
    "urn:musannif:store": ("تعذّرت قاعدة البيانات", "قاعدة البيانات لا تُفتح أو ليست من هذا الإصدار."),
    "urn:musannif:store-busy": ("قاعدة البيانات مشغولة", "لم تُجب قاعدة البيانات في وقتها. أعد الطلب."),
    "urn:musannif:not-stored": ("غير موجود", "لا شيء محفوظاً بهذا المعرّف."),
    "urn:musannif:precondition": ("تغيّر منذ قراءته", "غيّر غيرك هذا النص منذ قرأته. اقرأه ثانية ثم قرّر."),
    "urn:musannif:review": ("قرار لا يناسب", "قرار المراجع لا يناسب النص أو التصنيف أو قراراً آخر."),
    "urn:musannif:repeat": ("مفتاح مستعمَل", "استُعمل Idempotency-Key هذا لطلب آخر. استعمل مفتاحاً جديداً لكل طلب جديد."),
    "urn:musannif:cursor": ("مؤشر غير صالح", "المؤشر ليس من هذه الخدمة أو هو لمرشّحات أخرى. ابدأ القائمة من أولها."),
    "400": ("طلب معيب", "الطلب ليس JSON سليماً أو جسمه معيب."),
    "404": ("غير موجود", "ليس في الخدمة هذا المسار. المسارات في ‎/docs‎."),
    "405": ("طريقة غير مقبولة", "هذا المسار لا يقبل هذه الطريقة."),
    "409": ("تعارض", "الطلب يخالف الحال القائمة."),
    "413": ("أكبر من الحد", "الطلب أكبر من الحد. أرسل نصوصاً أقل في كل مرة؛ الحدود في ‎/v1/info‎."),
    "415": ("نوع المحتوى غير مقبول", "نوع محتوى الطلب غير مقبول."),
    "422": ("قيم غير صالحة", "في الطلب حقول ناقصة أو زائدة أو قيمها غير صالحة؛ أماكنها في found."),
    "428": ("يلزم شرط", "يلزم الترويسة If-Match وفيها ETag ما قرأته."),
    "500": ("خطأ غير متوقع", "خطأ غير متوقع. في سجل الخدمة التفاصيل تحت رقم الطلب."),
    "503": ("الخدمة غير جاهزة", "الخدمة غير جاهزة الآن. أعد الطلب بعد قليل."),
}


def preferred(accept: str) -> str:
    """The language that an ``Accept-Language`` header prefers, of those that there are; English if it names none."""
    best, weight = LANGUAGES[0], 0.0
    for one in accept.split(","):
        name, _, parameter = one.partition(";")
        try:
            quality = float(parameter.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        code = name.strip().partition("-")[0].lower()
        if code in LANGUAGES and quality > weight:
            best, weight = code, quality
    return best
