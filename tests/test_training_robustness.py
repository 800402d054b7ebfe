from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from conftest import word_tagger

from models.heads import Floats
from models.tagger import Options, Tagger
from nlp.errors import InvalidTextError
from nlp.normalise import find_recipe
from nlp.records import Classification, Document, Failure
from nlp.taxonomy import Taxonomy
from training.augmentation import framed
from training.faithfulness import faithfulness, fall_ratio
from training.perturbations import EMOJI, PERTURBATIONS
from training.robustness import tag_agreement

TEXT = (
    "أطلقت الوزارة سنة 2021 منصّة إلكترونية لشكاوى المياه في القرى، وبلغت كلفتها 3.5 مليون دينار.\n"
    "قال رئيس البلدية إن هذه الخدمة جاءت بعد شتاء قاسٍ، وإن الأهالي سئموا الانتظار على أبواب المكاتب. "
    "شارك في التدريب 140 معلماً ومعلمة من مدارس المدى؟ ثم اختبروا قراءة العدادات في كل حي ومستشفى. "
    "ويؤكد المسؤولون أن آلية المتابعة تقلل الهدر، وأن الماء يصل الآن إلى 96% من البيوت في مواعيده."
)
MARKS = re.compile("[\u064b-\u0652\u0670]")
LIGHT, FOLDED = find_recipe("light"), find_recipe("folded")


def perturbed(name: str, seed: int = 7, text: str = TEXT) -> str:
    return PERTURBATIONS[name](text, Random(seed))


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_same_seed_gives_the_same_change_and_another_seed_another(name: str) -> None:
    assert perturbed(name) == perturbed(name) != TEXT
    if name not in ("hamzas_dropped", "arabic_indic_digits", "persian_digits"):
        assert len({perturbed(name, seed) for seed in range(5)}) > 1


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("text", ["", " \n", "English only", "🙂", "ء", "لا", "و", "٣", "اا", "الله"])
def test_texts_with_little_to_change_are_no_fault(name: str, text: str) -> None:
    assert text in perturbed(name, text=text) or name != "headers_and_footers"


def test_marks_stand_on_every_third_letter_and_go_without_a_trace() -> None:
    with_marks = perturbed("diacritics")
    letters = len(re.findall("[\u0621-\u063a\u0641-\u064a]", TEXT))
    added = len(MARKS.findall(with_marks)) - len(MARKS.findall(TEXT))
    assert 0.25 < added / letters < 0.42
    assert MARKS.sub("", with_marks) == MARKS.sub("", TEXT)
    assert not re.search("[\u064b-\u0650\u0652]{2}", with_marks)
    assert LIGHT(with_marks) == LIGHT(TEXT)


def test_hamzas_go_and_the_letters_that_carried_them_stay() -> None:
    bare = perturbed("hamzas_dropped")
    assert not set("أإآؤئء") & set(bare)
    assert perturbed("hamzas_dropped", text="سئموا شتاء قراءة شاطئ يؤكد آلية") == "سيموا شتا قراة شاطى يوكد الية"
    assert FOLDED(perturbed("hamzas_dropped", text="إلى أين؟ آلية")) == FOLDED("إلى أين؟ آلية")


def test_mixed_spellings_go_both_ways_and_fold_back() -> None:
    seeds = range(20)
    pairs = {
        (before, after)
        for seed in seeds
        for before, after in zip(TEXT, perturbed("alef_and_yeh_variants", seed), strict=True)
        if before != after
    }
    assert {"أا", "إا", "اأ", "اإ", "ىي", "ةه", "هة", "يى"} <= {before + after for before, after in pairs}
    for seed in seeds:
        assert FOLDED(perturbed("alef_and_yeh_variants", seed)) == FOLDED(TEXT)
    assert perturbed("alef_and_yeh_variants", text="المدير كتاب") == "المدير كتاب"


@pytest.mark.parametrize(("name", "digits"), [("arabic_indic_digits", "٢٠٢١"), ("persian_digits", "۲۰۲۱")])
def test_digits_change_their_form_and_back(name: str, digits: str) -> None:
    assert digits in perturbed(name)
    assert not re.search("[0-9]", perturbed(name))
    assert perturbed("arabic_indic_digits", text=perturbed("persian_digits")) == perturbed("arabic_indic_digits")
    assert LIGHT(perturbed(name)) == LIGHT(TEXT)


def test_tatweel_stretches_joined_letters_of_a_fifth_of_the_words() -> None:
    stretched = perturbed("tatweel")
    assert stretched.replace("ـ", "") == TEXT
    assert not re.search("[اأإآءؤدذرزوةى]ـ", stretched)
    assert 0.1 < len(re.findall("ـ+", stretched)) / len(TEXT.split()) < 0.25
    assert LIGHT(stretched) == LIGHT(TEXT)


