"""A study spread over the workers of a work pool: what must be there, what is under way and whether it lives, and the planner that begins parts and waits."""
