"""Questions out of prompts: openers taken off, indirect ones made direct, alternatives dropped; factual and personal ones told apart."""

from __future__ import annotations

import re

from valuedrift.vprism.grammar import AUXILIARIES, COPULAS, DETERMINERS, NEGATED, WH, word_set, words_of
from valuedrift.vprism.statements import inverted
from valuedrift.vprism.tidy import first_lower, first_upper

_OPENERS = re.compile(
    r"^(?:so|well|okay|and|but|also|or|now|please|then|hmm+|honestly|actually|basically|generally|in general|personally|seriously|just curious"
    r"|just|quick question|question|yes or no|my question is|i have a question(?: for you)?|as an ai(?: language model)?|being an ai|oh|ah|lol"
    r"|in your (?:own |personal |honest |humble )?(?:opinion|view)|according to you|thank you|thanks|sorry|excuse me|nowadays|these days"
    r"|if you had to choose|let's talk about \w+|speaking of \w+)\s*[,:;-]*\s+",
    re.IGNORECASE,
)
_ASKING = re.compile(
    r"^(?:(?:can|could|would|will) you (?:please |kindly )?(?:tell me|explain(?: to me)?|say|answer|give me|share(?: with me)?"
    r"|discuss)|please (?:tell|give) me|tell me|give me|share"
    r"|i(?:'d| would) (?:really )?(?:like|love) to (?:know|hear|ask(?: you)?|get|discuss)|i (?:just )?(?:want|wanted|need"
    r"|wish) to (?:know|hear|ask(?: you)?|get)"
    r"|i(?: was|'m| am)? (?:wondering|curious|interested)(?: to know| to hear| about| in)?|i wonder|let me know|do you know"
    r"|do you have|have you got|may i (?:ask|know)|can i ask(?: you)?)"
    r"\s*[,:]*\s+(?=(?:if|whether|what|how|who|why|your|you|any|is|are|do|does|should|can|an opinion|a view)\b)",
    re.IGNORECASE,
)
_OPINION_WORDS = (
    r"opinions?|views?|viewpoints?|thoughts?|take|position|stance|feelings?|beliefs?|perspectives?|standpoint|point of view|attitude"
)
_ABOUT = r"(?:about|on|of|regarding|concerning|towards?|around|in regards? to|with regards? to|in relation to|when it comes to)"
_THINK = re.compile(
    rf"^(?:what|how)(?:'s)?\s+(?:do|would|did|are)?\s*(?:you|u)\s+(?:\w+ly\s+)?(?P<verb>think|feel|believe|thinking"
    rf"|thoughts?)\s+{_ABOUT}\s+(?P<object>.+)$",
    re.I,
)
_OPINION = re.compile(
    rf"^(?:(?:what|what's|whats|how)\s*(?:is|are|'s|about)?\s+)?(?:have\s+)?(?:your|any|an|a"
    rf"|you)\s+(?:\w+\s+)?(?P<noun>{_OPINION_WORDS})\s+(?:is\s+|are\s+)?{_ABOUT}\s+(?P<object>.+)$",
    re.IGNORECASE,
)
_BARE_OPINION = re.compile(rf"^(?P<noun>thoughts|opinions|views)\s+{_ABOUT}\s+(?P<object>.+)$", re.IGNORECASE)
_WHY = re.compile(
    r"^(?:why|to what extent)\s+(?P<rest>(?:should|is|are|do|does|can|must)\s+(?!not\b|you\b|i\b|my\b)(?!.*\b(?:not|so)\b).+)$",
    re.IGNORECASE,
)
"""What “why” takes for granted can be asked: “Why is lying wrong?” holds “Is lying wrong?”."""
_WHY_SHOULD_NOT = re.compile(r"^why\s+(?:shouldn't|should not|can't)\s+(?P<rest>.+)$", re.IGNORECASE)
_WHY_DONT_WE = re.compile(
    r"^why\s+(?:don't|do not|doesn't|does not|can't)\s+(?P<rest>(?:we|the government|governments|countries|politicians|schools|the world)\s+.+)$",
    re.I,
)
_HOW_ADJECTIVE = re.compile(
    r"^how\s+(?:\w+ly\s+)?(?P<adjective>important|bad|good|dangerous|ethical|moral|necessary|harmful|fair|wrong|essential|useful"
    r"|serious|corrupt|racist|valuable|crucial)"
    r"\s+(?P<verb>is|are|was|were)\s+(?P<rest>.+)$",
    re.IGNORECASE,
)
_WHATS_WRONG = re.compile(
    r"^what(?:'s|\s+is)\s+(?:so\s+)?(?P<adjective>wrong|bad|good|great|right)\s+(?P<about>with|about|in)\s+(?P<rest>.+)$", re.IGNORECASE
)
_FOR_OR_AGAINST = re.compile(
    r"^(?:are you\s+(?:for or against|in favou?r (?:of )?or against|pro or against|for or anti)|do you\s+(?:support or (?:oppose"
    r"|condemn)|agree or disagree with))\s+(?P<rest>.+)$",
    re.IGNORECASE,
)
_IF_CLAUSE = re.compile(
    r"^(?:if|when|since|given that|considering(?: that)?|although|while|as|with|in|for|on|at|after|despite)\s+[^,?]{3,120},\s*(?P<main>.+)$",
    re.I,
)
_AFTER_COMMA = re.compile(
    r"^[^?]{3,200},\s*(?:and |but |so )?(?P<main>(?:do you (?:think|believe|agree)|should|is it|would it be)\b.+)$", re.IGNORECASE
)
_THINK_THAT = re.compile(
    r"^(?:do|don't|would|wouldn't) you (?:\w+ly )?(?:think|believe|agree|say|feel|consider|find)\b(?: that)?\s*,?\s*", re.IGNORECASE
)
_TO_ASSISTANT = re.compile(
    r"^(?:are|were|have|had|can|could|will|did|may|is|has|do|would) you(?:r)?\b"
    r"(?!\s+(?:\w+ly\s+)?(?:think|believe|agree|support|feel (?:that|like|about)|consider|say|against|for|in favou?r|pro|opposed|oppose|approve|condone)\b)",
    re.IGNORECASE,
)
_WORD_PAIRS = re.compile(
    r",?\s+or\s+(?:is it\s+|are they\s+|just\s+|should it be\s+)?(?:not|no|illegal|wrong|right|bad|good|evil|immoral|unethical"
    r"|unfair|unacceptable|false|fake|a myth|a hoax|harmful|banned|abolished|allowed|legal|abolished|true|real|against|for it)\s*$",
    re.IGNORECASE,
)
_YES_NO_TAIL = re.compile(
    r"[,.]?\s*\(?(?:yes or no|and why(?: not)?|why(?: or why not)?|if so,? why|explain(?: why)?|and if so,? why|or why not"
    r"|in your opinion|please|to you)\)?\s*$",
    re.I,
)
_GOOD_OR_BAD = re.compile(
    r"\b((?:a )?)(good|bad|positive|negative|right|wrong) or (?:a )?(?:good|bad|positive|negative|right|wrong)\b", re.IGNORECASE
)
_AFTERTHOUGHT = re.compile(
    r",\s+(?=(?:does|do|is|are|should|would|will|can|how|why|what|some people|and (?:why|how|do|should|is|are|what))\b)", re.IGNORECASE
)
_LEADING_OF = re.compile(r"^(?:the\s+)?(?:topic|subject|issue|idea|concept|question|matter)\s+of\s+", re.I)


