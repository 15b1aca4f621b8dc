"""How the shipped weights of the judges are made: from packaged text alone, see valuedrift/data/judge/README.md and valuedrift/data/judge-lm/README.md."""
