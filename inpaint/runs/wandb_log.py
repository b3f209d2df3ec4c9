"""The Weights & Biases logger: online with a key, offline without one."""

import netrc
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from inpaint.errors import UserError, first_line


class Logger(WandbLogger):
    """Lightning's logger, except that W&B stops no run: if it cannot start it goes offline, if it cannot write, off.

    Lightning keeps what it will start W&B with, and what it started, in `_wandb_init` and `_experiment` alone.
    """

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        while self._experiment is None:
            try:
                return super().experiment  # starts W&B
            except Exception as error:  # whatever it meets
                mode = self._wandb_init.get("mode")
                if mode == "disabled":  # there nothing is reached or written: what remains are its settings
                    raise UserError(f"W&B refuses what logger.wandb says: {first_line(error)}") from None
                self._wandb_init["mode"] = "disabled" if mode == "offline" else "offline"
                how = "without it" if mode == "offline" else "offline"
                _say(f"W&B could not start ({first_line(error)}): this run is logged {how}.")
        return self._experiment


def wandb_logger(
    save_dir: str | Path,
    project: str | float | None,
    name: str | float | None,
    group: str | float | None,
    job_type: str | float | None,
    tags: Sequence[str | float] = (),
) -> WandbLogger:
    """Makes a W&B logger that writes under `save_dir` and never stops to ask for a key.

    `WANDB_MODE` decides where it is set; otherwise the run goes online if there is a key (`WANDB_API_KEY`, or
    what `wandb login` stored in the netrc file), and offline, with a line that says so, if there is none.

    Args:
        save_dir: the folder that W&B's own is made in.
        project, name, group, job_type: texts, for which numbers are taken as well; None leaves the choice to W&B.
        tags: texts or numbers.

    Raises:
        UserError: when the run starts, what W&B itself refuses.
    """
    texts = {"project": project, "name": name, "group": group, "job_type": job_type}
    save_dir = Path(save_dir)
    with suppress(OSError):  # W&B will say so
        save_dir.mkdir(parents=True, exist_ok=True)  # into a folder that is missing, W&B would not write
    # given to wandb.init: Lightning's offline=True would set WANDB_MODE for the later runs of this process too, and
    # W&B itself reads the variable once a process
    more: dict[str, Any] = {"mode": chosen} if (chosen := os.environ.get("WANDB_MODE")) else {}
    if not more and not has_key():
        more = {"mode": "offline"}
        _say(
            f"No W&B key found: this run is logged offline. To send it, `wandb login`, then `wandb sync "
            f"{save_dir / 'wandb'}/offline-run-*`."
        )
    more |= {key: None if value is None else str(value) for key, value in texts.items()}
    logger = Logger(save_dir=str(save_dir), tags=[str(tag) for tag in tags], **more)
    logger._wandb_init.pop("anonymous")  # W&B warns of this setting, which Lightning always gives
    return logger


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
