"""Says in one sentence what is wrong with a command line: where, what may have been meant, and what to do."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NoReturn

import yaml
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from inpaint.errors import UserError, first_line
from inpaint.train.tree import Arguments, Tree, choices, keys, keys_like, package, tree_of
from inpaint.train.types import accepted, fits, like, parameter_hints

EXTRAS = {
    "hydra/sweeper": {"optuna": "optuna"},
    "hydra/sweeper/sampler": {"": "optuna"},
    "hydra/launcher": {"joblib": "joblib", "slurm": "slurm", "submitit": "slurm", "ray": "ray"},
}
"""By group, what an option's name begins with, and the extra that brings it."""
TWO_OPTIMISERS = {
    "gradient_clip_val": "clip_norm",
    "gradient_clip_algorithm": "clip_norm",
    "accumulate_grad_batches": "accumulate_batches",
}
"""What Lightning's trainer can do with a single optimiser only, and the setting of the model that does it here."""


COMPOSING = (HydraException, OmegaConfBaseException, ValueError)
"""What Hydra raises for overrides that it cannot compose; the last for `data=null`."""
NEEDLESS = ("logger", "callbacks")
"""The groups at the top that a run can do without."""


def explain(error: BaseException, words: Sequence[str]) -> str:
    """The sentence for what Hydra, OmegaConf, YAML or the system said about this command line.

    Args:
        error: raised while the configuration was composed or resolved.
        words: the arguments of the command. The first that cannot be composed with those before it is the culprit.
    """
    try:
        if isinstance(error, yaml.YAMLError):
            return _bad_yaml(error)
        if not isinstance(error, COMPOSING):
            return first_line(error)
        arguments = Arguments.of(words)
        with tree_of(arguments) as tree:
            if not isinstance(error, MissingConfigException) or str(error.missing_cfg_file) != tree.name:
                _find_the_culprit(arguments, tree)
            return _nobodys(error, arguments, tree)
    except UserError as told:
        return str(told)
    except yaml.YAMLError as unreadable:
        return _bad_yaml(unreadable)


def check_overrides(cfg: DictConfig, words: Iterable[str], chosen: Mapping[str, str]) -> None:
    """Refuses what Hydra takes without a word, and nobody means.

    That is: a value in the place of a whole file, and a new key at the top that is much like one that there is.

    Args:
        cfg: as composed.
        words: the overrides, without those of Hydra itself.
        chosen: the option of each group.

    Raises:
        UserError: says what is meant.
    """
    for word in words:
        key, _, value = word.partition("=")
        bare = key.lstrip("+~")
        _refuse_a_value_for_a_file(bare, value.strip("'\""), chosen)
        if key.startswith("+") and not key.startswith("++") and not re.search(r"[./@]", bare) and bare not in chosen:
            known = {name: True for name in keys(cfg) if name != bare} | dict.fromkeys(("experiment", "method"), True)
            if meant := keys_like(bare, known):
                there = OmegaConf.masked_copy(cfg, [str(each) for each in cfg if each != bare])
                plus = {each: "" if OmegaConf.select(there, each) is not None else "+" for each in meant}
                better = _or([f"{plus[each]}{each}={value}" for each in meant])
                raise UserError(
                    f"{word} adds a key that nothing reads: did you mean {better}? (To add it all the same, write "
                    f"+{word}.)"
                )


def check_trainer(trainer: DictConfig, model: DictConfig) -> None:
    """Refuses what Lightning's trainer cannot do where two optimisers take turns."""
    for name in TWO_OPTIMISERS:
        if trainer.get(name) not in (None, 1 if name == "accumulate_grad_batches" else None):
            _refuse_for_two_optimisers(f"trainer.{name}", name, model)


def _refuse_for_two_optimisers(said: str, name: str, model: DictConfig) -> NoReturn:
    instead = f"{'model.content' if 'content' in model else 'model'}.{TWO_OPTIMISERS[name]}"
    raise UserError(f"{said} cannot work here, where two optimisers take turns: set {instead} instead.")


