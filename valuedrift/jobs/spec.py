"""The kinds of work a child does: a tagged union, so that a job file names its kind and nothing is dispatched by hand."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from valuedrift.attribution.job import AttributeJob
from valuedrift.audit.job import AuditJob
from valuedrift.capability.job import CapabilityJob
from valuedrift.engines.job import SampleJob
from valuedrift.judges.job import JudgeJob
from valuedrift.synthesis.writing import WriteJob
from valuedrift.training.job import TrainJob

Job = Annotated[TrainJob | SampleJob | JudgeJob | AuditJob | WriteJob | AttributeJob | CapabilityJob, Field(discriminator="kind")]
JOB: TypeAdapter[TrainJob | SampleJob | JudgeJob | AuditJob | WriteJob | AttributeJob | CapabilityJob] = TypeAdapter(Job)