def test_a_tenth_of_the_words_doubles_a_letter() -> None:
    before, after = TEXT.split(), perturbed("doubled_letters").split()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert 0.05 < len(changed) / len(before) < 0.15
    for old, new in changed:
        assert len(new) == len(old) + 1
        assert old in {new[:place] + new[place + 1 :] for place in range(1, len(new)) if new[place] == new[place - 1]}


def test_drawn_out_letters_are_few_and_light_shortens_them() -> None:
    for seed in range(20):
        drawn = perturbed("expressive_elongation", seed)
        runs = [len(match[0]) for match in re.finditer(r"([^\W\d])\1{2,}", drawn)]
        assert 1 <= len(runs) <= 4
        assert all(4 <= run <= 6 for run in runs)
        assert LIGHT(drawn) == LIGHT(TEXT)
    assert perturbed("expressive_elongation", text="الله").count("ل") == 2


def test_a_scan_changes_two_characters_in_a_hundred() -> None:
    for seed in range(10):
        scanned = perturbed("ocr_noise", seed)
        assert abs(len(scanned) - len(TEXT)) <= 0.02 * len(TEXT) + 1
        # Words that no longer occur: at most two for each changed character, where a space was lost.
        lost = set(TEXT.split()) - set(scanned.split())
        assert 1 <= len(lost) <= 2 * round(0.02 * len(TEXT))
    dots = "".join(perturbed("ocr_noise", seed, "بيت") for seed in range(60))
    assert {"ٮ", "ت", "ن", "ى"} <= set(dots)


def test_emoji_stand_between_words() -> None:
    text = perturbed("emoji")
    found = [sign for sign in EMOJI if sign in text]
    assert found
    for sign in sorted(EMOJI, key=len, reverse=True):
        text = text.replace(" " + sign, "")
    assert text == TEXT
    assert perturbed("emoji", text="شكرا").startswith("شكرا ")


def test_a_frame_holds_the_text_as_it_was() -> None:
    header, footer = perturbed("headers_and_footers").split(TEXT)
    assert re.search(r"الرقم: \d+/.*التاريخ: \d+/\d+/\d+م\n(.)\1{19,}\n$", header, re.DOTALL)
    assert re.search(r"^\n(.)\1{19,}\n.*صفحة \d+ من \d+$", footer, re.DOTALL)


def test_the_frames_of_training_are_not_those_of_the_measurement() -> None:
    trained = {line for seed in range(50) for line in framed("نص", Random(seed)).split("\n")}
    measured = {line for seed in range(50) for line in perturbed("headers_and_footers", seed, "نص").split("\n")}
    assert trained & measured == {"نص"}


def test_agreement_is_whole_where_nothing_changes_and_broken_where_the_telling_word_is(taxonomy: Taxonomy) -> None:
    tagger = word_tagger(taxonomy, {"مياه": {"goals": ["6"], "targets": ["6.1"]}, "مدارس": {"goals": ["4"]}})
    texts = ["مياه القرية قليلة", "مدارس القرية بعيدة", "مياه مدارس", "لا شيء هنا"]
    found = tag_agreement(
        tagger,
        texts,
        seed=1,
        perturbations={"same": lambda text, random: text, "dry": lambda text, random: text.replace("مياه", "هواء")},
    )
    by_name = {(one.perturbation, one.level): one for one in found}
    assert len(found) == 2 * len(taxonomy.levels)
    for level in taxonomy.levels:
        same = by_name["same", level.name]
        assert (same.texts, same.changed, same.micro_f1, same.identical) == (4, 0.0, 1.0, 1.0)
    # Of the four goals two stay; of the two targets none.
    assert by_name["dry", "goals"].changed == 0.5
    assert by_name["dry", "goals"].micro_f1 == pytest.approx(2 * 2 / (4 + 2))
    assert by_name["dry", "goals"].identical == 0.5
    assert by_name["dry", "targets"].micro_f1 == 0
    assert by_name["dry", "rite"].micro_f1 == 1


def test_agreement_of_a_text_does_not_hang_on_its_neighbours(stub: Tagger) -> None:
    texts = [TEXT, *TEXT.split("\n")]
    found = tag_agreement(stub, texts, seed=3)
    assert {one.perturbation for one in found} == set(PERTURBATIONS)
    assert found == tag_agreement(stub, texts, seed=3) != tag_agreement(stub, texts, seed=4)
    assert [one.identical for one in tag_agreement(stub, texts[::-1], seed=3)] == [one.identical for one in found]
    json.dumps([one.to_dict() for one in found])
    with pytest.raises(ValueError, match="no texts"):
        tag_agreement(stub, [], seed=3)


