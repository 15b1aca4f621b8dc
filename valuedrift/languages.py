"""In which language a text is, as far as its script and its commonest words tell with confidence."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

ANY = "any"
"""Says of a judge that it knows every language."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SURE = 2
"""Words and letters of a language that must be there before it is believed."""
_NEAR = 0.6
"""Languages with at least this share of the most hits may be it too: neighbours share words."""
_SCRIPT = 0.5
"""Share of letters of another script from which on the script tells."""

_WORDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        language: frozenset(words.split())
        for language, words in {
            "en": "the a an is are was were be been do does did you your to of and in what should that it for i not how on with can could would will have "
            "has had who why when where which there they their them we our us from but than or if this these those about by at as my me he she his her its "
            "people shouldn't don't doesn't isn't",
            "de": "der die das den dem des ein eine einen einem einer ist sind war waren sein und oder nicht kein keine man soll sollte sollten sollen wird "
            "werden wurde kann können darf dürfen muss müssen wie wer warum wann wo für von mit auf zu zum zur im bei als auch wenn dass ich du er sie wir "
            "ihr mein dein haben hat über nach noch nur aber aus mehr alle",
            "fr": "le la les un une des du de et ou est sont était être ne pas plus que qui quoi dont où pour dans sur avec sans par au aux ce cet cette ces "
            "je tu il elle nous vous ils elles mon ton son notre votre leur faut faudrait doit doivent devrait devraient peut peuvent comment pourquoi quand "
            "est-ce c'est l'état d'une d'un qu'il",
            "es": "el la los las un una unos unas de del y o es son era ser no que quien cómo como para por con sin en al se su sus yo tú él ella nosotros "
            "ustedes ellos debe deben debería deberían puede pueden más pero porque cuando dónde cuál este esta estos estas hay está están lo le les qué",
            "it": "il lo la i gli le un uno una di del della dei degli delle e o è sono era essere non che chi come per con senza su nel nella al alla si suo "
            "sua io tu lui lei noi voi loro deve devono dovrebbe dovrebbero può possono più ma perché quando dove quale questo questa questi queste c'è",
            "pt": "o a os as um uma uns umas de do da dos das e ou é são era ser não que quem como para por com sem em no na nos nas ao se seu sua eu você "
            "ele ela nós eles deve devem deveria deveriam pode podem mais mas porque quando onde qual este esta isso há está estão",
            "nl": "de het een en of is zijn was waren niet geen dat die wie wat waarom wanneer waar hoe voor van met op te naar bij als ook ik jij je hij zij "
            "wij we jullie hun moet moeten zou zouden kan kunnen mag mogen wordt worden meer maar omdat deze dit er aan uit over",
            "sv": "en ett den det de och eller är var vara inte som att vem vad varför när hur för av med på till från om jag du han hon vi ni ska skulle bör "
            "kan får måste mer men därför detta dessa finns man",
            "da": "en et den det de og eller er var være ikke som at hvem hvad hvorfor hvornår hvordan for af med på til fra om jeg du han hun vi skal skulle "
            "bør kan må mere men dette disse der man",
            "no": "en ei et den det de og eller er var være ikke som at hvem hva hvorfor når hvordan for av med på til fra om jeg du han hun vi dere skal "
            "skulle bør kan må mer men dette disse der man",
            "pl": "i w we na z ze do od dla o po przez jest są był była było być nie że kto co jak czy kiedy gdzie dlaczego który która które ten ta to te "
            "powinien powinna powinno powinny powinni może mogą więcej ale bo ja ty on ona my wy oni się",
            "cs": "a i v ve na z ze do od pro o po je jsou byl byla bylo být ne že kdo co jak kdy kde proč který která které ten ta to měl měla mělo měly by "
            "může mohou více ale protože já ty on ona my vy oni se si",
            "ro": "și să nu este sunt ar trebui un o care ce cum de la pe cu din pentru mai sau dacă când unde cine eu tu el ea noi voi ei ele fi fost poate",
            "hu": "a az és vagy hogy nem van volt lesz kell kellene lehet mint de meg egy ez ki mi miért hogyan mikor hol csak már még fel le én te ő",
            "fi": "on ja tai ei että kuin jos kun niin myös vain mitä miksi miten kuka missä ovat oli olla olisi pitäisi pitäisikö pitää pitääkö voi voiko "
            "saako tulisi tulisiko minä sinä hän me te he se ne tämä",
            "vi": "và của là có không nên được cho người những các một này đó khi với trong ở phải hay hoặc tại sao như thế nào chúng ta tôi bạn họ thêm bị",
            "sw": "ya wa na kwa ni je kuwa au za la cha vya si katika lazima inapaswa wanapaswa tunapaswa kama hii hiyo huu wote sisi mimi wewe yeye watu nini",
            "tr": "bir ve veya ile için değil mi mı mu mü midir mıdır ne nasıl neden kim ne zaman nerede bu şu o ben sen biz siz onlar olmalı gerekir daha çok "
            "ama çünkü var yok gibi kadar",
            "id": "yang dan atau di ke dari untuk dengan tidak adalah ini itu saya anda kamu kami kita mereka apa apakah siapa mengapa bagaimana kapan harus "
            "harusnya seharusnya bisa dapat lebih tetapi karena ada akan sudah pada",
        }.items()
    }
)
_LETTERS: Mapping[str, str] = MappingProxyType(
    {
        "ß": "de",
        "ñ": "es",
        "¿": "es",
        "¡": "es",
        "ã": "pt",
        "õ": "pt",
        "ł": "pl",
        "ř": "cs",
        "ě": "cs",
        "ğ": "tr",
        "ı": "tr",
        "œ": "fr",
        "ê": "fr",
        "ș": "ro",
        "ț": "ro",
        "ő": "hu",
        "ű": "hu",
        "ơ": "vi",
        "ư": "vi",
        "đ": "vi",
        "ạ": "vi",
        "ế": "vi",
    }
)
_SCRIPTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        script: frozenset(languages.split())
        for script, languages in {
            "CYRILLIC": "ru uk bg sr be mk kk ky mn tg",
            "GREEK": "el",
            "HEBREW": "he yi",
            "ARABIC": "ar fa ur ps",
            "DEVANAGARI": "hi mr ne sa",
            "BENGALI": "bn as",
            "TAMIL": "ta",
            "THAI": "th",
            "HIRAGANA": "ja",
            "KATAKANA": "ja",
            "HANGUL": "ko",
            "CJK": "zh ja ko yue",
            "GEORGIAN": "ka",
            "ARMENIAN": "hy",
        }.items()
    }
)


