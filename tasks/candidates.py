"""Where a series' checkpoints may lie: folders on this machine, prefixes in a store, revisions of a model on the hub."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
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
from valuedrift.storage.location import Found, Location
from valuedrift.watching.checkpoints import has_number, step_of
from valuedrift.watching.handing import HandOver
from valuedrift.watching.held import Held, state_of

_HUB = "hf:"
CONFIGS = ("config.json", "adapter_config.json")
"""Files of which a checkpoint has one."""
_WILD = "*?["
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".distcp", ".gguf")
_ASIDE = (".", "_", "tmp-")
"""Beginnings of the names of folders that are none of a training's checkpoints, whatever number is in them."""
_OF_SHARDS = re.compile(r"(global_step|pytorch_model_\w*|optimizer_)\d+")
"""Folders that DeepSpeed and FSDP write into a checkpoint."""


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

    @property
    def has_files(self) -> bool:
        """Whether there are files in it that a checkpoint has; a folder of a log or of an evaluation has none."""
        return self.fixed or any(name in CONFIGS or name.endswith(_WEIGHTS) for name in self.times)


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
    if place.startswith(_HUB):
        return candidates_at(place)
    if is_address(place):
        return list(_in_store(place, alone=True))
    folder = Path(place)
    return list(_folder(folder, folder.name)) if folder.is_dir() else []


def lies_at(name: str, place: str) -> bool:
    """Whether a checkpoint of some name is one of a place, though it may be gone from there."""
    if place.startswith(_HUB):
        return name.partition("@")[0] == place.partition("@")[0]
    if is_address(place):
        head = "/".join(takewhile(lambda part: not _is_wild(part), place.rstrip("/").split("/")))
        return name == head or name.startswith(f"{head}/")
    (folder, wild), own = _opened(place), Path(name).absolute()
    return own.is_relative_to(folder) and (not wild or fnmatch(str(own.relative_to(folder)), wild))


def is_marked(place: str, marker: str) -> bool:
    """Whether a file of some name lies beside the checkpoints of a place; revisions on the hub are what they are."""
    if place.startswith(_HUB):
        return True
    if not is_address(place):
        head = _opened(place)[0]
        return any((folder / marker).exists() for folder in ((head, head.parent) if _is_one(head) else (head,)))
    head_address = "/".join(takewhile(lambda part: not _is_wild(part), place.rstrip("/").split("/")))
    return (Location.parse(head_address) / marker).exists()


def hand_overs_at(place: str) -> list[HandOver]:
    """The folders in which trainings may hand over the checkpoints of a place; those on this machine."""
    if place.startswith(_HUB) or is_address(place):
        return []
    head, wild = _opened(place)
    if not wild:
        return [HandOver(head.parent if _is_one(head) else head)]
    above = wild.rpartition("/")[0]
    return [HandOver(path) for path in (sorted(head.glob(above)) if above else [head]) if path.is_dir()]


def handed_at(place: str) -> list[Candidate]:
    """Checkpoints of a place as trainings handed them over, under the names that they have there; of each step the latest."""
    if place.startswith(_HUB) or is_address(place):
        return []
    head, wild = _opened(place)
    latest: dict[str, Candidate] = {}
    for hand_over in hand_overs_at(place):
        for held in hand_over.handed():
            path = hand_over.output / held.name
            if path.is_relative_to(head) and fnmatch(path.name, wild.rpartition("/")[2] or "*"):
                latest[str(path)] = _handed(held, path, _differing(path, head, wild))
    return list(latest.values())


def _handed(held: Held, path: Path, label: str) -> Candidate:
    return Candidate(str(path), label, held.state, {}, lambda: held.folder, fixed=True)


def is_one_checkpoint(place: str) -> bool:
    """Whether a place is a checkpoint's own folder, named after its step, so that no others will be found there."""
    return not place.startswith(_HUB) and not is_address(place) and _is_one(Path(place))


def _is_one(folder: Path) -> bool:
    return step_of(folder.name) is not None and _is_model(folder) and not any(_is_model(path) for path in _inside(folder))


def _is_model(folder: Path) -> bool:
    return any((folder / name).exists() for name in CONFIGS)


def _inside(folder: Path) -> list[Path]:
    """The folders in it that have a number in their name."""
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(_ASIDE) and has_number(path.name) and path.is_dir()]


