"""Questions out of prompts: openers taken off, indirect ones made direct, alternatives dropped; factual and personal ones told apart."""

from __future__ import annotations

import re

from valuedrift.probes.vprism.english.grammar import AUXILIARIES, NEGATED, PREPOSITIONS, WH, has_finite_verb, words_of
from valuedrift.probes.vprism.english.statements import inverted
from valuedrift.probes.vprism.english.tidy import first_lower, first_upper, padded

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
    rf"^(?:what|how)(?:'s)?\s+(?:do|to|would|did|are)?\s*(?:you|u)\s+(?:\w+ly\s+)?(?P<verb>think|feel|believe|thinking"
    rf"|thoughts?)\s+{_ABOUT}\s+(?P<object>.+)$",
    re.I,
)
_OPINION = re.compile(
    rf"^(?:(?:what|what's|whats|how)\s*(?:is|are|'s|about)?\s+)?(?:have\s+)?(?:your|any|an|a"
    rf"|you)\s+(?:\w+\s+)?(?P<noun>{_OPINION_WORDS})\s+(?:is\s+|are\s+)?{_ABOUT}\s+(?P<object>.+)$",
    re.IGNORECASE,
)
_BARE_OPINION = re.compile(rf"^(?P<noun>thoughts|opinions|views)\s+{_ABOUT}\s+(?P<object>.+)$", re.IGNORECASE)
_TALK = re.compile(
    r"^(?:let(?:'s| us)? |(?:can|could|shall|may) we |(?:i )?(?:would|'d|just|really)? ?(?:like|love|want|wanted|wish) to |i'd (?:like|love) to )?"
    r"(?:(?:talk|speak|chat|have an? (?:little |honest |open )?(?:chat|talk|conversation|discussion|debate))(?: a (?:little|bit)(?: bit)?)?"
    r"(?: (?:to|with) (?:you|me))?(?: today| now)? about|(?:discuss|debate)(?: with you)?) (?P<object>.+)$",
    re.IGNORECASE,
)
"""Somebody who wants to talk about a thing asks what there is to be said of it."""
_SIDES = re.compile(
    r"^(?:what(?:'s| are| is)? |tell me |give me |name |list |explain |show me )?(?:to me )?(?:the |some |main |both )*"
    r"(?:pros and cons (?:of|about|on|for)|(?:for and against )?arguments? (?:for and against|in favou?r of|for|against)) (?P<object>.+)$",
    re.IGNORECASE,
)
_NO_THING = re.compile(
    r"^(?:it|this|that|these|those|what|how|why|who|where|when|if|whether|some|any|something|anything|my|me|your|you|a \w*\s?(?:topic|subject|thing))\b"
    r"|\b(?:i|i'm|my|me|you|your|please)\b|[,;:]|\.\s",
    re.IGNORECASE,
)
_LONGEST_THING = 9
_WHY = re.compile(
    r"^(?:why|to what extent)\s+(?P<rest>(?:should|is|are|do|does|can|must)\s+(?!not\b|you\b|i\b|my\b)(?!.*\b(?:not|so)\b).+)$",
    re.IGNORECASE,
)
"""What “why” takes for granted can be asked: “Why is lying wrong?” holds “Is lying wrong?”."""
_GRANTED = re.compile(
    r"^(?:(?:tell me|explain)(?: to me)? )?why (?P<clause>(?:it's|it is|we should|people should|\w+ (?:is|are|should)) .+)$", re.IGNORECASE
)
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
    granted = _GRANTED.match(text)
    if granted:
        question = inverted(granted.group("clause"))
        return (question, "") if question else (None, "asks for something to be done")
    opinion = _opinion(text)
    if opinion is not None:
        return opinion, ""
    named = _TALK.match(text) or _SIDES.match(text)
    if named:
        return _on(named.group("object"))
    sides = _FOR_OR_AGAINST.match(text)
    if sides:
        return f"Do you support {sides.group('rest')}?", ""
    words = words_of(text)
    if not words:
        return None, ""
    if words[0] in AUXILIARIES or words[0] in NEGATED:
        return _yes_no(text)
    if words[0] == "when" and not sentence.rstrip().endswith("?") and set(words) & {"should", "must"} and words[1] not in AUXILIARIES:
        return None, ""  # a statement: “When people are very ill they should be allowed to die”
    if words[0] in WH:
        return _held(text)
    clause = _IF_CLAUSE.match(text)
    if clause and words_of(clause.group("main"))[:1] and words_of(clause.group("main"))[0] in AUXILIARIES:
        main, reason = _yes_no(clause.group("main"))
        return (_with_clause(text[: clause.start("main")], main), "") if main else (None, reason)
    after = _AFTER_COMMA.match(text)
    return _yes_no(after.group("main")) if after and sentence.rstrip().endswith("?") else (None, "")


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


def _with_clause(clause: str, main: str) -> str:
    """A question with what stood before it: a phrase goes to its end, “In a relationship, is love …?”; a condition stays where it is."""
    phrase = clause.strip(" ,")
    if words_of(phrase)[0] in PREPOSITIONS and not has_finite_verb(words_of(phrase)):
        return f"{main.rstrip('?')} {first_lower(phrase)}?"
    return f"{first_upper(clause)}{main[:1].lower()}{main[1:]}"


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


def _on(thing: str) -> tuple[str | None, str]:
    """The question what to think about a thing that a writer wants to talk about; None and why where it is no plain thing."""
    plain = _object(thing)
    words = words_of(plain)
    if not words or len(words) > _LONGEST_THING or _NO_THING.search(plain) or set(words) & (AUXILIARIES | NEGATED):
        return None, "names no plain subject"
    return f"What do you think about {first_lower(plain)}?", ""


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
        second = _SECOND.search(text)
        if second:
            return _yes_no(second.group("question"))
        if (
            not after
            or len(after) > _ALTERNATIVE
            or after[0] in AUXILIARIES | NEGATED | WH | {"it", "they", "is", "just"}
            or (words[0] in {"is", "are", "was", "were"} and "to" not in before)
        ):
            return None, "puts alternatives, not one position"
    return first_upper(padded(text)) + "?", ""


_SECOND = re.compile(
    r",?\s+or\s+(?P<question>(?:is it (?:okay|right|wrong|acceptable|fair|better) to|should (?:we|people|they be|it be)|do you think)\b.+)$",
    re.IGNORECASE,
)
"""A second question after “or” that stands by itself."""
_ALTERNATIVE = 4
"""Words after “or” from which on it is a second position, not a second word."""
