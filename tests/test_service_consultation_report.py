"""The report of a consultation: one offline page, in Arabic and English, whose counts are those of the tree."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from models.clustering.comparison import compare
from models.clustering.records import (
    OTHER,
    Campaign,
    Clustering,
    Comparison,
    Drift,
    Group,
    GroupShare,
    LabelCount,
    Membership,
    Method,
    Minority,
    Note,
    Phrase,
    PlacedComment,
    Preset,
    PresetTopic,
    Quote,
    Size,
    Stability,
    Topic,
)
from nlp.errors import ClusteringError
from service import consultation_report
from service.consultation_report import render_report
from service.consultation_report.wording import LANGUAGES, count, direction, interval, percent, points, wording

FOLDER = Path(consultation_report.__file__).parent
HOSTILE = "</script><img src=x onerror=alert(1)><!-- \" ' & {{ 7*7 }} https://example.com/ \u2028"
VOID = {"meta", "input", "path", "circle", "rect", "line", "br"}


class _Page(HTMLParser):
    """What a browser would find: elements with their attributes, and the text under every id."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self._open: list[tuple[str, str, str]] = []
        self._texts: dict[tuple[str, str], list[str]] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.elements.append((tag, given))
        if tag not in VOID:
            self._open.append((tag, given.get("id", ""), given.get("lang", "") if tag == "span" else ""))
        if tag in self.raw:
            self.raw[tag].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop()[0] == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        tag = self._open[-1][0] if self._open else ""
        if tag in self.raw:
            self.raw[tag][-1] += data
            return
        spoken = {language for _, _, language in self._open if language}
        for language in LANGUAGES:
            if spoken <= {language}:
                for _, name, _ in self._open:
                    self._texts.setdefault((name, language), []).append(data)

    def text(self, name: str = "", language: str = "ar") -> str:
        """The text inside an element by its id, or of the whole page, as one language shows it."""
        return " ".join("".join(self._texts.get((name, language), [])).split())

    def ids(self) -> list[str]:
        return [given["id"] for _, given in self.elements if "id" in given]

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw["script"][0])
        return found


def _size(comments: list[PlacedComment]) -> Size:
    return Size(len(comments), len({comment.argument for comment in comments}))


def _tree(texts: Mapping[str, str], placed: list[PlacedComment], **changes: Any) -> Clustering:
    """A tree around placed comments, with every count taken from them."""
    behind = Counter(comment.argument for comment in placed)
    label = LabelCount("6", {"ar": "المياه النظيفة", "en": "Clean water"}, Size(7, 5), 0.25, 2.345)

    def quotes(own: list[PlacedComment]) -> tuple[Quote, ...]:
        return tuple(
            Quote(one.id, texts[one.id], "diverse" if place else "medoid", behind[one.argument])
            for place, one in enumerate(own[:2])
        )

    def topic(name: str, title: str, own: list[PlacedComment], parts: tuple[Topic, ...] = ()) -> Topic:
        size = _size(own)
        stability = (
            Stability(None, 0, False) if name == OTHER else Stability(0.4 if name == "t2" else 0.9, 20, name == "t2")
        )
        return Topic(
            id=name,
            title=title,
            title_from="phrases",
            theme="goals/6",
            phrases=(Phrase("انقطاع المياه", 1.0, 2), Phrase("الصيف", 0.3, 12)),
            quotes=quotes(own),
            size=size,
            share=size.voices / max(1, len(placed)),
            argument_share=size.arguments / max(1, len(behind)),
            cohesion=0.5,
            stability=stability,
            profile={"goals": (label,), "technologies": (), "rite": ()},
            x=1.0,
            y=-2.0,
            subtopics=parts,
            campaigns=tuple(sorted({one.campaign for one in own if one.campaign})),
            minorities=tuple(sorted({one.minority for one in own if one.minority})),
        )

    def under(name: str) -> list[PlacedComment]:
        return [one for one in placed if name in (one.topic, one.subtopic)]

    topics = tuple(
        topic(
            name,
            f"موضوع {name[1:]}",
            under(name),
            tuple(
                topic(part, f"فرع {part}", under(part))
                for part in sorted({one.subtopic for one in under(name) if one.subtopic})
            ),
        )
        for name in sorted({one.topic for one in placed} - {OTHER})
    )
    campaigns, minorities = [], []
    for name in sorted({one.campaign for one in placed if one.campaign}):
        own = [one for one in placed if one.campaign == name]
        ids = tuple(one.id for one in own)
        text = texts[own[0].id]
        share = len(own) / len(placed)
        campaigns.append(Campaign(name, "edited", own[0].topic, ids[0], text, _size(own), share, 0.87, ids))
    for name in sorted({one.minority for one in placed if one.minority}):
        own = [one for one in placed if one.minority == name]
        minorities.append(
            Minority(
                id=name,
                topic=own[0].topic,
                title="النحالون والمبيدات",
                phrases=(Phrase("خلايا النحل", 1.0, 3),),
                quotes=quotes(own),
                size=_size(own),
                share=len(own) / len(placed),
                distance=0.61,
                cohesion=0.74,
                comments=tuple(one.id for one in own),
                x=3.0,
                y=3.0,
            )
        )
    tree = Clustering(
        size=_size(placed),
        topics=topics,
        other=topic(OTHER, "آراء أخرى", under(OTHER)),
        minorities=tuple(minorities),
        campaigns=tuple(campaigns),
        presets=(),
        comments=tuple(placed),
        wordless=sum(one.wordless for one in placed),
        method=Method("recipe/7", "bundle@3.1.0", 11, {"topics": None, "seed": 11}, {"dimensions": 24.0}),
        notes=(Note("small_sample", "", "العينة صغيرة جداً.", "The sample is very small."),),
        drift=None,
        state={},
    )
    return replace(tree, **changes)


