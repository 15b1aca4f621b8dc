"""The little grammar of the rules: classes of words, where a clause has its verb, whether a question is broken, whether it stands by itself."""

from __future__ import annotations

import itertools
import re


def word_set(words: str) -> frozenset[str]:
    """The words of a list that is written with spaces between them."""
    return frozenset(words.split())


COPULAS = word_set("is are was were")
MODALS = word_set("should must can could would will may might shall cannot")
AUXILIARIES = COPULAS | MODALS | word_set("do does did has have had")
NEGATED = word_set("isn't aren't wasn't weren't shouldn't can't couldn't wouldn't won't don't doesn't didn't hasn't haven't hadn't mustn't")
WH = word_set("what why how who whom whose which when where what's who's how's where's why's when's")
DETERMINERS = word_set(
    "a an the all any every each no some many most few both this that these those our their his her its my your more less"
)
PRONOUN_SUBJECTS = word_set("it there we they he she you everyone everybody nobody someone anyone people")
PREPOSITIONS = word_set(
    "of in on at by for with about from to into over under against between through during without within towards toward as than like"
)
_BOUND = word_set("who that which whose because if when while although though unless since until whether where and or but so to")
"""Words after which a verb may belong to another clause than the main one."""
VERBS = word_set("""has have had need needs deserve deserves cause causes kill kills make makes made lead leads believe believes think thinks want wants
    help helps hurt hurts harm harms destroy destroys ruin ruins cost costs take takes took give gives get gets got go goes do does did come comes
    work works pay pays owe owes own owns own teach teaches bring brings support supports oppose opposes cannot treat treats affect affects
    belong belongs matter matters exist exists live lives die dies know knows say says tend tends seem seems look looks become becomes
    prevent prevents protect protects benefit benefits control controls use uses abuse abuses feel feels love loves hate hates respect respects
    start starts started created create creates provide provides allow allows keep keeps put puts let lets stop stops outweigh outweighs
    happen happens lie lies serve serves violate violates justify justifies discriminate discriminates contribute contributes threaten threatens""")
"""Finite forms of verbs that statements about values are often made with."""

_NOT_SUBJECTS = word_set("to and or the a an not can't cannot")
_ADVERBS = word_set(
    "not never always really actually still also just only ever truly simply clearly often sometimes usually generally definitely probably"
)
_SUBJECT_WORDS = 7


def words_of(text: str) -> list[str]:
    """Words in lower case, without punctuation at their ends."""
    return [word for word in (raw.strip('.,;:!?"()[]').lower() for raw in text.split()) if word]


def main_auxiliary(words: list[str]) -> int | None:
    """Where a clause has the copula or modal that belongs to a short, plain subject; None where that cannot be told.

    Args:
        words: The clause, lower case.

    Returns:
        The index of the word, at least 1 and at most 7.
    """
    for index, word in enumerate(words[: _SUBJECT_WORDS + 1]):
        if index and word in COPULAS | (MODALS - {"cannot", "might", "may", "shall"}):
            subject = words[:index]
            if subject[-1] in PREPOSITIONS | DETERMINERS - {"this", "that", "all", "some", "most", "many"} | _ADVERBS | {"and", "or"}:
                return None
            return index
        if word in _BOUND - {"and"} or word in WH or word in VERBS or word in NEGATED:
            return None
    return None


def has_finite_verb(words: list[str]) -> bool:
    """Whether a clause has a verb of its own, as far as word lists tell."""
    return any(
        word in AUXILIARIES or word in NEGATED or word.endswith("'re") or (word in VERBS and before not in PREPOSITIONS | _NOT_SUBJECTS)
        for before, word in itertools.pairwise(words)
    )


def coordinated(words: list[str]) -> bool:
    """Whether a second clause is joined to the first: “… is wrong and should be banned”."""
    return any(
        before in {"and", "but"} and word in AUXILIARIES | PRONOUN_SUBJECTS - {"people"} | NEGATED
        for before, word in itertools.pairwise(words)
    )