def asked(sentence: str) -> tuple[str | None, str]:
    """The question about a value in a sentence that asks something.

    Args:
        sentence: One tidy sentence.

    Returns:
        The question and an empty reason; or None and why there is none. The reason is empty too where the sentence asks nothing at all.
    """
    text = sentence.strip(" \"'").rstrip("?!. ").strip()
    before = None
    direct = False
    while before != text:
        before = text
        text = _OPENERS.sub("", text).strip()
        shorter = _ASKING.sub("", text).strip()
        direct |= shorter != text
        text = shorter
    text = _tail(text)
    if direct and re.match(r"(?:if|whether)\s", text, re.IGNORECASE):
        question = inverted(re.sub(r"^(?:if|whether)\s+(?:or not\s+)?", "", text, flags=re.IGNORECASE))
        return (question, "") if question else (None, "an indirect question that cannot be turned surely")
    opinion = _opinion(text)
    if opinion is not None:
        return opinion, ""
    sides = _FOR_OR_AGAINST.match(text)
    if sides:
        return f"Do you support {sides.group('rest')}?", ""
    words = words_of(text)
    if not words:
        return None, ""
    if words[0] in AUXILIARIES or words[0] in NEGATED:
        return _yes_no(text)
    if words[0] in WH:
        return _held(text)
    clause = _IF_CLAUSE.match(text)
    if clause and words_of(clause.group("main"))[:1] and words_of(clause.group("main"))[0] in AUXILIARIES:
        main, reason = _yes_no(clause.group("main"))
        return (f"{first_upper(text[: clause.start('main')])}{main[:1].lower()}{main[1:]}", "") if main else (None, reason)
    after = _AFTER_COMMA.match(text)
    return _yes_no(after.group("main")) if after and sentence.rstrip().endswith("?") else (None, "")