def _consultation(voices: int = 60) -> tuple[dict[str, str], list[PlacedComment]]:
    """Comments in two topics and the rest, with a campaign of twelve in t1 and a minority of five in the rest."""
    texts, placed = {}, []
    for number in range(voices):
        name = f"k{number:03}"
        topic = ("t1", "t2", "t1", OTHER)[number % 4]
        campaign = "c1" if topic == "t1" and number < 24 else None
        minority = "m1" if topic == OTHER and number < 20 else None
        texts[name] = "نطالب بإعادة الخط ١٢" if campaign else f"الماء مقطوع عن الحارة رقم {number}"
        placed.append(
            PlacedComment(
                id=name,
                topic=topic,
                subtopic=f"t1.{1 + number % 3}" if topic == "t1" else None,
                memberships=(Membership(topic, 0.8),),
                fit=0.5,
                x=float(number % 7),
                y=float(number % 5) - 2,
                argument="k000" if campaign else name,
                campaign=campaign,
                minority=minority,
                attributes={"المنطقة": "الشمال" if number % 3 else "الجنوب", "id": f"person-{number}"},
            )
        )
    return texts, placed


def _render(tree: Clustering, texts: Mapping[str, str], **given: Any) -> str:
    return render_report(tree, texts, **{"title": "استشارة المياه", "made_at": date(2026, 11, 22), **given})


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return _consultation()[0]


@pytest.fixture(scope="module")
def tree() -> Clustering:
    return _tree(*_consultation())


@pytest.fixture(scope="module")
def html(tree: Clustering, texts: dict[str, str]) -> str:
    return _render(tree, texts)


@pytest.fixture(scope="module")
def page(html: str) -> _Page:
    return _Page(html)


def test_nothing_in_the_page_asks_the_network(html: str, page: _Page) -> None:
    assert not {tag for tag, _ in page.elements} & {"link", "img", "iframe", "object", "embed", "form", "base", "audio"}
    for tag, given in page.elements:
        assert not given.keys() & {"src", "srcset", "action", "formaction", "ping", "poster", "background"}, tag
        assert all(value.startswith("#") for name, value in given.items() if name.endswith("href")), given
    (style,) = page.raw["style"]
    assert not re.search(r"@import|@font-face|url\((?!#)|https?:|image-set", style)
    script = page.raw["script"][1].replace("http://www.w3.org/2000/svg", "")
    assert not re.search(
        r"https?:|//[a-z]+\.|fetch|XMLHttp|WebSocket|EventSource|sendBeacon|import\s*\(|\beval\b", script
    )