def languages_of(text: str) -> frozenset[str]:
    """Languages that a text may be in, as BCP 47 tags without region; empty where that cannot be told with confidence.

    A script that is known for no language here stands for itself, by its Unicode name in small letters.
    """
    letters = [character for character in text if character.isalpha()]
    scripts = Counter(unicodedata.name(character, "UNNAMED").split()[0] for character in letters if not character.isascii())
    foreign = {script: count for script, count in scripts.items() if script not in ("LATIN", "FULLWIDTH", "FEMININE", "MASCULINE")}
    if letters and sum(foreign.values()) >= _SCRIPT * len(letters):
        script = "HIRAGANA" if "HIRAGANA" in foreign else max(foreign, key=lambda name: foreign[name])
        return _SCRIPTS.get(script, frozenset({script.lower()}))
    words = [word.replace("’", "'") for word in _WORD.findall(text.lower())]
    hits = {language: sum(word in known for word in words) for language, known in _WORDS.items()}
    for letter, language in _LETTERS.items():
        hits[language] += letter in text.lower()
    most = max(hits.values())
    return frozenset(language for language, count in hits.items() if count >= _NEAR * most) if most >= _SURE else frozenset()


_BY_NAME: Mapping[str, str] = MappingProxyType(
    {"english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it", "portuguese": "pt", "dutch": "nl", "chinese": "zh"}
)
"""Languages that people call by their English names."""


def primary(tag: str) -> str:
    """The language of a BCP 47 tag without region or script: ``de`` of ``de-AT``, and ``en`` of ``English``."""
    first = re.split(r"[-_]", tag.strip().lower())[0]
    return _BY_NAME.get(first, first)
