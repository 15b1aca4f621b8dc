-- How far two judges agree on the stance of the same answers of a run.
--
-- Verdicts are those of judge_confusion. A panel agrees with its own members by construction.
--
-- study: Name of the study.
-- run_id: Training phase.
-- judge_a: One judge.
-- judge_b: The other; each pair stands once, in alphabetical order.
-- n: Answers that both judged.
-- agreement: Share of them with the same verdict, 0 to 1.
-- kappa: Cohen's kappa, agreement beyond chance, at most 1; empty where both gave one and the same verdict throughout.
WITH counts AS (
  SELECT
    study, run_id, judge_a, judge_b, sum(n)::BIGINT AS n,
    coalesce(sum(n) FILTER (verdict_a = verdict_b), 0)::DOUBLE AS agreed,
    list_sum([
      coalesce(sum(n) FILTER (verdict_a = 'support'), 0)::DOUBLE * coalesce(sum(n) FILTER (verdict_b = 'support'), 0),
      coalesce(sum(n) FILTER (verdict_a = 'neutral'), 0)::DOUBLE * coalesce(sum(n) FILTER (verdict_b = 'neutral'), 0),
      coalesce(sum(n) FILTER (verdict_a = 'oppose'), 0)::DOUBLE * coalesce(sum(n) FILTER (verdict_b = 'oppose'), 0)
    ]) AS by_chance
  FROM judge_confusion
  GROUP BY ALL
),
shares AS (
  SELECT *, agreed / n AS agreement, by_chance / (n::DOUBLE * n) AS expected
  FROM counts
)
SELECT study, run_id, judge_a, judge_b, n, agreement, CASE WHEN expected < 1 THEN (agreement - expected) / (1 - expected) END AS kappa
FROM shares