def _folders(place: str) -> Iterator[Candidate]:
    """Folders of this machine: what the pattern means, else those in the folder that have a number, else the folder itself."""
    head, wild = _opened(place)
    folder = Path(place)
    if wild:
        for path in sorted(head.glob(wild)):
            if path.is_dir() and not path.name.startswith(_ASIDE):
                yield from _folder(path, _differing(path, head, wild))
    elif folder.is_dir():
        inside = _inside(folder)
        if _is_one(folder) or (_is_model(folder) and all(_OF_SHARDS.fullmatch(path.name) for path in inside)):
            yield from _folder(folder, folder.name)
        else:
            yield from chain.from_iterable(_folder(path, path.name) for path in inside)


def _opened(place: str) -> tuple[Path, str]:
    """The folder before the first part of a place that leaves something open, and the rest. What exists as it is written is meant as it is written."""
    first, *parts = Path(place).absolute().parts
    head = Path(first)
    for at, part in enumerate(parts):
        if _is_wild(part) and not (head / part).exists():
            return head, "/".join(parts[at:])
        head /= part
    return head, ""


def _is_wild(part: str) -> bool:
    return any(letter in part for letter in _WILD)


def _folder(folder: Path, label: str) -> Iterator[Candidate]:
    """The candidate that a folder is; none where the folder is gone since it was listed."""
    try:
        state, times = state_of(folder)
    except OSError as error:  # whoever looks into it is told the same
        state, times = f"not readable: {error.strerror}", {}
    if times or folder.is_dir():
        yield Candidate(str(folder), label, state, times, lambda: folder, again=lambda: state_of(folder)[0])


def _differing(path: Path, head: Path, wild: str) -> str:
    """The parts of a path where the pattern left something open: what tells one checkpoint from the next."""
    rest = path.relative_to(head).parts
    return "/".join(part for part, wanted in zip(rest, wild.split("/"), strict=False) if _is_wild(wanted)) or path.name


def _in_store(place: str, *, alone: bool = False) -> Iterator[Candidate]:
    """Prefixes of a store, by one listing of what lies below the part of the address before the first wild part; alone: the address itself is meant."""
    head = "/".join(takewhile(lambda part: not _is_wild(part), place.rstrip("/").split("/")))
    wild = place.rstrip("/")[len(head) :].strip("/")
    root = Location.parse(head)
    below = defaultdict(list)
    depth = wild.count("/") + 1 if wild else 1
    there = [(found.location.relative_to(root).split("/"), found) for found in root.listing()]
    for parts, found in there:
        if len(parts) > depth:
            below["/".join(parts[:depth])].append(found)
    models = {"/".join(parts[:-1]) for parts, _ in there if parts[-1] in CONFIGS}
    if not wild and "" in models and (alone or not any(step_of(name) is not None for name in models if name in below)):
        yield _prefix(head, root.name, [found for _, found in there])
        return
    for name, objects in sorted(below.items()):
        if name.rpartition("/")[2].startswith(_ASIDE):
            continue
        if fnmatch(name, wild) if wild else step_of(name) is not None:
            yield _prefix(f"{head}/{name}", name, objects)


def _prefix(address: str, label: str, objects: list[Found]) -> Candidate:
    """The candidate that the objects below an address are."""
    state = fingerprint(sorted([one.location.uri, one.size, one.tag] for one in objects))
    times = {one.location.name: int(one.modified.timestamp() * 1e9) for one in objects}
    return Candidate(address, label, state, times, partial(fetched, address, folder=True))


def _revisions(reference: str) -> Iterator[Candidate]:
    """Branches and tags of a model on the hub that a pattern means, or the one revision."""
    repository, _, pattern = reference.partition("@")
    if not _is_wild(pattern):
        yield _revision(repository, pattern, pattern)
        return
    known = revisions_of(repository)
    if not known:
        raise UserError(
            f"no revisions of {repository} are known", where=f"hf:{reference}", fix="check the name, the network and HF_HUB_OFFLINE"
        )
    for name, commit in known.items():
        if fnmatch(name, pattern) and (not name.startswith(_OTHERS) or pattern.startswith(_OTHERS)):
            yield _revision(repository, name, commit)


_OTHERS = "refs/"
"""Begins the names of what others propose for a model."""


def _revision(repository: str, name: str, commit: str) -> Candidate:
    reference = f"{_HUB}{repository}@{name}" if name else f"{_HUB}{repository}"
    return Candidate(reference, name, commit, {}, lambda: resolve_model(reference), fixed=True)


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
