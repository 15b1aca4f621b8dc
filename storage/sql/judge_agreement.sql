-- How far two judges agree on the stance of the same answers of a run.
--
-- A judge's verdict is the stance that is strictly the most probable; ties are neutral (as in stance_counts). Only answers that both judged enter.
--
-- study: Name of the study.
-- run_id: Training phase.
-- judge_a: One judge.
-- judge_b: The other; each pair stands once, in alphabetical order.
-- n: Answers that both judged.
-- agreement: Share of them with the same verdict, 0 to 1.
-- kappa: Cohen's kappa, agreement beyond chance, at most 1; empty where both gave one and the same verdict throughout.
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
),
cells AS (
  SELECT a.study, a.run_id, a.judge AS judge_a, b.judge AS judge_b, a.verdict AS verdict_a, b.verdict AS verdict_b, count(*) AS n
  FROM verdicts AS a
  JOIN verdicts AS b USING (study, run_id, step, probe_set, prompt_id, sample_idx)
  WHERE a.judge < b.judge
  GROUP BY ALL
),
observed AS (
  SELECT study, run_id, judge_a, judge_b, sum(n) AS n, sum(n) FILTER (verdict_a = verdict_b) AS agreed
  FROM cells
  GROUP BY ALL
),
chance AS (
  SELECT study, run_id, judge_a, judge_b, sum(share) AS agreed_by_chance
  FROM (
    SELECT a.study, a.run_id, a.judge_a, a.judge_b, a.n * b.n AS share
    FROM (SELECT study, run_id, judge_a, judge_b, verdict_a AS verdict, sum(n) AS n FROM cells GROUP BY ALL) AS a
    JOIN (SELECT study, run_id, judge_a, judge_b, verdict_b AS verdict, sum(n) AS n FROM cells GROUP BY ALL) AS b
      USING (study, run_id, judge_a, judge_b, verdict)
  )
  GROUP BY ALL
),
shares AS (
  SELECT
    study, run_id, judge_a, judge_b, n::BIGINT AS n,
    coalesce(agreed, 0) / n AS agreement,
    coalesce(agreed_by_chance, 0) / (n::DOUBLE * n) AS expected
  FROM observed
  LEFT JOIN chance USING (study, run_id, judge_a, judge_b)
)
SELECT study, run_id, judge_a, judge_b, n, agreement, CASE WHEN expected < 1 THEN (agreement - expected) / (1 - expected) END AS kappa
FROM shares