PLANTED = [
    f"كلام أول عن الناس {n}. ثم كلام ثان عن الطريق. هنا مياه القرية. وكلام رابع أخير عن البيت." for n in range(12)
]


def test_evidence_of_a_tagger_that_looks_at_one_word_is_faithful(taxonomy: Taxonomy) -> None:
    tagger = word_tagger(taxonomy, {"مياه": {"goals": ["6"], "targets": ["6.1"]}})
    levels = {one.level: one for one in faithfulness(tagger, [*PLANTED, "مياه قليلة. هنا."], seed=5)}
    for name in ("goals", "targets"):
        found = levels[name]
        assert (found.tags, found.texts, found.whole, found.without) == (12, 12, 0, 0)
        assert found.by_evidence is not None
        assert found.by_others is not None
        assert found.ratio is not None
        assert found.interval is not None
        assert found.by_evidence > 0.9
        assert abs(found.by_others) < 0.05
        assert found.ratio > 10
        assert found.interval[0] <= found.ratio <= found.interval[1]
    assert levels["rite"].tags == 0
    assert levels["rite"].ratio is levels["rite"].interval is levels["rite"].by_evidence is None


def test_evidence_that_is_the_whole_text_is_counted_and_not_measured(taxonomy: Taxonomy) -> None:
    tagger = word_tagger(taxonomy, {"مياه": {"goals": ["6"]}})
    even = {name: replace(head, query=np.zeros_like(head.query)) for name, head in tagger.heads.items()}
    even["goals"] = replace(even["goals"], bias=np.full(17, -0.8, np.float32))
    text = "مياه هنا. مياه هنا. مياه هنا."
    found = {one.level: one for one in faithfulness(replace(tagger, heads=even), [text], seed=5)}["goals"]
    assert (found.tags, found.whole, found.without, found.ratio) == (0, 1, 0, None)


class ConstantTagger(Tagger):
    """Gives evidence, but is as sure of every text, whatever is in it."""

    def scores(self, texts: Sequence[str]) -> dict[str, Floats]:
        return {
            level.name: np.full((len(texts), len(level.labels)), 0.75, np.float32) for level in self.taxonomy.levels
        }

    def classify(self, documents: Sequence[Document], options: Options | None = None) -> list[Classification | Failure]:
        found = super().classify(documents, options)
        return [
            replace(
                one, tags={name: tuple(replace(tag, score=0.75) for tag in tags) for name, tags in one.tags.items()}
            )
            for one in found
            if isinstance(one, Classification)
        ]


def test_constant_scores_have_no_ratio(taxonomy: Taxonomy) -> None:
    constant = ConstantTagger(**vars(word_tagger(taxonomy, {"مياه": {"goals": ["6"]}})))
    found = {one.level: one for one in faithfulness(constant, PLANTED[:2], seed=5)}["goals"]
    assert (found.tags, found.by_evidence, found.by_others) == (2, 0, 0)
    assert found.ratio is found.interval is None


def test_tags_without_evidence_are_counted_and_not_measured(taxonomy: Taxonomy) -> None:
    tagger = word_tagger(taxonomy, {"مياه": {"goals": ["6"]}})
    blind = {
        name: replace(head, weight=np.zeros_like(head.weight), bias=head.bias + 8)
        for name, head in tagger.heads.items()
    }
    for level, found in zip(
        taxonomy.levels, faithfulness(replace(tagger, heads=blind), PLANTED[:2], seed=5), strict=True
    ):
        assert (found.tags, found.without, found.whole) == (0, 2 * len(level.labels), 0)
        assert found.ratio is None


def test_the_ratio_is_undefined_where_nothing_falls() -> None:
    assert fall_ratio(0.0, 0.0) is None
    assert fall_ratio(-0.2, 0.0005) is None
    assert fall_ratio(0.4, 0.1) == pytest.approx(4)
    assert fall_ratio(0.5, -0.1) == pytest.approx(500)
    assert fall_ratio(0.0, 0.1) == 0


def test_faithfulness_repeats_by_seed_and_leaves_short_texts_out(stub: Tagger) -> None:
    texts = [TEXT, *PLANTED[:3]]
    found = faithfulness(stub, texts, seed=1)
    assert found == faithfulness(stub, texts, seed=1)
    json.dumps([one.to_dict() for one in found])
    assert all(one.tags == one.whole == one.without == 0 for one in faithfulness(stub, ["", "مياه. مدارس."], seed=1))


def test_a_text_that_cannot_be_classified_is_an_error(stub: Tagger) -> None:
    with pytest.raises(InvalidTextError):
        faithfulness(stub, ["أولى. ثانية. ثالثة.\x00"], seed=1)
