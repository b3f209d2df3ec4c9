"""Fills many photos in parallel with Ray, on this machine or on a cluster."""

import json
import logging
import math
import os
import pickle
import socket
import warnings
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from inpaint.errors import UserError, first_line
from inpaint.fill.jobs import Entry, Job, Options, Outcomes
from inpaint.fill.run import attempt, settled
from inpaint.photo.masks import ALPHA

LOCAL = "local"
RETRIES = 2  # of a photo whose process ended: it may be the photo that ends them
LOST = f"The process that filled it ended, {RETRIES + 1} times: killed for its memory?"


class Worker:
    """Fills photos in a process of its own, where the networks are read once."""

    def __init__(self, make: Callable[[], Any], options: Options, folder: str) -> None:
        with suppress(OSError):  # a checkpoint's path may be relative to the command's folder
            os.chdir(folder)
        self.options, self.refused = options, ""
        try:
            self.inpainter = make()
        except UserError as error:  # a checkpoint that is not here, say; raised, it would be told as a fault of Ray's
            self.refused = f"{error} (On {socket.gethostname()}.)"

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        entry: Entry = {"refused": self.refused}
        if not self.refused:
            entry = attempt(self.inpainter, pickle.loads(row["job"]), self.options, lambda share: None)
        return {"number": row["number"], "entry": json.dumps(entry)}


def fill_on_ray(
    jobs: list[Job], make: Callable[..., Any], options: Options, device: str, address: str, workers: int | None
) -> Outcomes:
    """Fills photos side by side; yields each job's number and `attempt`'s entry, in the order in which they are done.

    One photo is one task. If its process ends (killed, out of memory, machine gone), the photo is done again: none is
    lost; and since `attempt` leaves out what has a result, none is filled twice.

    Args:
        make: the `Inpainter` of a process, given its device.
        device: auto, cpu or cuda.
        address: `LOCAL` starts Ray on this machine and ends it afterwards; else auto, HOST:PORT or ray://HOST:PORT.
        workers: photos at a time, more than there are GPUs share them; None is one for each GPU, or else each core.

    Raises:
        UserError: Ray is not installed, no cluster answers at the address, it has no such device, or its processes
            cannot start.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {device} is not for Ray, which gives each process its own: use auto, cpu or cuda.")
    missing: dict[int, Job] = {}
    for number, job in enumerate(jobs):
        if entry := settled(job, options):  # at once: Ray hands out some fifty photos a second
            yield number, entry
        else:
            missing[number] = job
    if not missing:
        return
    ray = connect(address, workers)
    try:
        there = ray.cluster_resources()
        gpus = int(there.get("GPU", 0))
        if device == "cuda" and not gpus:
            raise UserError("Ray knows of no GPU here: choose --device auto or cpu.")
        own = "cuda" if gpus and device != "cpu" else "cpu"
        size = min(workers or (gpus if own == "cuda" else int(there.get("CPU", 1))), len(missing))
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        context.max_errored_blocks = -1  # a lost photo ends no run
        # a worker may be in another folder: everything has its whole path
        rows = [{"number": number, "job": pickle.dumps(with_whole_paths(job))} for number, job in missing.items()]
        if options.intermediates is not None:
            options = replace(options, intermediates=options.intermediates.absolute())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # max_task_retries goes with Ray 2.64
            done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
                Worker,
                fn_constructor_args=(partial(make, device=own), options, os.getcwd()),
                compute=ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=2),
                num_gpus=gpu_share(size, gpus) if own == "cuda" else None,
                num_cpus=1 if own == "cpu" else None,
                max_task_retries=RETRIES,
            )
        with closing(rows_of(ray, done)) as found:
            for row in found:
                entry = json.loads(row["entry"])
                if "refused" in entry:
                    raise UserError(entry["refused"])
                if missing.pop(row["number"], None):  # Ray may do again what it has lost the result of
                    yield row["number"], entry
        for number, job in missing.items():
            yield number, {"photo": str(job.photo), "error": f"{job.origin}{LOST}"}
    except ray.exceptions.RayActorError as error:
        raise UserError(f"Ray's processes could not start: {str(error).strip().splitlines()[-1]}") from None
    finally:
        ray.shutdown()


def with_whole_paths(job: Job) -> Job:
    """The same job for a process in another folder."""
    mask = job.mask if job.mask is None or job.mask == ALPHA else job.mask.absolute()
    return job._replace(photo=job.photo.absolute(), mask=mask, target=job.target.absolute())


def gpu_share(workers: int, gpus: int) -> float:
    """The part of a GPU for each worker, at most 1: three on two GPUs have a half each, for no worker spans two."""
    return 1 / math.ceil(workers / gpus)


def rows_of(ray: Any, dataset: Any) -> Generator[dict[str, Any], None, None]:
    """Yields the rows of a Ray data set, as `iter_rows()`, whose threads would outlive it and start Ray anew."""
    for bundle in dataset.iter_internal_ref_bundles():
        for block in ray.get(bundle.block_refs):
            yield from block.to_pylist()


def connect(address: str, workers: int | None) -> Any:
    """Starts Ray here or joins a cluster, and returns its module; raises as `fill_on_ray`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to its makers
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError:
        missing = "--engine ray needs Ray, which is not there: pip install 'neural-patch-synthesis[cluster]'."
        raise UserError(missing) from None
    logging.getLogger("ray.data").setLevel("CRITICAL")  # what there is to say is said photo by photo
    more = {"num_cpus": workers, "include_dashboard": False} if address == LOCAL else {}
    try:
        if address not in (LOCAL, "auto"):  # Ray itself would wait for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            if not port.isdecimal():
                raise UserError(f"{address!r} is no address of a Ray cluster: give auto, HOST:PORT or ray://HOST:PORT.")
            socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"No Ray cluster answers at {address}: {first_line(error)}") from None
    try:
        ray.init(address, logging_level="ERROR", log_to_driver=False, **more)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"Ray could not be joined ({address}): {first_line(error)} (If the cluster asks for a token, set "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN; its Ray and Python have to be of the versions here.)"
        ) from None
    return ray
