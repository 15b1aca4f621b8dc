"""TensorBoard: event files in a folder a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator

from valuedrift.errors import UserError
from valuedrift.references import beside, is_address
from valuedrift.trackers.base import Points, TrackedRun, TrackerBase, by_step


class TensorBoard(TrackerBase):
    """Event files, read by `tensorboard --logdir`."""

    when = "beside the curves that a Trainer logs with `report_to: tensorboard`"
    module = "tensorboard"
    extra = "tensorboard"

    type: Literal["tensorboard"] = Field(default="tensorboard", description="Kind of tracker.")
    folder: str | None = Field(
        default=None,
        min_length=1,
        description="Folder for the event files, one below it a study and run; default: tensorboard/ below the root.",
    )

    @field_validator("folder")
    @classmethod
    def _on_this_machine(cls, folder: str | None) -> str | None:
        if folder is not None and is_address(folder):
            raise ValueError(f"{folder!r} is an address: event files are written to a folder of this machine")
        return folder

    def check(self) -> None:
        """See `TrackerBase`."""
        super().check()
        place = None if self.folder is None else next(one for one in (Path(self.folder), *Path(self.folder).parents) if one.exists())
        if place is not None and not (place.is_dir() and os.access(place, os.W_OK)):
            what = "a file stands where a folder is needed" if not place.is_dir() else "this folder may not be written to"
            raise UserError(what, where=f"tracker tensorboard, folder {place}", fix="give another folder")

    def write_whole(self, run: TrackedRun, points: Points) -> str:
        """See `TrackerBase`. The new file begins with a mark at which an open TensorBoard forgets the older one, which is then removed."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = (Path(self.folder) if self.folder else run.place / "tensorboard") / run.study / run.run_id
        before = sorted(folder.glob("events.out.tfevents.*.valuedrift"))
        writer = EventFileWriter(str(folder), filename_suffix=".valuedrift")
        writer.add_event(Event(step=0, session_log=SessionLog(status=SessionLog.START)))
        for step, values in by_step(points).items():
            told = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
            writer.add_event(Event(step=step, summary=told))
        writer.close()
        for file in before:
            file.unlink(missing_ok=True)
        return str(folder)

    def anchored(self, folder: Path | str) -> Self:
        """See `TrackerBase`."""
        return self if self.folder is None else self.model_copy(update={"folder": beside(folder, self.folder)})