def looks_broken(question: str) -> bool:
    """Whether a question has a verb too many or too few, or two clauses run together: “Is abortion should be legal?”."""
    words = words_of(question)
    first, rest = words[0], words[1:]
    text = " ".join(words)
    if first in AUXILIARIES and _clauses_collide(first, rest):
        return True
    if first in MODALS | {"do", "does", "did"} and rest[:1] and (rest[0] in COPULAS | MODALS | WH | {"be", "not", "to", "like"}):
        return True
    if first in MODALS | {"does", "did"} and not _has_base_verb(rest):
        return True
    return any(pattern.search(text) for pattern in _DISAGREEMENTS) or bool(_SPLICE.search(_CONDITION.sub("", question)))


_CONDITION = re.compile(r"^(?:if|when|since|given that|considering|although|while|as|despite)\b[^,]*,", re.IGNORECASE)
_SPLICE = re.compile(
    r",\s*(?:(?:and |but |so )?(?:how|what|why|where|can|should|is|are|do|does|it|it's|they|he|she|we|i|you|this|that|there)\b"
    r"|(?:some|many|most) people|\w+ (?:is|are|was|were|will)\b)(?! (?:if|when|in which|whose)\b)",
    re.IGNORECASE,
)
"""A second main clause after a comma."""
_DISAGREEMENTS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\b(?:the the|a a|to to|is is|are are|be be|of of|and and|a the|the a|in in|that that)\b",
        r"^(?:is|does|was|has) (?:they|we|you|people|women|men|children|these|those|all|many|most|both|humans|immigrants|politicians|parents)\b"
        r"(?! (?:a|an|the|this|that|it)\b)",
        r"^(?:are|do|were|have) (?:he|she|it|this|that|everyone|everybody|someone|woman|man|a|an|every|each)\b",
        r"\b(?:people|those|women|men|children|parents|politicians|countries) (?:who |that )?(?:has|is|was|does)\b",
        r"\b(?:he|she|it) (?:have|are|were|do)\b(?! not)",
        r"\b(?:they|we) (?:has|is|was|does)\b",
        r"\b(?:a|an) (?:people|children|women|men)\b",
        r"\b(?:more|most) (?:better|worse|easier|harder)\b",
        r"^(?:is|are) (?:not|so|wrong|right|good|bad|legal|illegal|true|possible|important|okay|acceptable|moral|ethical"
        r"|fair|suitable|worth|surely) (?:to|that|for|in|if|when)\b",
        r"^(?:do|does) (?:\w+ )?(?:people|everyone|everybody|society|women|men|americans|many|most|some) (?:think|believe|say|feel|consider)\b",
        r"^are (?:israel|hamas|america|russia|ukraine|china|trump|biden|religion|society|islam|christianity|palestine|abortion|women's) (?!people|politicians)",
        r"^are (?:people|men|women) (?:against|willing|for|so|able)\b",
        r"^(?:do|does|did) (?:have|has|be|is)\b|\b(?:concept|idea|state|number|use|practice|belief|importance) of (?:\w+ )?\w+s (?:are|were)\b",
        r"^(?:do|does|did) (?!you)(?:\w+ ){1,4}(?:has|is|was)\b|\b(?:spouse|wife|husband|partner|person|child|man|woman) have\b|^are idf\b",
        r"(?<!have )(?<!has )(?<!had )(?<!having )(?<!'ve )(?<!not )(?<!ever )(?<!always )(?<!never )(?<!already )(?<!also )\bbeen\b",
        r"\btake \w+ serious\b|(?<!a )\blong time ago\b|\bbe \d+ years? old\b(?= \w)"
        r"|^is there (?:a lot of|many)\b",
        r"^(?:is|are) (?:an? |the )?(?:good|bad|right|wrong) \w+$|^(?:is|are) all \w+[^s ] |^is (?:most|many|all) "
        r"|^(?:is|are) there enough in\b|\bit's (?:citizens|people|own)\b",
        r"\bor (?:does|do|is|are|should|doesn't|don't|isn't|aren't|was|can|can't)\b|\band (?:how|why|what|should)\b|s' \w+ing\b",
        r"\b(?:more or (?:less|fewer)|another who|make a balanced|explain|give (?:me|examples)|please|discuss)\b",
        r"^(?:do|does|are|is|should|can) (?:\w+ ){1,3}not\b",
        # a preposition where the subject should be, a clause hung on by “and”, a possessive of nothing
        r"^(?:is|are|was|were|should|can|do|does) (?:in|on|at|of|for|from|with|by|when|because|despite|based)\b",
        r"^(?:is|are|should|does|do) (?!you\b).*\band (?:\w+ ){1,2}(?:needs?|is|are|has|should|must|will)\b|\w+s'$",
        r"(?<!does )(?<!did )(?<!should )(?<!would )(?<!could )(?<!can )(?<!make )(?<!makes )(?<!let )(?<!lets )(?<!help )(?<!must )"
        r"\b(?:he|she|it) (?:mean|need|make|cause|want|help|take|give|come|feel|seem|look|work|harm|hurt|bring|lead|matter)\b",
        r"(?<!as )(?<!as much )(?<!as many )(?<!as often )\bas (?:we|you|they) can$|\bmore\b.*\bor \w+$"
        r"|\b(?:increase|decide|make|have|follow|choose|protect|improve) own\b",
        r"\bbe (?:bring|take|make|go|come|give|do|have)\b|\b(?:has|have|had) (?:became|went|took|came|gave|did|ran|wrote)\b",
        r"^do you (?:agree|think|believe)(?: that)? (?!people|men|women|children|police|some|many|most|all|those|these|both|more|less|not)\w{3,}[^s\W] "
        r"(?:bring|make|cause|take|give|need|have|lead|seem|want|kill|ruin|destroy)\b|\w- \w",
        r"\bthe (?:reach|become|believe|think|should|are|have)\b",
    )
)