def _find_the_culprit(arguments: Arguments, tree: Tree) -> None:
    """Adds one override after the other, and raises the sentence of the first that fails.

    Groups of files come first, and of these what is added: an experiment brings groups that others choose from.
    """
    good: list[str] = []
    cfg = tree.compose()
    overrides = [each for each in arguments.overrides if each.key_or_group != "hydra.searchpath"]
    for override in sorted(overrides, key=lambda each: (not tree.options(each.key_or_group), not each.is_add())):
        for single in _singles(override):
            try:
                after = tree.compose([*good, single])
            except COMPOSING as error:
                _tell(override, single, error, cfg, [*good], tree)
        good.append(single)
        cfg = after


def _singles(override: Override) -> list[str]:
    """The override; or, of a sweep, one for each of its values, the first twenty."""
    assert override.input_line is not None
    key = override.input_line.partition("=")[0]
    if override.is_discrete_sweep():
        return [f"{key}={value}" for value in islice(override.sweep_string_iterator(), 20)]
    value = override.value()
    return [f"{key}={value.start}" if isinstance(value, IntervalSweep) else override.input_line]


def _tell(override: Override, single: str, error: Exception, cfg: DictConfig, good: list[str], tree: Tree) -> NoReturn:
    """Raises the sentence for an override that cannot be composed with the good ones.

    Args:
        override: as it was given.
        single: the same, with one of the values that it sweeps over.
        error: what Hydra says.
        cfg: composed of the good ones alone.
        good: the overrides before it.
        tree: to look for what was meant.
    """
    group = override.key_or_group
    key, _, value = single.lstrip("+~").partition("=")
    chosen = choices(cfg)
    if options := tree.options(group):
        _tell_of_a_group(override, key, value, error, cfg, options, good, tree)
    if "/" in key or "@" in key:
        dotted = group.replace("/", ".")
        if OmegaConf.select(cfg, dotted, default=None) is not None:
            raise UserError(f"{single} is not about a group of files, but about a value: write {dotted}={value}.")
        raise UserError(
            f"There is no group {group}{_meant([f'{each}={value}' for each in like(group, tree.groups())])}"
        )
    known = keys(cfg, key.split(".")[0])
    if override.is_delete():
        raise UserError(f"There is no {key} to take away{_meant([f'~{each}' for each in keys_like(key, known)])}")
    if override.is_add() and known.get(key):
        raise UserError(f"{key} is there already: write {key}={value}, without the +.")
    if known.get(key):
        raise UserError(f"{single} is refused: {first_line(error.__cause__ or error)}.")
    _refuse_a_value_for_a_file(key, value, chosen)
    if re.fullmatch(r"[\w-]*", value) and (others := tree.options(slashed := key.replace(".", "/"))):
        if elsewhere := _elsewhere(slashed, chosen, good, tree, as_group=True):
            raise UserError(elsewhere)
        if value not in others:
            raise UserError(f"{single} is about a group of files: choose {_or([f'{slashed}={o}' for o in others])}.")
        raise UserError(f"{single} is about a group of files: write {slashed}={value}, with a slash.")
    name = key.rpartition(".")[2]
    if key in known:  # an argument that no file names
        if key == f"trainer.{name}" and name in TWO_OPTIMISERS:
            _refuse_for_two_optimisers(key, name, cfg.model)
        raise UserError(f"{key} is a setting that no file names yet: add it with a +: +{key}={value}.")
    loss = re.match(r"(.*\blosses)\.(\w+)(?=\.)", key)
    if loss and loss[1] in known and loss[0] not in known:
        losses = tree.options("model/loss")
        adds = [f"+model/loss@{loss[0]}={each}" for each in like(loss[2], losses) or losses]
        raise UserError(f"There is no {loss[0]} yet: add it as well, {_or(adds)}.")
    meant = keys_like(key, known)
    for other in meant:
        if (last := other.rpartition(".")[2]) in TWO_OPTIMISERS:
            said = f"There is no {key}; {other}"
            _refuse_for_two_optimisers(said, last, cfg.model)
    if meant:
        plus = {each: "" if known[each] else "+" for each in meant}
        raise UserError(f"There is no {key}{_meant([f'{plus[each]}{each}={value}' for each in meant])}")
    if elsewhere := _elsewhere(key, chosen, good, tree, as_group=False):
        raise UserError(elsewhere)
    place, *_ = key.rpartition(".")
    node = OmegaConf.select(cfg, place) if place else cfg
    if not isinstance(node, DictConfig):
        raise UserError(f"There is no {key}.")
    if takes := accepted(node.get("_target_")):
        raise UserError(f"There is no {key}: {place} takes {', '.join(sorted(takes))}.")
    inside = ", ".join(sorted(str(name) for name in node if not str(name).startswith("_") and name != "hydra"))
    if not place:
        raise UserError(f"There is no {key}: at the top there are {inside}.")
    raise UserError(f"There is no {key}{f': {place} has {inside}' if inside else ''}; +{key}={value} would add it.")


