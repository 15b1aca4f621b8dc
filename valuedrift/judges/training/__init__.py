"""How the shipped weights of the cross-encoder are made: from packaged text alone, see valuedrift/data/judge/README.md."""