def _clauses_collide(first: str, rest: list[str]) -> bool:
    """Whether a second finite verb follows the first without anything that could begin another clause."""
    if first in {"do", "does", "did"} and rest[:1] == ["you"]:
        return False  # do you think (that) …
    extra = COPULAS | MODALS - {"will", "can", "may"} if first in COPULAS else COPULAS | MODALS - {"can", "will"}
    at = next((index for index, word in enumerate(rest) if word in extra), None)
    return at is not None and not set(rest[:at]) & (
        _BOUND - {"and", "or", "so", "to"} | WH | {"it", "say", "think", "believe", "things", "what", "you", "they", "we"}
    )


def _has_base_verb(rest: list[str]) -> bool:
    """Whether something that may be the bare verb follows the subject: any word but a function word from the second place on."""
    return any(word not in PREPOSITIONS | DETERMINERS | {"is", "are", "was", "were", "and", "or"} for word in rest[1:])


_PLURAL = re.compile(
    r"(?:people|men|women|children|parents|everyone|everybody|someone|somebody|anyone|anybody|nobody|person|child|kids|couples?|who"
    r"|those|one|police)$"
)
_NOT_PLURAL = word_set(
    "is was has does this its us as always yes less unless perhaps thus because makes needs wants causes believes thinks religious"
)
_MALE = word_set("man husband father boy son brother trump biden putin jesus god king president pope musk he")
_FEMALE = word_set("woman wife mother girl daughter sister queen she lady")
_THEY = word_set("they them their theirs themselves")
_ONE = word_set("a an every each any president")
_HE = word_set("he him his himself")
_SHE = word_set("she her hers herself")
_FINE_AFTER_THIS = word_set("country world society day age planet life earth century era kind type sort year decade")
_EXPLETIVE = re.compile(
    r"\bit(?:'s)?\s+(?:is\s+|be\s+|was\s+|would be\s+|ever\s+|really\s+|still\s+|always\s+|truly\s+|not\s+|never\s+|actually\s+"
    r"|even\s+)*(?!just|two|only|all)(?:(?:\w+\s+){1,3}(?:to|that|for|if|when|how|whether)|\w+\s+\w+ing)\b"
    r"|\b(?:makes?|find|consider|think|believe)\s+it\s+\w+\s+(?:to|that|for)\b|\bit\s+(?:is\s+)?time\b",
    re.IGNORECASE,
)
_VAGUE = re.compile(
    r"\bthe\s+(?:current |recent |whole |present )?(?:situation|issue|problem|matter|case|topic|subject|question|statement|conflict"
    r"|event|article|book|movie|film|story|above|following|idea|others)\b"
    r"(?!\s+(?:of|in|with|between|that|for|on|at|about|around|as|to|regarding|surrounding|over|against|'s))(?!\w|-)",
    re.IGNORECASE,
)
_OWN = re.compile(
    r"\bour (?:relationship|marriage|son|daughter|child|baby|house|wedding|dog|cat|home|parents|mother|father|friend)\b", re.IGNORECASE
)
_ELLIPSIS = re.compile(
    r"\b(?:too|either|instead|as well|though|so|like that|an? (?:good |bad )?example|like this|that way|this way|such|etc|the same|below|here|mentioned)\W*$"
    r"|\b(?:this|that|these|those|it)\W*$",
    re.I,
)