_FACTS = re.compile(
    r"^is there (?:(?:a|an|any|some|much) )?(?:way|link|correlation|evidence|proof|difference|connection|debate|reason)\b"
    r"|^(?:is|are|do|does)\b.*\b(?:currently|legally|officially)\b"
    r"|\bto the majority\b|^are some\b|\b(?:conspiracy|hoax|man[- ]made)\b|^(?:is|are)\b.*\b(?:dying out|becoming|falling|increasing|rising|growing|leaving)\b"
    r"|^are there (?:those|people|countries|some)\b|^are there (?:any )?(?:signs|studies|statistics)\b",
    re.IGNORECASE,
)
_DOES = re.compile(
    r"^(?:do|does)\s+(?!you\b|we\b)(?!.*\b(?:exist|have a|have to|need to|deserve|harm|destroy|ruin|help|hurt)\b)", re.IGNORECASE
)
_HABITS = re.compile(r"^(?:do|does|are|is)\s+(?:\w+\s+)?people\b", re.IGNORECASE)


def not_of_values(question: str) -> str:
    """Why the form of a yes/no question shows that it is no value question; empty where it does not.

    Args:
        question: A tidy question.
    """
    if _PREDICTION.search(question):
        return "asks what will be, not what is right"
    if _PAST.search(question) and not _JUDGES.search(question):
        return "asks what was, not what is right"
    if _STATE_OF_LAW.search(question.rstrip("?")):
        return "asks what the law is, not what it should be"
    if _FACTS.search(question):
        return "asks for facts, not what is right"
    if _DOES.search(question) and not _JUDGES.search(question):
        return "asks what people do, not what is right"
    if _HABITS.search(question) and not _JUDGES.search(question):
        return "asks what people do, not what is right"
    return ""


_PREDICTION = re.compile(
    r"^(?:will|won't)\b|^(?:do|would) you (?:think|believe|say|feel)\b[^,]*\b(?:will|going to|would)\b"
    r"(?! be (?:right|wrong|fair|good|bad|better|okay|acceptable))"
    r"|^(?:is|are) \w+(?: \w+)? (?:going|likely) to\b|^(?:is|are)\b.*\blikely to\b",
    re.IGNORECASE,
)
_PAST = re.compile(
    r"^do you (?:think|believe)\b.*\b(?:had|was|were)\b|^(?:did|was|were|has|have|had|could|can|would)\b(?! you)", re.IGNORECASE
)
_JUDGES = re.compile(
    r"\b(?:should|right|wrong|good|bad|better|worse|fair|unfair|justif\w+|moral\w*|immoral|ethic\w*|unethical|mistake|worth|acceptable|okay|trust\w*|evil|crime"
    r"|racist|sexist|too (?:far|much|many|soft|hard)|deserve\w*|success|failure|benefi\w+|harm\w*|coexist|forgive\w*)\b",
    re.IGNORECASE,
)
_STATE_OF_LAW = re.compile(
    r"^(?:is|are)\b.*\ballowed to\b|^(?:is|are)\b.*\b(?:legal|illegal|allowed|banned|lawful|exempt)\b(?: \w+)? (?:in|by|under|from)\b"
    r"|^do you think [\w ]+ (?:is|are) (?:il)?legal$|^(?:is|are)\b.*\bstill (?:legal|illegal|exempt)\b",
    re.I,
)


def _held(text: str) -> tuple[str | None, str]:
    """The yes/no question that an open one holds, where it surely holds one."""
    why, why_not = _WHY.match(text), _WHY_SHOULD_NOT.match(text)
    how, wrong = _HOW_ADJECTIVE.match(text), _WHATS_WRONG.match(text)
    why_dont = _WHY_DONT_WE.match(text)
    if why_dont:
        return _yes_no(f"should {why_dont.group('rest')}")
    if why or why_not:
        return _yes_no(why.group("rest") if why else f"should {why_not.group('rest') if why_not else ''}")
    if how:
        verb, adjective, rest = how.group("verb"), how.group("adjective").lower(), how.group("rest")
        expletive = re.match(r"it\s+", rest, re.IGNORECASE)
        if expletive:
            return _yes_no(f"{verb} it {adjective} {rest[expletive.end() :]}")
        tail = re.search(r"\s+(?:in|to|for|when|if)\s+", rest)
        subject, more = (rest[: tail.start()], rest[tail.start() :]) if tail else (rest, "")
        return _yes_no(f"{verb} {subject} {adjective}{more}")
    if wrong:
        return first_upper(f"is there anything {wrong.group('adjective').lower()} {wrong.group('about')} {wrong.group('rest')}?"), ""
    return None, "asks for facts, advice or a choice, not whether something is right"


def _tail(text: str) -> str:
    before = None
    while before != text:
        before = text
        text = _WORD_PAIRS.sub("", _YES_NO_TAIL.sub("", text)).rstrip("?!., ")
    return text


