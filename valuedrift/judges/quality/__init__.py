"""How good a judge is: against people's labels, against other judges, and what calibration and panels make of it."""
