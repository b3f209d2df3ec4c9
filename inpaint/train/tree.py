"""The tree that a configuration is composed of: groups of files and their options, keys, and what is like a name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from inpaint.errors import UserError
from inpaint.files import CONF
from inpaint.train.types import accepted, like


class Arguments(NamedTuple):
    """What a command line says, as Hydra reads it."""

    overrides: list[Override]
    folders: list[Path]  # that configurations are taken from besides
    config_name: str | None

    @classmethod
    def of(cls, words: Sequence[str]) -> "Arguments":
        """Reads the arguments of the command.

        Raises:
            UserError: one is no option of the command, or no KEY=VALUE that can be read.
        """
        options, unknown = get_args_parser().parse_known_args([*words])
        if dashed := next((word for word in unknown if word.startswith("-")), None):
            bare = dashed.lstrip("-")
            hint = f"write {bare}, without the dashes" if "=" in bare else "--help lists the options"
            raise UserError(f"There is no option {dashed.partition('=')[0]}: {hint}.")
        overrides = [read(word) for word in options.overrides]
        folders = [Path(options.config_dir)] if options.config_dir else []
        for override in overrides:
            if override.key_or_group == "hydra.searchpath" and isinstance(value := override.value(), list):
                places = [str(place) for place in value]
                folders += [Path(place.removeprefix("file://")) for place in places if "pkg://" not in place]
        if missing := next((folder for folder in folders if not folder.is_dir()), None):
            raise UserError(f"There is no folder {missing} to take configurations from: give --config-dir one that is.")
        return cls(overrides, folders, options.config_name)


def read(word: str) -> Override:
    """Reads one KEY=VALUE.

    Raises:
        UserError: it cannot be read as one; the sentence says what is wrong with it.
    """
    key, equals, value = word.partition("=")
    if not equals and not word.startswith("~"):
        meant = f"write {key.replace(':', '=', 1)}" if ":" in key else f"write {key}=VALUE"
        raise UserError(f"{word} sets nothing: {meant}.")
    if not key.strip("+~ "):
        raise UserError(f"{word} has nothing before its =: write KEY=VALUE.")
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        pass
    if key != key.strip():
        reason = "no space may stand before the ="
    elif value.count("'") % 2 or value.count('"') % 2:
        reason = "a quotation mark is not closed"
    elif any(value.count(opening) > value.count(closing) for opening, closing in ("[]", "{}", "()")):
        reason = "a bracket is not closed"
    elif any(value.count(opening) < value.count(closing) for opening, closing in ("[]", "{}", "()")):
        reason = "a bracket is closed that was not opened"
    else:
        reason = f"""put the value in quotes, and all of it for the shell: "{key}='{value}'\""""
    raise UserError(f"{word} cannot be read: {reason}.")


class Tree:
    """The files that Hydra finds, and a configuration composed of them."""

    def __init__(self, name: str) -> None:
        self.name = name

    def compose(self, overrides: Iterable[str] = ()) -> DictConfig:
        """Composes the root with these overrides; Hydra's own part is in it, at `hydra`."""
        return compose(self.name, [*overrides], return_hydra_config=True)

    @staticmethod
    def options(group: str) -> list[str]:
        """The files of a group, such as "model/preset", without its place; none if there is no such group."""
        group, _, _ = group.partition("@")
        found = GlobalHydra.instance().config_loader().get_group_options(group, ObjectType.CONFIG)
        return [name for name in found if not name.startswith("_")]

    def groups(self, parent: str = "") -> Iterator[str]:
        """All groups below one, such as "model" and "model/preset"."""
        for name in GlobalHydra.instance().config_loader().get_group_options(parent, ObjectType.GROUP):
            group = f"{parent}/{name}" if parent else name
            yield group
            yield from self.groups(group)


@contextmanager
def tree_of(arguments: Arguments) -> Iterator[Tree]:
    """The tree that these arguments are about; within `hydra.main` it takes the place of what that has composed."""
    version.setbase("1.3")
    path = create_config_search_path(str(CONF))
    for folder in arguments.folders:
        path.prepend("command-line", f"file://{folder.resolve()}", SearchPathQuery(provider="schema"))  # after our own
    GlobalHydra.instance().clear()
    Hydra.create_main_hydra2("train", path)
    try:
        yield Tree(arguments.config_name or "train")
    finally:
        GlobalHydra.instance().clear()


def choices(cfg: DictConfig) -> dict[str, str]:
    """What was chosen of each group, by the group as it is written: `{"hole@data.training_hole": "mixed"}`."""
    return {str(group): str(option) for group, option in cfg.hydra.runtime.choices.items()}


def package(group: str) -> str:
    """The key under which the chosen file of a group stands, where that is not said in the file itself."""
    name, at, place = group.partition("@")
    return place if at else name.replace("/", ".")


def keys(cfg: DictConfig, part: str = "") -> dict[str, bool]:
    """Every dotted key of a configuration, but Hydra's own; and those that its `_target_`s take besides, as False."""
    plain = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(plain, dict)
    return _keys({str(key): value for key, value in plain.items() if key != "hydra" or part == "hydra"}, "")


def _keys(node: Mapping[str, Any], before: str) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for key, value in node.items():
        found[f"{before}{key}"] = True
        if isinstance(value, dict):
            found |= _keys(value, f"{before}{key}.")
    for name in sorted(accepted(node.get("_target_")) or ()):
        found.setdefault(f"{before}{name}", False)
    return found


def keys_like(key: str, known: Mapping[str, bool]) -> list[str]:
    """The keys that may have been meant by one that does not exist, the likeliest ones alone.

    Those with more levels in between or before (`lambda_adv` for `model.lambda_adv`); else those of its own level;
    else, unless what it stands in is there, deep in the tree, those with a typing mistake at another level, or whose
    last part is like its last.
    """
    parts = key.split(".")
    real = [other for other in known if known[other]]
    parent, _, last = key.rpartition(".")
    level = {other.rpartition(".")[2]: other for other in known if other.rpartition(".")[0] == parent}
    ends: dict[str, list[str]] = {}
    for other in known:
        ends.setdefault(other.rpartition(".")[2], []).append(other)
    found = [each for each in real if each != key and each.endswith(f".{last}") and _within(parts, each.split("."))]
    found = found or [level[name] for name in like(last, level)]
    if not found and not ("." in parent and parent in known):
        found = get_close_matches(key, real, n=1, cutoff=0.8)
        found = found or [other for name in like(last, ends)[:1] for other in ends[name]]
    return found[:3]


def _within(parts: Sequence[str], others: Sequence[str]) -> bool:
    """Whether these parts are all among the others, in their order."""
    rest = iter(others)
    return all(part in rest for part in parts)