def test_the_policy_allows_only_what_is_in_the_file(page: _Page) -> None:
    (policy,) = (given["content"] for _, given in page.elements if given.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for directive, text in (("script-src", page.raw["script"][1]), ("style-src", page.raw["style"][0])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[directive] == f"'sha256-{digest}'"
    # What the policy would refuse: style attributes and inline handlers.
    assert not [given for _, given in page.elements for name in given if name == "style" or name.startswith("on")]


def test_a_hostile_text_stays_text() -> None:
    names = ("k000", f"k{HOSTILE}", "k002", "k003")
    texts = dict.fromkeys(names, HOSTILE)
    placed = [
        PlacedComment(
            name, ("t1", OTHER)[place % 2], None, (), 0.5, 0.0, place, name, "c1", "m1", attributes={HOSTILE: HOSTILE}
        )
        for place, name in enumerate(names)
    ]
    tree = _tree(texts, placed, notes=(Note("x", "", HOSTILE, HOSTILE), Note("y", "t1", HOSTILE, HOSTILE)))
    topics = tuple(
        replace(
            topic,
            title=HOSTILE,
            phrases=(Phrase(HOSTILE, 1.0, 1),),
            profile={HOSTILE: (LabelCount(HOSTILE, {"ar": HOSTILE, "en": HOSTILE}, Size(1, 1), 0.5, 1.0),)},
        )
        for topic in tree.topics
    )
    preset = PresetTopic(Preset("p", HOSTILE, (HOSTILE,), (HOSTILE,)), Size(1, 1), 0.1, (), {"t1": 1})
    method = Method(HOSTILE, HOSTILE, 0, {HOSTILE: HOSTILE}, {HOSTILE: 1.0})
    tree = replace(tree, topics=topics, presets=(preset,), method=method)
    group = Group(HOSTILE, Size(40, 40), False)
    share = GroupShare(HOSTILE, Size(4, 4), 0.1, 0.05, 0.2, 0.0, False)
    html = _render(
        tree,
        texts,
        title=HOSTILE,
        comparisons=(Comparison(HOSTILE, (group,), {"t1": (share,)}, 30),),
        masked={HOSTILE: 2},
        flags={"k000": [HOSTILE]},
        full_table=HOSTILE,
        most_comments=3,
    )
    page = _Page(html)
    tags = Counter(tag for tag, _ in page.elements)
    assert tags["script"] == 2
    assert not tags["img"]
    assert not [name for _, given in page.elements for name in given if name.startswith("on")]
    assert "{{ 7*7 }}" in page.text("topics")
    assert "<img src=x onerror=alert(1)>" in page.text("topics")
    data = page.data
    assert HOSTILE in data["comments"]["text"]
    assert data["attributes"] == [{"name": HOSTILE, "values": [HOSTILE]}]
    assert "<" not in page.raw["script"][0]


def test_counts_are_those_of_the_tree(tree: Clustering, page: _Page) -> None:
    for name, number in {
        "count-voices": 60,
        "count-arguments": 49,
        "count-campaigns": 12,
        "count-own": 48,
        "count-topics": 2,
        "count-minorities": 1,
    }.items():
        assert str(number) in re.findall(r"\d+", page.text(name)), name
    assert tree.size == Size(60, 49)
    for topic in (*tree.topics, *tree.topics[0].subtopics, tree.other):
        size = topic.size
        for language in LANGUAGES:
            voices, arguments = (
                re.sub("<.*?>", "", getattr(count(noun, number), language))
                for noun, number in (("voices", size.voices), ("arguments", size.arguments))
            )
            assert f"{voices} · {arguments}" in page.text(f"topic-{topic.id}", language)
    assert "12 صوتاً · رأي واحد" in page.text("campaign-c1")
    assert "12 voices · 1 argument" in page.text("campaign-c1", "en")
    assert "منها في الحملات 12 صوتاً" in page.text("overview")
    assert "5 أصوات · 5 آراء" in page.text("minority-m1")
    assert "15 صوتاً · 15 رأياً" in page.text("limits")


def test_voices_never_stand_without_arguments_beside_topics_minorities_and_campaigns(page: _Page) -> None:
    for name in ("overview", "minorities", "campaigns", "topics"):
        text = page.text(name, "en")
        sizes = re.findall(
            r"[\d,]+ voices?(?: · [\d,]+ arguments?)?", re.sub(r"Behind these words: \d+ voices?", "", text)
        )
        alone = [size for size in sizes if "·" not in size]
        # Voices of campaigns inside a topic are the only ones told apart.
        assert len(alone) == text.count("of them in campaigns"), name


def test_quotes_name_their_source_and_the_voices_behind(page: _Page) -> None:
    text = page.text("topic-t1")
    assert "المصدر: k000" in text
    assert "خلف هذا القول: 12 صوتاً" in text
    assert "الشمال" in text


def test_the_minorities_and_campaigns_have_sections_of_their_own_before_the_topics(page: _Page) -> None:
    ids = page.ids()
    assert ids.index("minority-m1") < ids.index("topic-t1")
    assert ids.index("campaign-c1") < ids.index("topic-t1")
    assert "النحالون والمبيدات" in page.text("minorities")
    assert "87%" in page.text("campaign-c1")


def test_stability_is_told_in_words(page: _Page) -> None:
    assert "استقرار عالٍ" in page.text("topic-t1")
    assert "استقرار ضعيف" in page.text("topic-t2")
    assert "0.40 من 1، في 20 إعادة" in page.text("topic-t2")
    assert "موضوع 2" in page.text("limits")
    assert "موضوع 1" not in page.text("limits")
    assert "العينة صغيرة جداً." in page.text("limits")
    assert "The sample is very small." in page.text("limits", "en")


def test_profiles_show_share_and_lift(page: _Page) -> None:
    text = page.text("topic-t1")
    assert "المياه النظيفة7 أصوات · 5 آراء25%×2.3" in text
    assert "Clean water" in page.text("topic-t1", "en")


def test_every_link_leads_somewhere_and_ids_are_single(page: _Page) -> None:
    ids = page.ids()
    assert len(ids) == len(set(ids))
    targets = {given["href"][1:] for tag, given in page.elements if tag == "a"}
    assert targets <= set(ids)


def test_all_is_open_without_a_script_and_paper_is_a4(page: _Page) -> None:
    assert all("open" in given for tag, given in page.elements if tag == "details")
    style = page.raw["style"][0]
    assert "@page { size: A4;" in style
    assert "@media print" in style


@pytest.mark.parametrize(("language", "turned"), [("ar", "rtl"), ("en", "ltr")])
def test_the_page_opens_in_the_language_asked_for(
    tree: Clustering, texts: dict[str, str], language: str, turned: str
) -> None:
    page = _Page(_render(tree, texts, language=language))
    (root,) = (given for tag, given in page.elements if tag == "html")
    assert (root["lang"], root["dir"]) == (language, turned)
    # Both languages travel in the file.
    assert "نظرة عامة" in page.text(language="ar")
    assert "Overview" in page.text(language="en")
    assert "Overview" not in page.text(language="ar").replace("English", "")


def test_a_language_that_is_not_known_is_refused(tree: Clustering, texts: dict[str, str]) -> None:
    with pytest.raises(ClusteringError, match="'fr'.*one of ar, en"):
        _render(tree, texts, language="fr")


def test_a_comparison_of_another_tree_is_refused(tree: Clustering, texts: dict[str, str]) -> None:
    with pytest.raises(ClusteringError, match="t9"):
        _render(tree, texts, comparisons=(Comparison("المنطقة", (), {"t9": ()}, 30),))


def test_groups_too_small_are_named_and_not_compared(tree: Clustering, texts: dict[str, str]) -> None:
    groups = tuple(
        Group(name, Size(voices, voices - 1), voices < 30)
        for name, voices in (("الشمال", 400), ("الجنوب", 300), ("", 50), ("الجبل", 9))
    )
    shares = tuple(
        GroupShare(group.group, Size(8, 7), 0.12, 0.08, 0.17, 0.064, place == 0) for place, group in enumerate(groups)
    )
    page = _Page(_render(tree, texts, comparisons=(Comparison("المنطقة", groups, {"t1": shares}, 30),)))
    text = page.text("by-1")
    assert "الشمال400 صوت · 399 رأياً" in text.replace(" 400", "400")
    table, small = text.split("أصغر من أن تُقارن (دون 30 صوتاً):")
    assert "الجبل" not in table
    assert "الجبل 9 أصوات · 8 آراء" in small
    assert "غير مذكور" in table
    assert table.count("12% (8–17%)") == 3
    assert table.count("▲ +6.4") == 1
    assert "8 أصوات · 7 آراء" in table


def test_given_topics_stand_beside_those_found(tree: Clustering, texts: dict[str, str]) -> None:
    preset = PresetTopic(Preset("p", "الصرف", ("goals/6",), ("مجاري",)), Size(10, 9), 10 / 60, (), {"t1": 7, "t2": 3})
    page = _Page(_render(replace(tree, presets=(preset,)), texts))
    text = page.text("preset-p")
    assert "10 أصوات · 9 آراء (17%)" in text
    assert "المياه النظيفة" in text
    assert "7 أصوات (70%)" in text
    assert "presets" not in _Page(_render(tree, texts)).ids()


def test_all_comments_are_listed_with_what_filters_need(tree: Clustering, texts: dict[str, str], page: _Page) -> None:
    data = page.data
    comments = data["comments"]
    assert dict(zip(comments["id"], comments["text"], strict=True)) == texts
    assert not data["sampled"]
    assert [data["topics"][place]["id"] for place in comments["topic"]] == [one.topic for one in tree.comments]
    assert sum(place >= 0 for place in comments["campaign"]) == 12
    assert len(set(comments["argument"])) == tree.size.arguments
    # A column that tells every voice apart filters nothing, and may name persons.
    assert [attribute["name"] for attribute in data["attributes"]] == ["المنطقة"]
    assert "person-0" not in page.text("topics")


def test_too_many_comments_are_sampled_evenly_and_it_is_said() -> None:
    texts, placed = _consultation(2000)
    tree = _tree(texts, placed)
    page = _Page(_render(tree, texts, most_comments=200, full_table="all.csv"))
    comments = page.data["comments"]
    assert len(comments["id"]) == 200
    assert page.data["sampled"]
    assert {one.id for one in placed if one.minority} <= set(comments["id"])
    topics = Counter(page.data["topics"][place]["id"] for place in comments["topic"])
    assert topics["t1"] == pytest.approx(100, abs=8)
    assert topics["t2"] == pytest.approx(50, abs=8)
    for place in ("limits", "map", "comments"):
        assert "200 تعليق من 2,000 تعليق" in page.text(place)
        assert "all.csv" in page.text(place)
    assert "2,000" in page.text("count-voices")


def test_the_sample_is_the_same_every_time() -> None:
    texts, placed = _consultation(400)
    tree = _tree(texts, placed)
    assert _render(tree, texts, most_comments=50) == _render(tree, texts, most_comments=50)


def test_long_comments_keep_the_file_small() -> None:
    texts, placed = _consultation(40)
    texts |= dict.fromkeys(texts, "كلام " * 20_000)
    html = _render(_tree(texts, placed), texts)
    page = _Page(html)
    assert len(html.encode()) < 1_500_000
    assert page.data["comments"]["cut"] == list(range(40))
    assert "(اختُصر النص)" in page.text("topic-t1")


def test_a_consultation_without_comments_is_drawn() -> None:
    tree = _tree({}, [])
    page = _Page(_render(tree, {}))
    assert "لم يظهر في هذه التعليقات رأي أقلية متماسك." in page.text("minorities")
    assert "لم تُكتشف حملة بين هذه التعليقات." in page.text("campaigns")
    assert page.data["comments"]["id"] == []


def test_wordless_comments_are_told_and_given_no_place_on_the_map() -> None:
    texts, placed = _consultation(20)
    texts["k003"] = "😡😡"
    placed[3] = replace(placed[3], wordless=True, x=900.0, y=900.0)
    page = _Page(_render(_tree(texts, placed), texts))
    comments = page.data["comments"]
    assert comments["marks"][3] == "w"
    assert max(comments["extent"]) == 10_000
    assert all(
        max(x, y) <= 10_000 for at, (x, y) in enumerate(zip(comments["x"], comments["y"], strict=True)) if at != 3
    )
    assert "تعليق واحد" in page.text("limits")


def test_drift_and_masking_and_flags_are_told(tree: Clustering, texts: dict[str, str]) -> None:
    drift = Drift(Size(12, 11), 0.42, 0.08, 0.4, 0.6, True, ("k001",))
    page = _Page(
        _render(
            replace(tree, drift=drift),
            texts,
            masked={"telephone": 2, "name": 14, "plate": 0},
            flags={"k000": ["insult"], "k001": ["spam"], "k002": ["spam"]},
        )
    )
    assert "12 صوتاً · 11 رأياً" in page.text("limits")
    assert "42%" in page.text("limits")
    assert "should be made again" in page.text("limits", "en")
    assert page.text("masked") == "أرقام هواتف: موضعان أسماء أشخاص: 14 موضعاً"
    assert page.text("flagged", "en") == "insult: 1 comment spam: 2 comments"
    assert "إساءة" in page.text("topic-t1")
    assert page.data["comments"]["marks"][:3] == ["i", "s", "s"]
    assert "masked" not in _Page(_render(tree, texts)).ids()
    assert "لم يُعثر على بيانات شخصية" in _Page(_render(tree, texts, masked={})).text("method")


def test_the_method_is_told(page: _Page) -> None:
    text = page.text("method")
    for told in ("recipe/7", "bundle@3.1.0", "11", "2026-11-22", "dimensions 24", "topics null"):
        assert told in text


@pytest.mark.parametrize(
    ("number", "arabic", "english"),
    [
        (0, "لا أصوات", "0 voices"),
        (1, "صوت واحد", "1 voice"),
        (2, "صوتان", "2 voices"),
        (3, "3 أصوات", "3 voices"),
        (10, "10 أصوات", "10 voices"),
        (11, "11 صوتاً", "11 voices"),
        (99, "99 صوتاً", "99 voices"),
        (100, "100 صوت", "100 voices"),
        (102, "102 صوت", "102 voices"),
        (103, "103 أصوات", "103 voices"),
        (1111, "1,111 صوتاً", "1,111 voices"),
    ],
)
def test_numbers_take_their_forms(number: int, arabic: str, english: str) -> None:
    said = count("voices", number)
    assert (str(said.ar), str(said.en)) == (arabic, english)


def test_the_arabic_dual_follows_its_place() -> None:
    assert str(count("comments", 2).ar) == "تعليقان"
    assert str(count("comments", 2, oblique=True).ar) == "تعليقين"
    assert str(count("comments", 3, oblique=True).ar) == "3 تعليقات"


def test_signs_stay_on_their_side_of_numbers() -> None:
    assert percent(0.431) == '<bdi dir="ltr">43%</bdi>'
    assert percent(0.0431) == '<bdi dir="ltr">4.3%</bdi>'
    assert percent(0.08) == '<bdi dir="ltr">8%</bdi>'
    assert interval(0.081, 0.17) == '<bdi dir="ltr">8.1–17%</bdi>'
    assert points(-0.12) == '<bdi dir="ltr">−12</bdi>'


@pytest.mark.parametrize(
    ("text", "turned"),
    [
        ("as a working mom، أقرب حضانة تبعد نص ساعة", "rtl"),
        ("The app is great يا جماعة", "ltr"),
        ("😡 123", "ltr"),
        ("ŵ \u202e", "ltr"),
    ],
)
def test_a_text_runs_where_most_of_its_letters_run(text: str, turned: str) -> None:
    assert direction(text) == turned


def test_what_files_say_is_not_turned_around(tree: Clustering, texts: dict[str, str]) -> None:
    ages = ["51+", "<18"]
    comments = [replace(one, attributes={"العمر": ages[place % 2]}) for place, one in enumerate(tree.comments)]
    told = replace(tree, comments=tuple(comments))
    html = _render(told, texts, comparisons=[compare(told, "العمر", least=5)])
    assert '<bdi dir="ltr">51+</bdi>' in html
    assert '<bdi dir="ltr">&lt;18</bdi>' in html
    assert '<option value="0" dir="ltr">51+</option>' in html
    assert '<bdi dir="rtl">العمر</bdi>' in html
    assert "<bdi>" not in html


def test_both_languages_say_everything_with_the_same_blanks() -> None:
    for section, strings in wording().items():
        for name, both in strings.items():
            assert both.keys() == set(LANGUAGES), (section, name)
            if section == "counts":
                assert {"zero", "one", "two", "few", "many", "other"} <= both["ar"].keys()
                continue
            blanks = [sorted(re.findall(r"\{\w+\}", both[language])) for language in LANGUAGES]
            assert blanks[0] == blanks[1], (section, name)
            assert re.search("[\u0621-\u064a]", both["ar"]) or both["ar"] in ("English", "{campaigns}"), (section, name)


def test_no_string_is_unused() -> None:
    asked = "".join((FOLDER / name).read_text(encoding="utf-8") for name in ("page.html.jinja", "page.js"))
    # Asked for by the value of a record: a kind, a level, a word for stability.
    by_value = {"masked", "flags", "stability", "profile"}
    by_value |= {"campaigns.exact", "campaigns.edited", "topics.medoid", "topics.diverse", "topics.pinned"}
    for section, strings in wording().items():
        for name in strings:
            if section in by_value or f"{section}.{name}" in by_value or name == "title":
                continue
            names = (name, f"{section}.{name}", name.removeprefix("limit_"))
            assert any(f'"{one}"' in asked for one in names), (section, name)
