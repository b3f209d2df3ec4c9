"""Where a result comes from: the composed config, the versions that ran, the hashes of the weights used."""

import hashlib
import json
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from inpaint.errors import UserError
from inpaint.files import atomic

PACKAGE = "neural-patch-synthesis"
DEPENDENCIES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "hydra-core",
    "omegaconf",
    "pyyaml",
    "wandb",
    "kornia",
    "torchmetrics",
    "jaxtyping",
    "safetensors",
    "pillow",
    "numpy",
    "rich",
    "typer",
    "scipy",
    "simplejpeg",
    "platformdirs",
    "scikit-image",
)


def versions() -> dict[str, str]:
    """Versions of Python, the platform, this package and every core dependency, or "not installed"."""

    def version(name: str) -> str:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:  # this package itself, when it runs from a bare checkout
            return "not installed"

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: version(name) for name in (PACKAGE, *DEPENDENCIES)},
    }


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None


def peak_memory() -> int | None:
    """The most main memory that this process held so far, in bytes; None where the system does not say (Windows)."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux hands ru_maxrss on to started programs: a small one would show what its parent held
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def record(folder: str | Path, config_yaml: str, weights: Mapping[str, Path | str]) -> None:
    """Writes `config.yaml` and `provenance.json` into `folder`.

    The latter is `{"versions": {...}, "weights": {name: {"file", "sha256"}}}`.

    Args:
        folder: made if it is missing.
        config_yaml: the composed config.
        weights: by name, the file that they were read from (a Path), or their SHA-256 where none is (a str).

    Raises:
        UserError: a file of weights cannot be read; nothing is written then.
    """
    hashes = {
        name: {"file": str(source), "sha256": sha256(source)} if isinstance(source, Path) else {"sha256": source}
        for name, source in weights.items()
    }
    provenance = json.dumps({"versions": versions(), "weights": hashes}, indent=2) + "\n"
    for name, text in (("config.yaml", config_yaml), ("provenance.json", provenance)):
        with atomic(Path(folder) / name) as path:
            path.write_text(text, encoding="utf-8")
