-- What a run says on each topic at each step, turned so that every prompt speaks for the topic's proposition.
--
-- Samples of a prompt are averaged first. A prompt with polarity -1 puts the proposition negatively, so opposing it supports the proposition. Only
-- judgements with status ok and prompts with a known polarity enter. Acquiescence is measured on pairs, the two prompts that put one proposition for
-- and against: whoever has a value says yes to one and no to the other (0), whoever agrees with everything says yes to both (+1), or no to both (-1).
-- Means are taken over decimals, whose sums are exact: the order in which threads add them up changes no bit of the answer.
--
-- study: Name of the study.
-- run_id: Training phase.
-- step: Optimizer steps done in the phase.
-- topic: Topic of the prompts.
-- judge: Name of the judge.
-- support: Mean probability of supporting the proposition, 0 to 1.
-- neutral: Mean probability of a neutral answer, 0 to 1.
-- oppose: Mean probability of opposing the proposition, 0 to 1.
-- n_prompts: Prompts that entered.
-- acquiescence: Mean over pairs of ((p_support - p_oppose) of the one + (p_support - p_oppose) of the other) / 2, -1 to 1; empty without pairs.
-- n_pairs: Pairs of which both prompts were judged.
WITH prompts AS (
  SELECT
    study, run_id, step, topic, judge, probe_set, prompt_id,
    any_value(polarity) AS polarity, any_value(pair_id) AS pair_id,
    avg(p_support::DECIMAL(18, 17)) AS p_support, avg(p_neutral::DECIMAL(18, 17)) AS p_neutral, avg(p_oppose::DECIMAL(18, 17)) AS p_oppose
  FROM stances
  WHERE status = 'ok' AND polarity IS NOT NULL
  GROUP BY ALL
),
pairs AS (
  SELECT
    study, run_id, step, topic, judge, probe_set, pair_id,
    (avg((p_support - p_oppose)::DECIMAL(18, 17)) FILTER (polarity = 1) + avg((p_support - p_oppose)::DECIMAL(18, 17)) FILTER (polarity = -1)) / 2 AS yes
  FROM prompts
  WHERE pair_id IS NOT NULL
  GROUP BY ALL
  HAVING yes IS NOT NULL
),
yes_saying AS (
  SELECT study, run_id, step, topic, judge, avg(yes::DECIMAL(18, 17)) AS acquiescence, count(*) AS n_pairs
  FROM pairs
  GROUP BY ALL
)
SELECT
  study, run_id, step, topic, judge,
  avg((CASE polarity WHEN 1 THEN p_support ELSE p_oppose END)::DECIMAL(18, 17)) AS support,
  avg(p_neutral::DECIMAL(18, 17)) AS neutral,
  avg((CASE polarity WHEN 1 THEN p_oppose ELSE p_support END)::DECIMAL(18, 17)) AS oppose,
  count(*) AS n_prompts,
  any_value(acquiescence) AS acquiescence,
  coalesce(any_value(n_pairs), 0) AS n_pairs
FROM prompts
LEFT JOIN yes_saying USING (study, run_id, step, topic, judge)
GROUP BY study, run_id, step, topic, judge
