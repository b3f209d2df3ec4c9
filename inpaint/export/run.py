"""One export, from a checkpoint to what is said at its end."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from inpaint.content.weights import file_of, load_network, load_weights, read_network
from inpaint.errors import UserError, first_line
from inpaint.export.network import GIVES, TAKES, export, export_weights, kind_of
from inpaint.runs.provenance import sha256


def run(checkpoint: str, out: Path, config: Path | None, overwrite: bool) -> str:
    """Exports a checkpoint's network, and returns what is said about it.

    Args:
        checkpoint: a file, or "starter".
        out: what to write.
        config: for a generator that no file can name, see `generator_of`.
        overwrite: whether `out` may be replaced.

    Raises:
        UserError: as `export` and what reads the files; or `out` exists already.
    """
    kind, source = kind_of(out), file_of(checkpoint).expanduser()
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists already: give another name, or --overwrite.")
    if kind == ".safetensors":
        network = read_network(source)
        difference = export_weights(network, out, _origin(source))
        said = [f"largest difference to the weights of {source.name}: {difference:.1e}"]
    else:
        difference = export(*_network(source, config), out, _origin(source))
        said = [
            f"takes {TAKES}",
            f"gives {GIVES}",
            f"largest difference to the network of {source.name}: {difference:.1e} of 1",
        ]
    return "\n".join([f"{out}, {out.stat().st_size / 1e6:.1f} MB", *said])


def _network(source: Path, config: Path | None) -> tuple[nn.Module, Tensor]:
    """The generator and its mean colour."""
    if config is None:
        return load_network(source)
    generator = generator_of(config)
    return generator, load_weights(generator, source)


def _origin(source: Path) -> dict[str, str]:
    """Notes of which file was exported."""
    return {"source": source.name, "source_sha256": sha256(source)}


def generator_of(config: Path) -> nn.Module:
    """Builds the generator that the config.yaml of a training names, and runs the code that it names for this.

    Raises:
        UserError: the file cannot be read, holds no generator, or one that cannot be built.
    """
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    if not config.is_file():
        raise UserError(f"{config} does not exist: give the config.yaml of the run that trained the network.")
    try:
        cfg: Any = OmegaConf.load(config)
        model = cfg.model
        node = model.get("content", model).generator
        generator = instantiate(node)
    except UserError:
        raise
    except Exception as error:  # no YAML, another tree, or whatever a foreign class raises
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        raise UserError(f"No generator can be built of {config}: {first_line(cause).rstrip('.')}.") from None
    if not isinstance(generator, nn.Module):
        raise UserError(f"{config} names no generator at model.generator: give the config.yaml of a training's run.")
    return generator
