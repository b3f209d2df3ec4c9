"""The Weights & Biases logger: online with a key, offline without one."""

import inspect
import netrc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from inpaint.errors import UserError, first_line
from inpaint.files import atomic

BATCH, PICTURE, ENERGY = "batch", "picture", "energy/"
"""The x-axis of everything, and that of what is logged picture by picture, whose names begin so."""
RUN_ID = "wandb/run_id"
"""The file in the results folder that remembers which W&B run it is."""
TABLES = ("metrics.csv", "metrics.json", "config.yaml", "provenance.json")
"""The results' files that go with every run."""


class Logger(WandbLogger):
    """Lightning's logger, with one x-axis; W&B stops no run: it goes offline if it cannot start, off if not even so.

    Lightning keeps what it will start W&B with, and what it started, in `_wandb_init` and `_experiment` alone.

    Args:
        save_dir: the folder that W&B's own is made in.
        with_checkpoints: whether the checkpoints are sent at the end.
        init: for `wandb.init`.
    """

    def __init__(self, save_dir: Path, with_checkpoints: bool, **init: Any) -> None:
        super().__init__(save_dir=str(save_dir), **init)
        self.folder, self.with_checkpoints = save_dir, with_checkpoints
        self.defined: set[str] = set()  # the names that have their axis
        self._wandb_init |= {"resume": init.get("resume")}
        self._wandb_init.pop("anonymous")  # W&B warns of this setting, which Lightning always gives

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        while self._experiment is None:
            try:
                self._experiment = self._start()
            except Exception as error:  # whatever it meets
                mode = self._wandb_init.get("mode")
                if mode == "disabled":  # there nothing is reached or written: what remains are its settings
                    raise UserError(f"W&B refuses what logger.wandb says: {first_line(error)}") from None
                self._wandb_init["mode"] = "disabled" if mode == "offline" else "offline"
                how = "without it" if mode == "offline" else "offline"
                _say(f"W&B could not start ({first_line(error)}): this run is logged {how}.")
        return self._experiment

    def _start(self) -> Any:
        import wandb

        offline = self._wandb_init.get("mode") == "offline"
        run = wandb.init(**self._wandb_init | ({"resume": None} if offline else {}))  # W&B warns that it is for online
        if not run.disabled:
            with (
                suppress(UserError),
                atomic(self.folder / RUN_ID) as path,
            ):  # without it a resumed run is one of its own
                path.write_text(run.id + "\n", encoding="utf-8")
        return run

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        by_picture = {name: value for name, value in metrics.items() if name.startswith(ENERGY)}
        by_batch = {name: value for name, value in metrics.items() if name not in by_picture}
        with _staging_in(self.folder):
            for axis, values in ((BATCH, by_batch), (PICTURE, by_picture)):
                for name in values.keys() - self.defined:  # not by patterns: which one holds of several is not said
                    self.experiment.define_metric(name, step_metric=axis)
                self.defined |= values.keys()
                if values:
                    self.experiment.log(values if step is None else values | {axis: step})

    @rank_zero_only
    def log_files(self, name: str, kind: str, files: Sequence[Path], aliases: Sequence[str] = ()) -> None:
        """Sends those of the files that are there as an artifact, `<name>-<the run's id>`, of this kind."""
        import wandb

        files = [path for path in files if path.is_file()]
        if not files or self.experiment.disabled:
            return
        artifact = wandb.Artifact(f"{name}-{self.experiment.id}", type=kind)
        with _staging_in(self.folder):
            for path in files:  # weights are large, and read where they lie
                large = path.suffix in (".ckpt", ".safetensors")
                artifact.add_file(str(path), policy="immutable" if large else "mutable")
            self.experiment.log_artifact(artifact, aliases=[*aliases, "latest"])

    @rank_zero_only
    def log_results(self, folder: Path, save_weights: Callable[[Path], None] | None = None) -> None:
        """Sends the tables of a results folder, its configuration and hashes; and, if wanted, its checkpoints.

        With these goes `checkpoints/content.safetensors`, which `save_weights` writes: the network that was tested, or
        else the last.
        """
        self.log_files("results", "results", [folder / name for name in TABLES])
        for name in ("last", "best") if self.with_checkpoints else ():
            self.log_files("model", "model", [folder / "checkpoints" / f"{name}.ckpt"], [name])
        if self.with_checkpoints and save_weights is not None and (folder / "checkpoints").is_dir():
            save_weights(folder / "checkpoints" / "content.safetensors")
            self.log_files("content", "model", [folder / "checkpoints" / "content.safetensors"])


