"""Texts as an encoder meets them in life, made anew for each epoch: misspelt, badly scanned, with emoji, in a frame."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from models.tokenizer import Window, WindowTokenizer
from nlp.normalise import find_recipe
from nlp.records import LabelledText
from training.config import TrainingConfig
from training.perturbations import (
    Perturbation,
    alef_and_yeh_variants,
    doubled_letters,
    emoji,
    hamzas_dropped,
    ocr_noise,
)

_SECOND_SHARE = 0.3

# None of these lines is in the frame by which robustness is measured.
_ABOVE = (
    "المملكة / المحافظة / المديرية العامة",
    "الرئيسية > الأخبار > محليات",
    "الجمهورية - وزارة التخطيط",
    "تقرير سنوي",
    "بلدية المدينة - قسم الإعلام",
    "جريدة يومية سياسية شاملة",
    "محضر اجتماع",
    "المرفق رقم ({number})",
    "النشرة الشهرية، العدد {number}",
    "الموضوع: للتفضل بالاطلاع",
    "تاريخ النشر: {day}-{month}-{year}",
    "آخر تحديث {day}/{month}/{year}",
    "كتب: محرر الشؤون المحلية",
    "الفصل {number}",
    "سري - للتداول الداخلي",
)
_BELOW = (
    "جميع الحقوق محفوظة © {year}",
    "شارك الخبر: فيسبوك تويتر واتساب",
    "اقرأ أيضاً",
    "المصدر: الموقع الرسمي",
    "{number} | تقرير {year}",
    "- {number} -",
    "الصفحة {number}",
    "التوقيع والختم",
    "مع فائق الاحترام والتقدير",
    "للاستفسار: info@example.org",
    "(1) المرجع نفسه، ص {number}.",
    "طباعة | إرسال إلى صديق | تعليقات ({number})",
)


def framed(text: str, random: Random) -> str:
    """A text with one to four lines of page furniture above it and none to three below."""
    values = {
        "number": random.randint(1, 120),
        "day": random.randint(1, 28),
        "month": random.randint(1, 12),
        "year": random.randint(2008, 2026),
    }
    above = [line.format(**values) for line in random.sample(_ABOVE, random.randint(1, 4))]
    below = [line.format(**values) for line in random.sample(_BELOW, random.randint(0, 3))]
    return "\n".join((*above, text, *below))


_NOISES: tuple[Perturbation, ...] = (
    hamzas_dropped,
    alef_and_yeh_variants,
    doubled_letters,
    ocr_noise,
    emoji,
    framed,
)


def noised(text: str, random: Random) -> str:
    """A text with one kind of noise, and now and then a second."""
    count = 2 if random.random() < _SECOND_SHARE else 1
    for noise in random.sample(_NOISES, count):
        text = noise(text, random)
    return text


def epoch_windows(
    texts: Sequence[LabelledText],
    windows: Sequence[Window],
    cutter: WindowTokenizer,
    config: TrainingConfig,
    epoch: int,
) -> list[Window]:
    """The window of each text that an epoch shows: a share of them with noise.

    Args:
        texts: to learn from.
        windows: of the texts as they are.
        cutter: makes windows.
        config: share and seed.
        epoch: counted from 0; each has noise of its own.
    """
    recipe = find_recipe(config.recipe)
    random = Random(f"noise:{config.seed}:{epoch}")
    shown = list(windows)
    for row, text in enumerate(texts):
        if random.random() < config.noised:
            found = cutter.windows(recipe(noised(text.text, random)))
            shown[row] = found[0] if found else shown[row]
    return shown
