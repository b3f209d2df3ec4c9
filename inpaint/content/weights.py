"""Saves and loads files of a content network's weights, each with a record of which network they belong to.

There are two kinds of them, a training's checkpoint and a .safetensors file. Either holds the tensors `generator.*` and
`mean_colour`, and under `architecture` (in a .safetensors file as JSON in its metadata) the networks as plain data::

    {"generator": {"class": "ContextEncoder", "filters": 64, ...}, "discriminator": {"class": "Discriminator", ...}}

No file can name code to run: only tensors and plain values are read, and the classes that a file can have built are
those of `GENERATORS`. A network of another class is recorded by its class with its module (`architecture_of`): its
weights go into one that the user built.
"""

import json
import logging
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from inpaint.content.networks import Architecture, ContextEncoder, Discriminator
from inpaint.errors import UserError, first_line
from inpaint.files import atomic, read_weights

log = logging.getLogger(__name__)
STARTER = Path(str(files("inpaint.assets") / "starter.safetensors"))  # the content network that ships
GENERATORS = {"ContextEncoder": ContextEncoder}  # the classes that a file can name


def architecture_of(network: nn.Module) -> Architecture:
    """A network as plain data: its class, and what its own `architecture` says, if that is a mapping of plain values.

    The classes of this package stand by their bare names, all others with their modules: no file has the package's
    class built in the place of a subclass, or of another class of the same name.
    """
    own, kind = getattr(network, "architecture", None), type(network)
    record = dict(own) if isinstance(own, Mapping) else {}
    if kind in (*GENERATORS.values(), Discriminator):
        return record
    return (record if _plain(record) else {}) | {"class": f"{kind.__module__}.{kind.__qualname__}"}


def _plain(value: Any) -> bool:
    """Whether a value is one that every file can hold and give back: a subclass, such as NumPy's numbers, is not."""
    if type(value) is dict:
        return all(type(key) is str and _plain(entry) for key, entry in value.items())
    return all(map(_plain, value)) if type(value) is list else type(value) in (str, int, float, bool, type(None))


def file_of(weights: str | Path) -> Path:
    """The file that a setting names: "starter" is the network that ships, anything else a path."""
    return STARTER if str(weights) == "starter" else Path(weights)


class StoredNetwork(NamedTuple):
    """What a file holds of a content network."""

    architecture: Architecture
    tensors: dict[str, Tensor]  # by the generator's own names
    mean_colour: Float[Tensor, "3 1 1"]  # that the generator is shown in a hole, in [0, 1]