def _tell_of_a_group(
    override: Override,
    key: str,
    value: str,
    error: Exception,
    cfg: DictConfig,
    options: Sequence[str],
    good: list[str],
    tree: Tree,
) -> NoReturn:
    """The same, for an override whose key is a group that there is."""
    group, chosen = override.key_or_group, choices(cfg)
    places = [each for each in chosen if each.partition("@")[0] == group]
    meant = [key] if key in chosen else like(key, places) or places
    wanted = [name.strip("'\" ") for name in value.strip("[]").split(",")]
    if wanted == ["null"]:
        _refuse_null(key, meant, cfg, options)
    for name in wanted:
        if name not in (*options, "null") and not override.is_delete():
            _refuse_an_option(group, name, options, meant or [f"+{key}"])
    if isinstance(error, MissingConfigException):
        raise UserError(_in_a_file(error, f"{key}={value}"))
    if override.is_add() and places:
        raise UserError(
            f"{key} is chosen already ({places[0]}={chosen[places[0]]}): leave out the + of +{key}={value}."
        )
    if override.is_delete():
        raise UserError(f"There is no {key} to take away.")
    if key not in chosen and places:
        raise UserError(f"There is no {key}{_meant([f'{each}={value}' for each in meant])}")
    if elsewhere := _elsewhere(key, chosen, good, tree, as_group=True):
        raise UserError(elsewhere)
    if "No match in the defaults list" in str(error) or "Could not override" in str(error):
        raise UserError(f"Nothing is chosen of {key} so far, so a choice needs a + before it: +{key}={value}.")
    raise UserError(f"{key}={value} cannot be composed: {first_line(error)}.")


def _refuse_null(key: str, meant: Sequence[str], cfg: DictConfig, options: Sequence[str]) -> NoReturn:
    """Says how that which a group brings is left out, where it can be; `meant` are the places of it that there are."""
    if not meant:
        raise UserError(f"{key}=null chooses nothing: leave it out, or choose {_or(options)}.")
    if key in NEEDLESS:
        raise UserError(f"{key}=null chooses nothing: write ~{key}.")
    places = [package(each) for each in meant]
    for place in places:
        parent, _, name = place.rpartition(".")
        node = OmegaConf.select(cfg, parent) if parent else None
        target = node.get("_target_") if isinstance(node, DictConfig) else None
        if not fits(None, parameter_hints(target).get(name, str)):
            raise UserError(f"{key}=null chooses nothing, and a run needs it: choose {_or(options)}.")
    raise UserError(f"{key}=null chooses nothing: write {_or([f'{place}=null' for place in places])}.")


def _refuse_an_option(group: str, name: str, options: Sequence[str], keys: Sequence[str] = ()) -> NoReturn:
    """The sentence for an option that there is not; `keys` are those that it may be chosen by, the group if none."""
    if not name:
        raise UserError(f"{group}= has no value: choose {_or(options)}.")
    for beginning, extra in EXTRAS.get(group, {}).items():
        if name.startswith(beginning) and not like(name, options):
            raise UserError(
                f"{group}={name} needs a package that is not installed: pip install 'neural-patch-synthesis[{extra}]'."
            )
    meant = [f"{key}={each}" for key in keys or [group] for each in like(name, options)]
    raise UserError(_no_such(f"{group}={name}", meant, options))