def wandb_logger(
    save_dir: str | Path,
    project: str | float | None,
    name: str | float | None,
    group: str | float | None,
    job_type: str | float | None,
    tags: Sequence[str | float] = (),
    entity: str | float | None = None,
    notes: str | float | None = None,
    id: str | float | None = None,
    resume: str | bool | None = None,
    log_model: bool = False,
    **init: Any,
) -> Logger:
    """Makes a W&B logger that writes under `save_dir` and never stops to ask for a key.

    `mode` among `init`, or else `WANDB_MODE`, decides where it is set; otherwise the run goes online if there is a key
    (`WANDB_API_KEY`, or what `wandb login` stored in the netrc file), and offline, with a line that says so, if there
    is none. Where an earlier run of the same folder has left its id, this one goes on with it (see `forget_run`).

    Args:
        save_dir: the folder that W&B's own is made in.
        project, name, group, job_type, entity, notes, id: texts, for which numbers are taken as well; None leaves the
            choice to W&B.
        tags: texts or numbers.
        resume: as `wandb.init` takes it; None: allow, for a run whose id is known.
        log_model: whether the checkpoints, best and last, are sent as artifacts at the end, and the content
            network as a .safetensors file.
        init: whatever else `wandb.init` takes: `mode`, `settings`, `save_code`, ...

    Raises:
        UserError: `wandb.init` knows no such setting; wandb is not installed; when the run starts, what W&B refuses.
    """
    _check_names(init)
    texts = {"project": project, "name": name, "group": group, "job_type": job_type, "entity": entity, "notes": notes}
    save_dir = Path(save_dir)
    with suppress(OSError):  # W&B will say so
        save_dir.mkdir(parents=True, exist_ok=True)  # into a folder that is missing, W&B would not write
    earlier = None if id is not None else _earlier_id(save_dir)
    id = id if id is not None else earlier
    # given to wandb.init: Lightning's offline=True would set WANDB_MODE for the later runs of this process too, and
    # W&B itself reads the variable once a process
    if "mode" not in init and (chosen := os.environ.get("WANDB_MODE")):
        init["mode"] = chosen
    if "mode" not in init and not has_key():
        init["mode"] = "offline"
        _say(
            f"No W&B key found: this run is logged offline. To send it, `wandb login`, then `wandb sync "
            f"{save_dir / 'wandb'}/offline-run-*`."
        )
    if earlier is not None:
        parts = f"; `wandb sync {save_dir / 'wandb'}/*run-*` puts the parts of it together, all in one call"
        _say(f"This goes on with the W&B run {earlier}{parts if init.get('mode') == 'offline' else ''}.")
    init |= {key: None if value is None else str(value) for key, value in texts.items()}
    init |= {"id": None if id is None else str(id), "resume": resume or ("allow" if id is not None else None)}
    return Logger(save_dir, log_model, tags=[str(tag) for tag in tags], **init)


@rank_zero_only
def forget_run(folder: Path) -> None:
    """Lets the next run of this folder be a new one at W&B."""
    with suppress(OSError):
        (folder / RUN_ID).unlink(missing_ok=True)


def _earlier_id(folder: Path) -> str | None:
    with suppress(OSError, UnicodeDecodeError):
        return (folder / RUN_ID).read_text(encoding="utf-8").strip() or None
    return None


def _check_names(init: Mapping[str, Any]) -> None:
    """Refuses settings that `wandb.init`, or its `settings`, do not know."""
    try:
        import wandb
    except ImportError:
        raise UserError("logger=wandb needs wandb, which is not installed: pip install wandb, or logger=csv.") from None
    known = [name for name in inspect.signature(wandb.init).parameters if name != "anonymous"]
    settings = init.get("settings")
    given = [("", init, known)]
    if isinstance(settings, Mapping):
        given.append(("settings.", settings, list(wandb.Settings.model_fields)))
    for place, values, names in given:
        if unknown := next((str(name) for name in values if name not in names), None):
            meant = get_close_matches(unknown, names, n=3)
            hint = f"did you mean {' or '.join(place + name for name in meant)}?" if meant else "see wandb.init."
            raise UserError(f"W&B has no setting logger.wandb.{place}{unknown}: {hint}")


@contextmanager
def _staging_in(folder: Path) -> Iterator[None]:
    """Keeps what artifacts hold beside the run: W&B would leave an offline run's in the user's home for good."""
    own = "WANDB_DATA_DIR" not in os.environ
    os.environ.setdefault("WANDB_DATA_DIR", str(folder / "wandb"))
    try:
        yield
    finally:
        if own:
            del os.environ["WANDB_DATA_DIR"]


def has_key() -> bool:
    """Whether `WANDB_API_KEY` or the netrc file holds a key for the W&B server (`WANDB_BASE_URL`)."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").netloc
    home = Path.home()
    named = os.environ.get("NETRC")
    for path in [Path(named).expanduser()] if named else [home / ".netrc", home / "_netrc"]:
        try:
            entries = netrc.netrc(path)
        except (OSError, netrc.NetrcParseError):
            continue
        if entries.authenticators(host):
            return True
    return False


@rank_zero_only
def _say(line: str) -> None:
    print(line)
