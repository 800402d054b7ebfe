"""Authored comments on three subjects, with embeddings made by hand: what the clustering tests share."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np

from models.clustering.records import Comment

_SUBJECTS = {
    "water": {
        "cuts": (
            "الماء مقطوع دائما/انقطاع المياه يتكرر/الخزان فارغ أسبوعا/"
            "المضخة معطلة ليلا/نشتري صهريج ماء/الحنفية ناشفة تماما"
        ),
        "taste": ("طعم الماء مالح/لون المياه أصفر/ريحة كلور قوية/الفلتر يتسخ بسرعة/مياه الشرب عكرة/مغص بعد الشرب"),
    },
    "school": {
        "crowd": (
            "الفصل مزدحم جدا/خمسون تلميذا بالصف/المعلمة وحدها تتعب/"
            "مقاعد المدرسة ناقصة/اكتظاظ الأقسام خانق/التلاميذ يجلسون أرضا"
        ),
        "books": (
            "الكتب وصلت متأخرة/حقيبة ابني ثقيلة/المناهج طويلة معقدة/"
            "الواجبات كثيرة مرهقة/دفاتر المدرسة غالية/دروس المنهج حفظ"
        ),
    },
    "bus": {
        "late": (
            "الباص يتأخر صباحا/مواعيد الحافلات فوضى/ننتظر بالمحطة طويلا/"
            "الرحلات قليلة مساء/الحافلة تمر ممتلئة/السائق يغير الطريق"
        ),
        "price": (
            "سعر التذكرة ارتفع/اشتراك النقل غال/أجرة الباص زادت/"
            "بطاقة الطلاب ملغاة/تعرفة الركوب ظالمة/ندفع تذكرتين للحافلة"
        ),
    },
}
_FILLERS = (
    "قرب السوق القديم/خلف المستشفى الكبير/جنب الجسر الجديد/حي الزهور كله/منطقتنا الشمالية منسية/قريتنا تعاني كثيرا",
    "نرجو حلا سريعا/أين البلدية منا/تعبنا من الشكوى/كلمناهم ألف مرة/صبرنا نفد والله/نتمنى الرد قريبا",
)
DIMENSIONS = 24


def authored(seed: int = 0) -> tuple[list[Comment], np.ndarray, list[str], list[str]]:
    """Comments, embeddings, subjects and parts: 300 comments, all different."""
    random = np.random.default_rng(seed)
    fillers = [filler for line in _FILLERS for filler in line.split("/")]
    comments, rows, subjects, parts = [], [], [], []
    axis = 3
    for number, (subject, inner) in enumerate(_SUBJECTS.items()):
        for part, said in inner.items():
            every = list(product(combinations(said.split("/"), 2), fillers))
            for place in sorted(random.choice(len(every), 50, replace=False)):
                (first, second), filler = every[place]
                region = {"region": ("north", "south")[len(rows) % 2]}
                comments.append(Comment(f"k{len(comments)}", f"{first} {filler} {second}", region))
                rows.append(embedding(random, number, axis))
                subjects.append(subject)
                parts.append(part)
            axis += 1
    return comments, np.array(rows, np.float32), subjects, parts


def embedding(random: np.random.Generator, subject: int, part: int) -> np.ndarray:
    """As an encoder gives it: a large direction that all share, the subject, the part, and noise."""
    row = 0.15 * random.standard_normal(DIMENSIONS)
    row[-1] += 4
    row[subject] += 1.2
    row[part] += 0.7
    return (row / np.linalg.norm(row)).astype(np.float32)
