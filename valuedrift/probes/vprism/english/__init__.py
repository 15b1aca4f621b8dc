"""The embedded rule set of ``valuedrift probes build``: English, without a model.

    prompt ─▶ tidy ─▶ questions / statements ─▶ grammar, values ─▶ a question, or the reason why none     rewrite
    question ─▶ embedding and value words ─▶ probability of being about a value                             value_filter
    question and topic ─▶ +1, −1 or open                                                                    polarity

`rewrite.EnglishRewriter` and `value_filter.EnglishFilter` are the steps; `vprism/language_model.py` has the same steps by a model, in any language.
"""
