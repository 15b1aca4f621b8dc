"""From stances, labels and a study's facts to every table that a report reads; the report itself computes nothing.

analysis.py     stances → trajectory, drift, acquiescence, coverage, sensitivity, warnings; with labels → drift_corrected, trajectory_corrected, …
conclusions.py  drift, stances, answers, labels and the study's facts → studies, provenance, findings, examples, agreement, judge_quality, …
examples.py     the answers that a run is shown by
facts.py        what a study file says beside the numbers, and which tables there are
drifts.py       which rows of the table drift are told, and by which q they are called
quality.py      a judge's figures as rows of tables, and back

The stages of a study call the first two, the report reads what they made. The last three import no statistics.
"""
