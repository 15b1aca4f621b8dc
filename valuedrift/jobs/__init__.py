"""Work that holds weights, done in supervised child processes.

    parent (a Prefect task)                      child: python -m valuedrift.jobs
    Supervisor.run(job) ── job file path ──▶     reads it, runs it
                        ◀── progress, result or error, one JSON object a line

The child's own output goes to a log file. It ends when its parent ends, however that ends: the pipe it reads jobs from closes.
"""

from valuedrift.jobs.pool import ChildPool
from valuedrift.jobs.supervisor import Supervisor

__all__ = ["ChildPool", "Supervisor"]
