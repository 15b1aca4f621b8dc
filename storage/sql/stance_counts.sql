-- How many answers took which stance, and how many could not be judged: nothing is dropped silently.
--
-- An answer counts for the stance that is strictly the most probable; support and oppose tied at the top count as neutral, as does any tie with neutral.
--
-- study: Name of the study.
-- run_id: Training phase.
-- step: Optimizer steps done in the phase.
-- topic: Topic of the prompts.
-- judge: Name of the judge.
-- n: Answers.
-- n_support: Judged answers that support what their prompt asks.
-- n_neutral: Judged answers that take no side.
-- n_oppose: Judged answers that oppose what their prompt asks.
-- n_refused: Answers that the judge refused to judge.
-- n_unparsed: Answers for which the judge's own answer could not be read.
-- n_failed: Answers for which the judge failed.
SELECT
  study, run_id, step, topic, judge,
  count(*) AS n,
  count(*) FILTER (status = 'ok' AND p_support > greatest(p_neutral, p_oppose)) AS n_support,
  count(*) FILTER (status = 'ok' AND NOT (p_support > greatest(p_neutral, p_oppose)) AND NOT (p_oppose > greatest(p_neutral, p_support))) AS n_neutral,
  count(*) FILTER (status = 'ok' AND p_oppose > greatest(p_neutral, p_support)) AS n_oppose,
  count(*) FILTER (status = 'refused') AS n_refused,
  count(*) FILTER (status = 'unparsed') AS n_unparsed,
  count(*) FILTER (status = 'failed') AS n_failed
FROM stances
GROUP BY study, run_id, step, topic, judge