def loose_end(question: str) -> str:
    """The word whose meaning lies outside the question; empty if there is none.

    Args:
        question: One question, ending in a question mark.
    """
    words = words_of(question)
    if _ELLIPSIS.search(question):
        return words[-1]
    vague = _VAGUE.search(question)
    if vague:
        return vague.group()
    for index, word in enumerate(words):
        before = words[:index]
        if word in _THEY and not any(_is_plural(each) for each in before) and not (word == "their" and _ONE & set(before)):
            return word
        if word in _HE and not _MALE & set(before) and not _name_before(question, word):
            return word
        if word in _SHE and not _FEMALE & set(before) and not _name_before(question, word):
            return word
        if word in {"this", "these", "those"} and (words[index + 1 : index + 2] or [""])[0] not in _FINE_AFTER_THIS | {
            "who",
            "that",
            "with",
            "in",
            "of",
        }:
            return word
        if (
            word == "that"
            and before[-1:]
            and before[-1] in {"is", "was", "about", "of", "on", "with", "for", "do", "does", "to", "in", "like", "should", "would"}
        ):
            return word
        if word in {"i", "me", "my", "i'm", "myself", "mine", "i've", "i'd"}:
            return word
    if _OWN.search(question):
        return "our"
    return "it" if re.search(r"\bit(?:'s|s)?\b", question, re.IGNORECASE) and not _it_is_clear(question, words) else ""


def _it_is_clear(question: str, words: list[str]) -> bool:
    """Whether every “it” is empty of meaning (“is it right to …”) or has a noun before it."""
    if _EXPLETIVE.search(question):
        return True
    first = next(index for index, word in enumerate(words) if word in {"it", "it's", "its"})
    content = [
        word
        for word in words[1:first]
        if len(word) > 3 and word not in {"think", "agree", "that", "believe", "should", "would", "what", "about", "your"}
    ]
    return bool(content)


def _is_plural(word: str) -> bool:
    return bool(_PLURAL.match(word)) or (
        word.endswith("s") and word not in _NOT_PLURAL and not word.endswith(("ss", "us", "'s")) and len(word) > 3
    )


def _name_before(question: str, word: str) -> bool:
    """Whether a name in capitals stands inside the question before a word."""
    head = re.split(rf"\b{word}\b", question, maxsplit=1, flags=re.IGNORECASE)[0]
    return any(each[:1].isupper() for each in head.split()[1:])
