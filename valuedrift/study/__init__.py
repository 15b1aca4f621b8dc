"""A study is one file: what is trained, what is asked, how it is judged. See :class:`valuedrift.study.spec.Study`."""

from valuedrift.study.load import load_study
from valuedrift.study.plan import Plan, RunPlan, SeriesRun, ServedRun, expand
from valuedrift.study.runtime import Runtime
from valuedrift.study.spec import Study

__all__ = ["Plan", "RunPlan", "Runtime", "SeriesRun", "ServedRun", "Study", "expand", "load_study"]
