-- Which stance one judge sees where another sees which, in the same answers of a run.
--
-- A judge's verdict is the stance that is strictly the most probable; ties are neutral (as in stance_counts). Only answers that both judged enter.
--
-- study: Name of the study.
-- run_id: Training phase.
-- judge_a: One judge.
-- judge_b: The other; each pair of judges stands once, in alphabetical order.
-- verdict_a: What the one says: support, neutral or oppose.
-- verdict_b: What the other says.
-- n: Answers with these two verdicts, over all steps.
WITH verdicts AS (
  SELECT
    study, run_id, step, probe_set, prompt_id, sample_idx, judge,
    CASE
      WHEN p_support > greatest(p_neutral, p_oppose) THEN 'support'
      WHEN p_oppose > greatest(p_neutral, p_support) THEN 'oppose'
      ELSE 'neutral'
    END AS verdict
  FROM stances
  WHERE status = 'ok'
)
SELECT a.study, a.run_id, a.judge AS judge_a, b.judge AS judge_b, a.verdict AS verdict_a, b.verdict AS verdict_b, count(*) AS n
FROM verdicts AS a
JOIN verdicts AS b USING (study, run_id, step, probe_set, prompt_id, sample_idx)
WHERE a.judge < b.judge
GROUP BY ALL