def read_network(path: Path) -> StoredNetwork:
    """Reads the content network that a checkpoint or a .safetensors file holds.

    Raises:
        UserError: the file cannot be read, holds no content network, or does not say which.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the path of a content network's checkpoint.")
    content = read_weights(path)
    if path.suffix.lower() == ".safetensors":
        with safe_open(path, "pt") as file:
            record = (file.metadata() or {}).get("architecture", "null")
        try:
            content = {"state_dict": content, "architecture": json.loads(record)}
        except (ValueError, RecursionError):
            raise UserError(f"{path} cannot be read: the record of its network's architecture is no JSON.") from None
    state = content.get("state_dict") if isinstance(content, dict) else None
    state = {k: v for k, v in state.items() if isinstance(v, Tensor)} if isinstance(state, dict) else {}
    tensors = {k.removeprefix("generator."): v for k, v in state.items() if str(k).startswith("generator.")}
    if not tensors or "mean_colour" not in state or state["mean_colour"].numel() != 3:
        raise UserError(f"{path} holds no content network: give a checkpoint written by model=content.")
    architecture = _records(content.get("architecture")).get("generator")
    if architecture is None:
        raise UserError(
            f"{path} does not say which network it holds, for an earlier version of this program wrote it: resume its "
            "training (ckpt_path) with its own settings for one more epoch, and give the checkpoint that this writes."
        )
    return StoredNetwork(architecture, tensors, state["mean_colour"].float().reshape(3, 1, 1))


def _records(stored: Any) -> dict[str, Architecture]:
    """The architectures, by network, in what stands under `architecture`, whatever that is."""
    return {k: v for k, v in stored.items() if isinstance(v, dict)} if isinstance(stored, dict) else {}


def save_network(network: StoredNetwork, path: Path, notes: Mapping[str, str] = MappingProxyType({})) -> None:
    """Writes a content network as a .safetensors file, with notes in its metadata, or raises a UserError."""
    tensors = {f"generator.{name}": value for name, value in network.tensors.items()}
    tensors["mean_colour"] = network.mean_colour
    record = json.dumps({"generator": network.architecture})
    with atomic(path) as beside:
        # copies, for the format takes no two names of the same memory, as weights have that a network uses twice
        apart = {k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}
        save_file(apart, beside, {**notes, "architecture": record})


def load_network(path: Path) -> tuple[ContextEncoder, Float[Tensor, "3 1 1"]]:
    """Builds the generator that a file holds, exactly as it was trained, in eval mode and without gradients.

    Also returns the colour that it wants holes in.

    Raises:
        UserError: as `read_network`; or the class is unknown, its arguments are wrong, or tensors do not fit them.
    """
    stored = read_network(path)
    arguments = dict(stored.architecture)
    name = arguments.pop("class", None)
    if name not in [*GENERATORS]:  # a list, for what the file says may have no hash
        raise UserError(
            f"{path} holds a network of the class {name!r}, and no file may name code to run: in a training or a test "
            "choose its own model/generator; for photos export it: python -m inpaint.export --config RUN/config.yaml."
        )
    try:
        with torch.device("meta"):  # without memory, however large the file says that it is
            generator = GENERATORS[name](**arguments)  # type: ignore[arg-type]  # wrong ones are refused
    except Exception as error:  # wrong arguments make PyTorch raise almost anything
        raise UserError(f"{path} holds a {name} that cannot be built: {first_line(error).rstrip('.')}.") from None
    own = generator.state_dict()
    if different := _differences(own, stored.tensors):
        raise UserError(f"{path} is damaged, because its tensors are not those of its network: {different[0]}.")
    tensors = {k: v.to(own[k].dtype, copy=True) for k, v in stored.tensors.items()}
    generator.load_state_dict(tensors, assign=True)
    generator.to(memory_format=torch.channels_last)  # as it was trained, so that it predicts the same to the last bit
    return generator.eval().requires_grad_(False), stored.mean_colour


def stored_generator(weights: str | Path | None) -> ContextEncoder:
    """Builds the generator that a file holds, or the one that ships ("starter"), for testing or further training.

    This is `model/generator=stored`: nobody types the widths of a network that is there.

    Raises:
        UserError: no file is given; as `load_network`.
    """
    if weights is None:
        raise UserError(
            "model/generator=stored builds the network that a file holds: say which by model.weights=FILE "
            "(model.content.weights with the refinement), or choose another generator."
        )
    generator, _ = load_network(file_of(weights))
    return generator.train().requires_grad_(True)


def load_weights(generator: nn.Module, path: Path) -> Float[Tensor, "3 1 1"]:
    """Puts the weights that a file holds into a generator; returns the colour that it wants holes in.

    A perceptual generator may start from one that is not: what joins VGG's features to its own adds nothing at first.

    Raises:
        UserError: as `read_network`; or the file holds another architecture: the generator is then unchanged.
    """
    stored = read_network(path)
    wanted, own = architecture_of(generator), generator.state_dict()
    if wanted.get("perceptual") is True and stored.architecture.get("perceptual") is False:
        wanted["perceptual"] = False
        own = {name: value for name, value in own.items() if not name.startswith("joins.")}
    _require_same(wanted, stored.architecture, str(path))
    _require_same(own, stored.tensors, str(path))
    generator.load_state_dict(stored.tensors, strict=False)
    return stored.mean_colour


def check_resumed(module: nn.Module, architecture: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> None:
    """Raises a UserError if a training is resumed from a checkpoint of other networks than those of `architecture`.

    A checkpoint of an earlier version does not say which it holds: it is taken at its tensors' shapes, with a warning,
    so that a training begun there can be finished. So is a single network that the checkpoint does not describe.
    """
    there = _records(checkpoint.get("architecture"))
    own, found = (
        {f"{network}.{name}": value for network, record in records.items() for name, value in record.items()}
        for records in ({k: v for k, v in _records(architecture).items() if k in there}, there)
    )
    if found:
        _require_same(own, found, "The checkpoint")
    else:
        log.warning(
            "The checkpoint does not say which networks it holds, for an earlier version of this program wrote it: "
            "they are taken to be those that are configured here, with their activations."
        )
    _require_same(module.state_dict(), checkpoint["state_dict"], "The checkpoint")


def _require_same(own: Mapping[str, Any], found: Mapping[str, Any], source: str) -> None:
    """Raises a UserError if `source` holds another network than the one configured."""
    if different := _differences(own, found):
        raise UserError(  # of tensors there may be hundreds
            f"{source} holds another content network: {', '.join(different[:10])}; set the model's options to those "
            "of its training."
        )


def _differences(own: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Says where arguments, or tensors by their shapes, of a file (`found`) and of the network here differ."""
    here, there = ({name: _in_words(value) for name, value in entries.items()} for entries in (own, found))
    return [
        f"{name} is {there.get(name, 'missing')} there and {here.get(name, 'missing')} here"
        for name in here | there
        if here.get(name) != there.get(name)
    ]


def _in_words(value: Any) -> str:
    """An argument as it is written in Python; of a tensor the shape, as in "4 x 3 x 4 x 4"."""
    return " x ".join(map(str, value.shape)) or "a number" if isinstance(value, Tensor) else repr(value)