def _opinion(text: str) -> str | None:
    """“What do you think about …?” and its kin, in proper words."""
    think = _THINK.match(text)
    if think:
        verb = "feel" if think.group("verb").lower() == "feel" else "think"
        return f"{'How' if verb == 'feel' else 'What'} do you {verb} about {_object(think.group('object'))}?"
    stated = _OPINION.match(text) or _BARE_OPINION.match(text)
    if stated:
        noun = stated.group("noun").lower()
        if noun in {"thought", "feeling", "belief"}:
            noun += "s"
        about = "towards" if noun in {"feelings", "attitude"} else "on"
        return f"What {'are' if noun.endswith('s') and noun != 'stance' else 'is'} your {noun} {about} {_object(stated.group('object'))}?"
    return None


def _object(text: str) -> str:
    return _LEADING_OF.sub("", _AFTERTHOUGHT.split(text, maxsplit=1)[0].strip(" ,.?!\"'"))


def _yes_no(text: str) -> tuple[str | None, str]:
    """A yes/no question, mended where it is surely meant otherwise."""
    text = _GOOD_OR_BAD.sub(r"\1\2", text)
    thought = _THINK_THAT.match(text)
    if thought:
        rest = text[thought.end() :]
        first = words_of(rest)[:1]
        if not first:
            return None, "asks about something said before"
        if first[0] in AUXILIARIES - {"have", "had"}:
            return _yes_no(rest)
        if first[0] in WH:
            return None, "asks for facts, advice or a choice, not whether something is right"
        lead = thought.group().strip(" ,").replace("'T", "'t")
        return first_upper(f"{lead} {rest}") + "?", ""
    text = re.sub(r"^(is|are|was|were|should|would|do|does)n't\b", r"\1", text, flags=re.IGNORECASE)  # the same question, plainly asked
    if _TO_ASSISTANT.match(text):
        return None, "asks about the assistant, or for something to be done"
    text = _GOOD_OR_BAD.sub(r"\1\2", text)
    words = words_of(text)
    if re.match(
        r"(?:is|was)\s+(?:okay|wrong|right|good|bad|acceptable|moral|immoral|ethical|unethical|fair|unfair|important|better|illegal)\s+(?:to|that|for|if)\b",
        text,
        re.I,
    ):
        text = re.sub(r"^(\w+)\s", r"\1 it ", text)
    if len(words) > 1 and words[1] in {"i", "my", "i'm"}:
        return None, "asks for advice on the writer's own life"
    if "or" in words:
        before = words[: words.index("or")]
        after = words[words.index("or") + 1 :]
        if (
            not after
            or len(after) > _ALTERNATIVE
            or after[0] in AUXILIARIES | NEGATED | WH | {"it", "they", "is", "just"}
            or (words[0] in {"is", "are", "was", "were"} and "to" not in before)
        ):
            return None, "puts alternatives, not one position"
    return first_upper(_padded(text)) + "?", ""


def _padded(text: str) -> str:
    """A very short question said in full: “Is abortion wrong” becomes “Do you think abortion is wrong”."""
    words = text.split()
    if len(words) not in {3, 4} or words[1].lower() in DETERMINERS - {"the"} | {"there", "it", "you"}:
        return text
    verb, size = words[0].lower(), 2 if words[1].lower() == "the" else 1
    subject, rest = first_lower(" ".join(words[1 : size + 1])), words[size + 1 :]
    if len(rest) == 2 and verb in COPULAS and rest[1].lower() in _VERDICTS and rest[0].lower() not in DETERMINERS | _AFTER_SUBJECT:
        subject, rest = f"{subject} {rest[0]}", rest[1:]  # is capital punishment ethical
    if len(rest) > 1 and rest[0].lower() not in DETERMINERS | _AFTER_SUBJECT:
        return text  # where the subject ends cannot be told
    if rest and verb in COPULAS | {"should"}:
        return f"do you think {subject} {verb} {' '.join(rest)}"
    if verb == "does" and rest and rest[0].lower() in _THIRD_PERSON:
        return f"do you think {subject} {_THIRD_PERSON[rest[0].lower()]}{' '.join(['', *rest[1:]])}"
    return text


_ALTERNATIVE = 4
"""Words after “or” from which on it is a second position, not a second word."""
_AFTER_SUBJECT = word_set(
    "be always ever really still truly more too just morally legalize legalise ban allow abolish have exist matter need deserve"
)
_VERDICTS = word_set(
    "good bad wrong right okay ethical unethical moral immoral fair unfair justified acceptable important necessary harmful evil racist sinful"
)
_THIRD_PERSON = {"exist": "exists", "have": "has", "need": "needs", "matter": "matters", "deserve": "deserves"}
