"""Numbers and addresses that lead to a person: telephones, identity numbers, accounts, cards, plates, e-mails, handles.

Three kinds of proof are taken: a shape that nothing else has (+966..., 784-...), check digits (IBAN, cards, Saudi,
Emirati and Kuwaiti identity numbers), and a word that says what the number is, in the characters before it. What the
shape alone leaves open, such as eight bare digits, needs the word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from nlp.charmaps import load
from nlp.normalise import Recipe

_DIGITS = str.maketrans(load()["digits"])
# Numbers are read without invisible characters, in western digits and the plain forms of spaces and signs.
_PLAIN = Recipe("numbers", ("invisible", "nfkc", ("digits", load()["digits"])))
_DASH = re.compile(r"(?<=[A-Za-z\d])[‐-―−](?=[A-Za-z\d])")
_DIGIT = re.compile("[0-9]")
_LATIN = re.compile("[A-Za-z]{2}")
_FALSE = re.compile(r"(\d)\1{4,}|1234567|0{4,}")
_NOT_DIGIT = re.compile(r"\D")

Found = tuple[str, int, int]

# What stands before and after a number: an Arabic word may be written together with it, another number or a code may
# not.
_APART = r"(?<![A-Za-z\d_+])"
_ENDED = r"(?![A-Za-z\d_])"
# How many characters before a number may say what it is.
_REACH = 45
_SUBJECT = re.compile(
    r"(?P<identity>هوي[ةته]|[اإ]قام[ةته]|سجل\w* ال?مدني|قومي|وطني|مدني|موحد|بطاق[ةت]|تعريف|ناسيونال"
    r"|شخصي|ب\.ت\.و|كارت نشنال"
    r"|\bCIN\b|\bCNI\b|iqama|emirates id|national id|\bID\b|civil|carte nationale)"
    r"|(?P<telephone>جوال|هاتف|تلفون|تليفون|تلفن|موبا[يئ]ل|محمول|نقال|خليوي|ثابت|[أا]رضي|نمر[ةته]|نومرو|رقم[يه]|رقمها|رقم\b"
    r"|واتس|وتس|اتصل|تتصل|تواصل|راسل|كلم|عيط|احك"
    r"|للحجز|فاكس|call|phone|mobile|whats|\btel|numéro|appel)"
    r"|(?P<account>[اآأ]يبان|iban|حساب|virement|rib\b)"
    r"|(?P<passport>جواز|باسبور|passport|passeport)"
    r"|(?P<reference>isbn|issn|ردمك|قانون|مرسوم|مادة|المادة|ميزاني|تكلف|كلف[ةته]|بمبلغ|مبلغ|قيمة|بقيمة|سعر|ثمن|عدد|تعداد|إنتاج|صرفوا|مشاهد)",
    re.IGNORECASE,
)
_UNIT = re.compile(
    r"\s*(?:%|٪|\$|€|ريال|دينار|درهم|جنيه|ليرة|ليره|دولار|يورو|مليون|مليار|[أا]لف|نسمة|نسمه|برميل|طن|كم\b|كيلو|متر|شخص|مواطن|مشاهد|مستفيد|وظيف|فدان|هكتار"
    r"|صوت|وحدة|سهم|لتر|م3|م2|sar\b|usd\b|aed\b|egp\b|dh\b|mad\b|people|million|views)",
    re.IGNORECASE,
)

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}(?:@| ?[(\[] ?at ?[)\]] ?)[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}")
_HANDLE = re.compile(r"(?<![\w@./])@(?!user\b)\w(?:[\w.]*\w)?(?<!@\w)(?<!@\w\w)")
# An account that is named without the sign: it has something that a plain word has not.
_NAMED_HANDLE = re.compile(
    r"(?:سناب|سنابي|سنابچات|انست\w{0,8}|تويتر|يوزر\w*|تليج?رام|snap\w{0,8}|insta\w{0,8}|twitter)[ :]{1,3}"
    r"(?:ي |تويتر |هو |انستا |تويتر: ?)?"
    r"(?P<value>(?=[A-Za-z_.]*[\d_.][\w.]*)[A-Za-z_][\w.]{2,}\w)",
    re.IGNORECASE,
)
_URL = re.compile(
    r"(?:https?://|www\.)[^\s<>«»،؛]+|(?<![\w.-])(?:[\w-]{1,63}\.){1,4}(?:com|me|net|org)/[^\s<>«»،؛]+", re.IGNORECASE
)
_PROFILE = re.compile(
    r"(?:https?://)?(?:www\.|m\.|mobile\.)?(?:"
    r"(?:twitter|x|instagram)\.com/(?!(?:hashtag|search|i|intent|share|explore|p|reels?|stories|home|login)\b)[\w.]{3,}"
    r"|(?:facebook|fb)\.com/(?!(?:hashtag|sharer|share|watch|groups|pages|events|photo|story\.php|login|reel)\b)[\w.]{3,}"
    r"|(?:t\.me|telegram\.me)/(?!(?:joinchat|s|share|addstickers)\b|\+)\w{4,}"
    r"|wa\.me/\+?\d{6,}|snapchat\.com/add/[\w.-]+|tiktok\.com/@[\w.]+|linkedin\.com/in/[\w%-]+"
    r"|youtube\.com/(?:@|c/|user/|channel/)[\w.-]+)",
    re.IGNORECASE,
)

# Length of the IBAN by country.
_IBANS = {
    "SA": 24, "AE": 23, "KW": 30, "BH": 22, "QA": 29, "OM": 23, "JO": 30, "LB": 28, "PS": 29, "IQ": 23, "EG": 29,
    "TN": 24, "MR": 27, "LY": 25, "SD": 18, "DJ": 27, "SO": 23, "YE": 30, "MA": 28, "DZ": 26, "SY": 30, "TR": 26,
    "GB": 22, "FR": 27, "DE": 22, "ES": 24, "IT": 27, "NL": 18, "BE": 16, "CH": 21, "SE": 24, "AT": 20, "PK": 24,
}  # fmt: skip
_IBAN = re.compile(_APART + r"[A-Za-z]{2}[ -]?\d{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_EMIRATI = re.compile(r"(?<![\d,.])784[ -]?(?:19|20)\d{2}[ -]?\d{7}[ -]?\d(?!\d)")
_CARD = re.compile(
    r"(?<![\d,.+])(?:[245689]\d{3}([ -]?)\d{4}\1\d{4}\1\d{4}|3[47]\d{2}([ -]?)\d{6}\2\d{5})(?![\d]|[.,]\d)"
)

_STEP = r"[ ().-]{0,2}\d"
# Digits after the country code, for the Arab countries and Türkiye, Iran and Pakistan beside them.
_AFTER_CODE = {
    "20": "8,10", "212": "9", "213": "8,9", "216": "8", "218": "8,9", "222": "8", "249": "9", "252": "7,9", "253": "8",
    "269": "7", "961": "7,8", "962": "8,9", "963": "8,9", "964": "8,10", "965": "8", "966": "8,9", "967": "7,9",
    "968": "8", "970": "8,9", "971": "8,9", "972": "8,9", "973": "8", "974": "7,8",
}  # fmt: skip
_CODES = "|".join(f"{code}(?:{_STEP}){{{count}}}" for code, count in _AFTER_CODE.items())
_INTERNATIONAL = re.compile(
    rf"{_APART}\(?(?:\+|00) ?\(?(?:(?:{_CODES})(?!\d)|(?!0)\d(?:{_STEP}){{7,13}}(?!\d))", re.IGNORECASE
)
_NATIONAL = re.compile(
    rf"{_APART}(?<!\d[.,:/-])(?:0[3-9]/\d{{6}}|0[1-9]\d{{1,2}}/\d{{3}}[ -]?\d{{3,5}}|\(?0[1-9](?:{_STEP}){{6,9}})"
    r"(?![\d]|[.,:/]\d)",
    re.IGNORECASE,
)
_LOCAL = re.compile(_APART + r"(?<!\d[.,:/-])[1-9](?:[ .-]?\d){6,9}(?![\d]|[.,:/-]\d)")
_DATE = re.compile(
    r"\d{1,2}([ .-])\d{1,2}\1\d{4}|(?:19|20)\d{2}([ .-])\d{1,2}\2\d{1,2}|(?:14|19|20)\d{2}-(?:14|19|20)\d{2}"
)
_HOTLINE = re.compile(r"9200\d{5}|800\d{6,7}")
_BARE = re.compile(_APART + r"(?<!\d[.,-])\d{6,20}" + _ENDED + r"(?![.,]\d)")
_LETTERED = re.compile(_APART + r"[A-Z]{1,2} ?\d{5,7}" + _ENDED)
_PASSPORT = re.compile(_APART + r"[A-Z]{0,2}\d{6,9}" + _ENDED, re.IGNORECASE)

_PLATE_LETTER = "[أابحدرسصطعقكلمنهـويىجخ]"
# Short words of these letters alone, which stand before years and counts.
_NO_PLATE = r"(?!(?:بين|من|عن|قبل|بعد|حتى|عام|على|كل|مع|حول|سنه|هو|هي)\b)"
_PLATE_SPACED = re.compile(r"(?<!\w)[أابحدرسصطعقكلمنهوى](?: [أابحدرسصطعقكلمنهوى]){2} \d{3,4}(?!\w)")
_PLATE_SUBJECT = (
    r"(?:(?:ال|ب|لل)?لوح[ةهت]\w{0,2}|(?:ال)?نمر[ةهت]\w{0,2}|(?:ال)?ماتريك\w+|(?:ال|ب)?سيار[ةهت]\w{0,2}|(?:ال)?مركب[ةهت]\w{0,2}"
    r"|(?:ال)?عربي[ةهت]\w{0,2}|(?:ال)?تكسي|(?:ال)?باص|plates?|matricule)"
)
_CITY = (
    "(?:دبي|أبوظبي|ابوظبي|أبو ظبي|الشارقة|عجمان|الفجيرة|رأس الخيمة|أم القيوين"
    "|بغداد|البصرة|نينوى|أربيل|اربيل|النجف|كربلاء"
    "|بابل|ذي قار|كركوك|السليمانية|دهوك|KSA|UAE|DXB)"
)
_PLATE = re.compile(
    _PLATE_SUBJECT
    + r"(?!\w)(?:[ :/-]{1,4}(?:رقم\w{0,2}|نمر\w+|عدد|number|no\.?|لوحت\w+|تكسي|حقه"
    + r"|السيارة|السياره|الباص|المركبة|الأردن)){0,4}[ :/-]{0,4}[(]?(?P<value>"
    + rf"{_CITY} (?:[A-Z]{{1,2}} |\d{{1,2}} )?\d{{3,6}}(?: {_PLATE_LETTER}| [A-Z]{{1,3}})?"
    + rf"|{_PLATE_LETTER}(?: ?{_PLATE_LETTER}){{0,2}} \d{{1,2}} \d{{3,5}}"
    + rf"|{_PLATE_LETTER}(?: {_PLATE_LETTER}){{0,2}} ?\d{{3,6}}|{_NO_PLATE}{_PLATE_LETTER}{{2,3}} ?\d{{3,4}}"
    + r"|[A-Z]{1,3} ?\d{3,6}(?: ?[A-Z]{1,3})?|\d{3,4} ?[A-Z]{1,3}"
    + r"|\d{1,4} ?(?:تونس|TUN|تو) ?\d{1,4}"
    + rf"|\d{{4,6}} ?[-| ] ?{_PLATE_LETTER} ?[-| ] ?\d{{1,2}}|\d{{3,6}} {_PLATE_LETTER}(?: ?{_PLATE_LETTER}){{0,2}}"
    + r"|\d{1,2}-\d{4,6}|\d{5,6} \d{3} \d{2}|\d{4,6}"
    + r")(?!\w|[.,]\d)",
    re.IGNORECASE,
)


def obviously_false(number: str) -> bool:
    """Whether nobody can have this number: five equal digits in a row, or a plain run. Authors use them as examples."""
    return _FALSE.search(_NOT_DIGIT.sub("", number.translate(_DIGITS))) is not None


def find_numbers(text: str) -> list[Found]:
    """Find numbers and addresses.

    Returns:
        Kind, start and end of each, in no order and without overlap.
    """
    aligned = _PLAIN.align(text)
    plain = _DASH.sub("-", aligned.text)
    digits, latin, at_sign = _DIGIT.search(plain), _LATIN.search(plain), "@" in plain
    if not (digits or latin or at_sign):
        return []
    found: list[Found] = []
    # A one for every character that is taken, or belongs to a link and therefore is no number of a person.
    taken = bytearray(len(plain))
    if at_sign or latin:
        for find in _ADDRESSES:
            _take(find(plain), found, taken)
        for match in _URL.finditer(plain):
            taken[match.start() : match.end()] = b"\1" * len(match[0])
    if digits:
        for find in _NUMBERS:
            _take(find(plain), found, taken)
    spans = ((kind, aligned.raw_span(start, end)) for kind, start, end in found)
    return [(kind, span.start, span.end) for kind, span in spans]


def _take(candidates: Iterator[Found], found: list[Found], taken: bytearray) -> None:
    for kind, start, end in candidates:
        if not any(taken[start:end]):
            taken[start:end] = b"\1" * (end - start)
            found.append((kind, start, end))


def _plain(kind: str, pattern: re.Pattern[str]) -> Callable[[str], Iterator[Found]]:
    group = "value" if "value" in pattern.groupindex else 0

    def find(text: str) -> Iterator[Found]:
        for match in pattern.finditer(text):
            yield kind, match.start(group), match.end(group)

    return find


def _profiles(text: str) -> Iterator[Found]:
    for match in _PROFILE.finditer(text):
        end = match.end()
        while end < len(text) and not text[end].isspace() and text[end] not in "<>«»،؛()":
            end += 1
        yield "profile", match.start(), end


def _ibans(text: str) -> Iterator[Found]:
    for match in _IBAN.finditer(text):
        length = _IBANS.get(match[0][:2].upper())
        if length is None:
            continue
        end, count = match.start(), 0
        while end < match.end() and count < length:
            count += text[end].isalnum()
            end += 1
        number = re.sub(r"[ -]", "", text[match.start() : end]).upper()
        whole = count == length and not (end < len(text) and text[end].isalnum())
        if whole and (_mod_97(number) or _subject(text, match.start()) == "account"):
            yield "IBAN", match.start(), end


def _emirati(text: str) -> Iterator[Found]:
    for match in _EMIRATI.finditer(text):
        yield "identity number", match.start(), match.end()


def _cards(text: str) -> Iterator[Found]:
    for match in _CARD.finditer(text):
        if _luhn(_NOT_DIGIT.sub("", match[0])):
            yield "payment card", match.start(), match.end()


def _passports(text: str) -> Iterator[Found]:
    for match in _PASSPORT.finditer(text):
        if _subject(text, match.start()) == "passport" and not _UNIT.match(text, match.end()):
            yield "passport", match.start(), match.end()


def _international(text: str) -> Iterator[Found]:
    for match in _INTERNATIONAL.finditer(text):
        yield "telephone", match.start(), match.end()


def _national(text: str) -> Iterator[Found]:
    for match in _NATIONAL.finditer(text):
        digits = _NOT_DIGIT.sub("", match[0])
        subject = _subject(text, match.start())
        if subject in ("identity", "passport") and match[0].isdigit():
            continue
        long_enough = 9 <= len(digits) <= 11 or (len(digits) == 8 and (subject == "telephone" or "/" in match[0]))
        if long_enough and not _DATE.fullmatch(match[0]) and not _UNIT.match(text, match.end()):
            yield "telephone", match.start(), match.end()


def _local(text: str) -> Iterator[Found]:
    for match in _LOCAL.finditer(text):
        if (
            _subject(text, match.start()) == "telephone"
            and not _DATE.fullmatch(match[0])
            and not _DATE.match(match[0])
            and not _HOTLINE.fullmatch(_NOT_DIGIT.sub("", match[0]))
            and not _UNIT.match(text, match.end())
            and not match[0].endswith("0000")
            and not _own_check(_NOT_DIGIT.sub("", match[0]))
        ):
            yield "telephone", match.start(), match.end()


def _lettered(text: str) -> Iterator[Found]:
    for match in _LETTERED.finditer(text):
        if _subject(text, match.start()) == "identity":
            yield "identity number", match.start(), match.end()


def _bare(text: str) -> Iterator[Found]:
    """Digits without separators: told by check digits, by their subject, or taken for want of another reading."""
    for match in _BARE.finditer(text):
        digits, start, end = match[0], match.start(), match.end()
        subject = _subject(text, start)
        if _UNIT.match(text, end) or _HOTLINE.fullmatch(digits) or subject == "reference":
            continue
        if len(digits) in (8, 10, 12) and _arab_mobile(digits) and subject != "identity":
            yield "telephone", start, end
        elif _own_check(digits) or (subject in ("identity", "account") and len(digits) >= 7):
            yield "identity number", start, end
        elif 9 <= len(digits) <= 14 and not digits.endswith("00000"):
            telephone = len(digits) == 9 and digits[0] in "57" and subject != "identity"
            yield ("telephone" if telephone else "identity number"), start, end


def _arab_mobile(digits: str) -> bool:
    """A telephone number with its country code and no plus: 966 5..., 20 1..., 962 7..., 971 5..., 964 7..."""
    return bool(
        re.fullmatch(r"9665\d{8}|201[0125]\d{8}|9627[789]\d{7}|9715\d{8}|9647\d{9}|212[67]\d{8}|213[567]\d{8}", digits)
    )


def _own_check(digits: str) -> bool:
    """Identity numbers that prove themselves: Saudi (10, Luhn), Egyptian (14, birth date), Kuwaiti (12, weights)."""
    if len(digits) == 10 and digits[0] in "12":
        return _luhn(digits)
    if len(digits) == 14 and digits[0] in "23":
        return _birth_date(digits[1:7]) and (1 <= int(digits[7:9]) <= 35 or digits[7:9] == "88")
    if len(digits) == 12 and digits[0] in "123":
        weights = (2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
        check = 11 - sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False)) % 11
        return _birth_date(digits[1:7]) and check == int(digits[-1])
    return False


def _birth_date(digits: str) -> bool:
    return 1 <= int(digits[2:4]) <= 12 and 1 <= int(digits[4:6]) <= 31


def _subject(text: str, start: int) -> str | None:
    """What the words before a number say it is: the nearest of them speaks."""
    last = None
    for match in _SUBJECT.finditer(text, max(0, start - _REACH), start):
        # A bare "number" does not overrule the word that it belongs to: the number of the identity card.
        if match[0] in ("رقم", "رقمي", "رقمه", "رقمها", "نمرة") and last in (
            "identity",
            "account",
            "passport",
            "reference",
        ):
            continue
        last = match.lastgroup
    return last


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def _mod_97(number: str) -> bool:
    rearranged = number[4:] + number[:4]
    return int("".join(str(int(character, 36)) for character in rearranged)) % 97 == 1


_ADDRESSES = (_plain("e-mail", _EMAIL), _profiles, _plain("handle", _HANDLE), _plain("handle", _NAMED_HANDLE))
# In this order: what proves itself comes before what is read from the words around it.
_NUMBERS = (
    _ibans,
    _emirati,
    _cards,
    _international,
    _passports,
    _plain("plate", _PLATE_SPACED),
    _plain("plate", _PLATE),
    _national,
    _lettered,
    _local,
    _bare,
)
