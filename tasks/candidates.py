"""Where a series' checkpoints may lie: folders on this machine, prefixes in a store, revisions of a model on the hub."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from itertools import chain, takewhile
from pathlib import Path

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.models.resolve import resolve_model
from valuedrift.references import is_address
from valuedrift.storage.fetching import fetched
from valuedrift.storage.location import Location
from valuedrift.watching.checkpoints import step_of
from valuedrift.watching.handing import HandOver
from valuedrift.watching.held import Held, state_of

_HUB = "hf:"
_CONFIGS = ("config.json", "adapter_config.json")
_WILD = "*?["


class SeveralSeriesError(UserError):
    """Two series lie where one is meant."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What may be a checkpoint.

    Attributes:
        name: Its path, address or revision.
        label: The part of its name that tells the step.
        state: Differs whenever its files do.
        times: When each of its files was last written, by name; empty where nothing tells.
        bring: Its folder on this machine, fetched if need be.
        again: Its state as it is now, where that can be told.
        fixed: Whether it cannot change any more.
    """

    name: str
    label: str
    state: str
    times: Mapping[str, int]
    bring: Callable[[], Path]
    fixed: bool = False
    again: Callable[[], str] = str


def candidates_at(place: str) -> list[Candidate]:
    """What may be a checkpoint at a place; nothing where nothing is there yet.

    Args:
        place: A folder or a pattern, also in a store, or ``hf:organisation/name@pattern``.

    Raises:
        UserError: The store or the hub cannot be reached, or the model is not known there.
    """
    if place.startswith(_HUB):
        return list(_revisions(place.removeprefix(_HUB)))
    return list(_in_store(place) if is_address(place) else _folders(place))


def candidate_at(place: str) -> list[Candidate]:
    """The checkpoint that a place is, whatever lies in its folder; nothing where nothing is there yet.

    Args:
        place: A folder, also in a store, or ``hf:organisation/name@revision``.

    Raises:
        UserError: See `candidates_at`.
    """
    if place.startswith(_HUB) or is_address(place):
        return candidates_at(place)
    folder = Path(place)
    return list(_folder(folder, folder.name)) if folder.is_dir() else []


def lies_at(name: str, place: str) -> bool:
    """Whether a checkpoint of some name is one of a place, though it may be gone from there."""
    if place.startswith(_HUB):
        return name.partition("@")[0] == place.partition("@")[0]
    if is_address(place):
        head = "/".join(takewhile(lambda part: not any(letter in part for letter in _WILD), place.rstrip("/").split("/")))
        return name == head or name.startswith(f"{head}/")
    folder, own = Path(place).absolute(), Path(name).absolute()
    return own == folder or folder in own.parents or fnmatch(str(own), str(folder))


def is_marked(place: str, marker: str) -> bool:
    """Whether a file of some name lies beside the checkpoints of a place; revisions on the hub are what they are."""
    if place.startswith(_HUB):
        return True
    head = "/".join(takewhile(lambda part: not any(letter in part for letter in _WILD), place.rstrip("/").split("/")))
    return (Location.parse(head) / marker).exists()


def hand_overs_at(place: str) -> list[HandOver]:
    """The folders in which trainings may hand over the checkpoints of a place; those on this machine."""
    if place.startswith(_HUB) or is_address(place):
        return []
    if not Path(place).exists() and any(letter in place for letter in _WILD):
        pattern = Path(place).absolute().parent
        found = Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))) if len(pattern.parts) > 1 else iter([pattern])
        return [HandOver(path) for path in sorted(found) if path.is_dir()]
    return [HandOver(Path(place))]


def handed_at(place: str) -> list[Candidate]:
    """Checkpoints of a place as trainings handed them over, under the names that they have there; of each step the latest."""
    pattern = Path(place).absolute() if any(letter in Path(place).name for letter in _WILD) and not Path(place).exists() else None
    latest: dict[str, Candidate] = {}
    for hand_over in hand_overs_at(place):
        for held in hand_over.handed():
            path = hand_over.output / held.name
            if pattern is None or fnmatch(path.name, pattern.name):
                latest[str(path)] = _handed(held, path, path.name if pattern is None else _differing(path, pattern))
    return list(latest.values())


def _handed(held: Held, path: Path, label: str) -> Candidate:
    return Candidate(str(path), label, held.state, {}, lambda: held.folder, fixed=True)


def _folders(place: str) -> Iterator[Candidate]:
    """Folders of this machine: what the pattern means, else those in the folder that have a number, else the folder itself."""
    folder = Path(place)
    if not folder.exists() and any(letter in place for letter in _WILD):
        pattern = folder.absolute()
        for path in sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))):
            if path.is_dir():
                yield from _folder(path, _differing(path, pattern))
    elif folder.is_dir():
        inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and step_of(path.name) is not None]
        if inside or not any((folder / name).exists() for name in _CONFIGS):
            yield from chain.from_iterable(_folder(path, path.name) for path in inside)
        else:
            yield from _folder(folder, folder.name)


def _folder(folder: Path, label: str) -> Iterator[Candidate]:
    """The candidate that a folder is; none where the folder is gone since it was listed."""
    try:
        state, times = state_of(folder)
    except OSError as error:  # whoever looks into it is told the same
        state, times = f"not readable: {error.strerror}", {}
    if times or folder.is_dir():
        yield Candidate(str(folder), label, state, times, lambda: folder, again=lambda: state_of(folder)[0])


def _differing(path: Path, pattern: Path) -> str:
    """The parts of a path where the pattern left something open: what tells one checkpoint from the next."""
    opened = [part for part, wanted in zip(path.parts, pattern.parts, strict=False) if any(letter in wanted for letter in _WILD)]
    return "/".join(opened) or path.name


def _in_store(place: str) -> Iterator[Candidate]:
    """Prefixes of a store, by one listing of what lies below the part of the address before the first wild part."""
    head = "/".join(takewhile(lambda part: not any(letter in part for letter in _WILD), place.rstrip("/").split("/")))
    wild = place.rstrip("/")[len(head) :].strip("/")
    root = Location.parse(head)
    below = defaultdict(list)
    depth = wild.count("/") + 1 if wild else 1
    for found in root.listing():
        parts = found.location.relative_to(root).split("/")
        if len(parts) > depth:
            below["/".join(parts[:depth])].append(found)
    for name, objects in sorted(below.items()):
        if fnmatch(name, wild) if wild else step_of(name) is not None:
            address = f"{head}/{name}"
            state = fingerprint(sorted([one.location.uri, one.size, one.tag] for one in objects))
            times = {one.location.name: int(one.modified.timestamp() * 1e9) for one in objects}
            yield Candidate(address, name, state, times, partial(fetched, address, folder=True))


def _revisions(reference: str) -> Iterator[Candidate]:
    """Branches and tags of a model on the hub that a pattern means, or the one revision."""
    repository, _, pattern = reference.partition("@")
    if not any(letter in pattern for letter in _WILD):
        yield _revision(repository, pattern, pattern)
        return
    known = revisions_of(repository)
    if not known:
        raise UserError(
            f"no revisions of {repository} are known", where=f"hf:{reference}", fix="check the name, the network and HF_HUB_OFFLINE"
        )
    for name, commit in known.items():
        if fnmatch(name, pattern):
            yield _revision(repository, name, commit)


def _revision(repository: str, name: str, commit: str) -> Candidate:
    reference = f"{_HUB}{repository}@{name}" if name else f"{_HUB}{repository}"
    return Candidate(reference, name or repository, commit, {}, lambda: resolve_model(reference), fixed=True)


def revisions_of(repository: str) -> dict[str, str]:
    """Branches and tags of a model on the hub with their commits; offline, those that the local cache has.

    Raises:
        UserError: The hub cannot be reached, or knows no such model.
    """
    import httpx
    from huggingface_hub import HfApi, constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound, HfHubHTTPError, HFValidationError

    if constants.HF_HUB_OFFLINE:
        try:
            repositories = scan_cache_dir().repos
        except CacheNotFound:
            return {}
        return {
            name: revision.commit_hash
            for one in repositories
            if one.repo_id == repository and one.repo_type == "model"
            for revision in one.revisions
            for name in sorted(revision.refs)
        }
    try:
        refs = HfApi().list_repo_refs(repository)
    except HFValidationError as error:
        raise UserError(f"not a hub repository name: {repository!r}", fix="hf:ORG/NAME@REVISION") from error
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(
            f"revisions of {repository} could not be listed: {reason}", fix="check the name, the network and HF_HUB_OFFLINE"
        ) from error
    return {one.name: one.target_commit for one in (*refs.branches, *refs.tags)}


def series_are_apart(candidates: Sequence[tuple[int, Candidate]], where: str) -> None:
    """See that no two candidates have one step: they would be two series.

    Raises:
        SeveralSeriesError: Two have.
    """
    names: dict[int, str] = {}
    for step, candidate in candidates:
        if step in names:
            raise SeveralSeriesError(
                f"two checkpoints of step {step}: {names[step]} and {candidate.name}",
                where=where,
                fix="two series lie here: give each a pattern of its own",
            )
        names[step] = candidate.name