def _refuse_a_value_for_a_file(key: str, value: str, chosen: Mapping[str, str]) -> None:
    """Refuses a word in the place where a chosen file stands: `model.preset=fast`."""
    for group in chosen:
        is_one = "." in key and package(group) == key and not group.startswith("hydra")
        if is_one and value != "null" and re.fullmatch(r"[\w-]+", value):
            said, options = f"{key}={value} puts a word where the settings of a file stand", Tree.options(group)
            if value not in options:
                raise UserError(f"{said}: choose {_or([f'{group}={option}' for option in options])}.")
            raise UserError(f"{said}: write {group}={value}.")


def _elsewhere(key: str, chosen: Mapping[str, str], good: list[str], tree: Tree, as_group: bool) -> str | None:
    """Says which other choice of the group at the beginning of a key would have it: of `model` for `model.preset.x`."""
    top = re.split(r"[./]", key)[0]
    if top not in chosen:
        return None
    for option in tree.options(top):
        kept = [each for each in good if not each.startswith(f"{top}=")]
        try:
            cfg = tree.compose([*kept, f"{top}={option}"])
        except (HydraException, OmegaConfBaseException):
            continue
        if key in choices(cfg) if as_group else key in keys(cfg):
            return f"{top}={chosen[top]} has no {key}; {top}={option} has."
    return None


def _nobodys(error: BaseException, arguments: Arguments, tree: Tree) -> str:
    """The sentence for an error of which no single override is the cause."""
    if isinstance(error, MissingConfigException):
        if str(error.missing_cfg_file) == tree.name:
            return (
                f"There is no configuration {tree.name}: leave --config-name out, or give its folder as --config-dir."
            )
        return _in_a_file(error, "the configuration")
    if "Ambiguous value" in str(error):
        swept = next(each for each in arguments.overrides if each.is_sweep_override())
        key, _, value = str(swept.input_line).partition("=")
        return f"{swept.input_line} is several values: add -m for a run with each, or write a list as {key}=[{value}]."
    if isinstance(error, InterpolationKeyError):
        name = str(error).split("'")[1]
        known = keys(tree.compose())
        by = next(
            (str(each.input_line) for each in arguments.overrides if name in str(each.input_line)), error.full_key
        )
        meant = [f"${{{each}}}" for each in keys_like(name, {each: True for each in known if known[each]})]
        return f"{by} refers to ${{{name}}}, and there is no such key{_meant(meant)}"
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} has no value yet: give it one, {error.full_key}=VALUE."
    if isinstance(error, InterpolationResolutionError):
        by = next((each.input_line for each in arguments.overrides if "${" in str(each.input_line)), error.full_key)
        return f"{by} cannot be resolved: {re.sub('^.*resolving interpolation: ', '', first_line(error))}."
    where = f"{error.full_key}: " if isinstance(error, OmegaConfBaseException) and error.full_key else ""
    return f"{where}{first_line(error)}"


def _in_a_file(error: MissingConfigException, said: str) -> str:
    """The sentence for a file of the configuration that names another one which is missing."""
    missing = str(error.missing_cfg_file)
    group, _, name = missing.rpartition("/")
    match = re.match(r"In '(\w+/.*?)'", str(error))
    where = match[1] if match else said  # what is overridden in a file, Hydra takes for the root's
    options = [each for each in error.options or [] if not each.startswith("_")]
    if group in EXTRAS and name not in options:
        try:
            _refuse_an_option(group, name, options)
        except UserError as told:
            return str(told)
    return f"In {where}: {_no_such(missing, [f'{group}/{each}' for each in like(name, options)], options)}"


def _bad_yaml(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{mark.name}, line {mark.line + 1}" if mark else "A file of the configuration"
    return f"{where}, cannot be read as YAML: {getattr(error, 'problem', None) or first_line(error)}."


def _no_such(said: str, meant: Sequence[str], options: Sequence[str]) -> str:
    there = f"there are {', '.join(options)}" if options else "nor anything like it"
    return (
        f"There is no {said}: did you mean {_or(meant)}? (Else {there}.)" if meant else f"There is no {said}: {there}."
    )


def _meant(names: Sequence[str]) -> str:
    return f": did you mean {_or(names)}?" if names else "."


def _or(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
