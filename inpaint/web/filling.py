"""Fills a step as the command does: `inpaint.fill`'s own functions read, fill, write and report."""

import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inpaint.errors import UserError
from inpaint.fill.jobs import Job, Options
from inpaint.fill.report import report_of, warnings, write_report
from inpaint.fill.run import fill_one
from inpaint.photo.files import read_photo
from inpaint.photo.first_stage import Given
from inpaint.photo.inpainter import FilledPhoto, Inpainter
from inpaint.photo.masks import as_mask
from inpaint.photo.photo import Photo
from inpaint.refinement.pyramid import part_of
from inpaint.refinement.scale import OnProgress
from inpaint.web import answers
from inpaint.web.room import check_memory
from inpaint.web.shown import extent, show
from inpaint.web.steps import Result, Step, called
from inpaint.web.work import Cancelled, Task

COSTS = {"instant": 1.0, "default": 6.0, "best": 16.0}  # about in proportion to the seconds
AS_IT_COMES = Options([], invert=False, dilate=None, feather=None, overwrite=True, intermediates=None)
BESIDE = 16  # pixels around what changed that are shown with it


class Inpainters:
    """An `Inpainter` for each preset and device, made when it is first asked for, and kept.

    Args:
        choices: the arguments of `Inpainter`, but for its preset, seed and device.

    Raises:
        UserError: as `Inpainter`; a picture is the first stage, which it can be of one photo alone; two names mean the
            same device.
    """

    def __init__(self, choices: Mapping[str, Any], devices: list[str]) -> None:
        self.choices, self.lock = choices, threading.Lock()
        self.made: dict[tuple[str, str], Inpainter] = {}
        self.devices = [str(self.get("instant", device).device) for device in devices]
        if len({"cuda:0" if device == "cuda" else device for device in self.devices}) < len(devices):
            raise UserError(f"--device {','.join(devices)} names a device twice: name each one once.")

    def get(self, preset: str, device: str) -> Inpainter:
        """The one of a preset, for a device."""
        with self.lock:
            if (preset, device) not in self.made:
                made = Inpainter(**self.choices, preset=preset, device=device)
                if isinstance(made.first_stage, Given):
                    raise UserError("--content is a picture, which belongs to one photo: give a network's checkpoint.")
                self.made[preset, device] = self.made[preset, str(made.device)] = made
            return self.made[preset, device]

    def warm(self, device: str, task: Task) -> None:
        """The work of a task that makes a device's first fill as quick as later ones: kernels are prepared once."""
        ramp = np.linspace(0, 255, 256, dtype=np.uint8)
        photo = Photo(np.stack([np.tile(ramp, (256, 1))] * 3, -1), "RGB")
        marked = np.zeros(photo.size, dtype=bool)
        marked[96:160, 96:160] = True
        for preset in ("instant", "default"):
            self.get(preset, device).fill_photo(photo, marked, on_progress=task.progress)


class Filling:
    """What a task does: a preview, then as many variants as are wished, each a result of the step.

    Args:
        more: options that a command needs for the same files, beside those of the wish.
    """

    def __init__(self, step: Step, wish: answers.Wish, inpainters: Inpainters, more: str) -> None:
        self.step, self.wish, self.inpainters, self.more = step, wish, inpainters, more
        with step.lock:
            step.coming = []
            step.remove_files(step.kept)  # the others came to nothing
            step.fills += 1
            self.number, self.first = step.fills, step.made
        self.results: list[Result] = []  # its variants, which become the step's when a first one is written
        self.mask = step.folder / f"mask_{self.number}.png"  # what is marked now, whatever is painted meanwhile
        shutil.copyfile(step.mask_file, self.mask)

    def __call__(self, device: str, task: Task) -> None:
        """Fills, on a device.

        Raises:
            UserError, Cancelled: see `check_memory`, `fill_one` and `Task.progress`.
        """
        step, wish, self.task, self.device = self.step, self.wish, task, device
        costs = [COSTS["instant"] * (wish.preset != "instant"), *[COSTS[wish.preset]] * wish.variants]
        part = [part_of(task.progress, sum(costs[:n]) / sum(costs), cost / sum(costs)) for n, cost in enumerate(costs)]
        with called(step.photo, step.name), called(self.mask, step.mask_name):
            check_memory(step.photo, step.max_pixels)  # others may have begun since it was uploaded
            if wish.preset != "instant":
                task.enter("preview")
                self.preview(self.inpainters.get("instant", device), part[0])
            task.enter("filling")
            inpainter = self.inpainters.get(wish.preset, device)
            for seed in range(wish.variants):
                self.variant(inpainter, seed, part[1 + seed])

    def preview(self, inpainter: Inpainter, progress: OnProgress) -> None:
        """Shows what is there in a second or two, and writes no file."""
        began = time.perf_counter()
        photo = read_photo(self.step.photo, inpainter.max_pixels)
        marked = as_mask(self.mask, photo.size, max_pixels=inpainter.max_pixels)
        self.publish("instant", 0, True, began, inpainter.fill_photo(photo, marked, on_progress=progress))

    def variant(self, inpainter: Inpainter, seed: int, progress: OnProgress) -> None:
        """Fills as the command does, and shows the result before its file is written, which may take seconds."""
        began = time.perf_counter()
        shown: list[Result] = []
        remarks: list[str] = []  # in the page's words
        target = self.step.folder / f"fill_{self.number}_{seed}{Path(self.step.target).suffix}"
        job = Job(self.step.photo, self.mask, target, variant=seed + 1)

        def on_filled(filled: FilledPhoto) -> None:
            shown.append(self.publish(self.wish.preset, seed, False, began, filled))
            remarks.extend(filled.mask.remarks("press Swap") if filled.mask else [])

        try:
            with called(target, self.step.target):
                entry = fill_one(inpainter, job, AS_IT_COMES, progress, on_filled)
        except BaseException:
            self.results[:] = [result for result in self.results if result not in shown]  # and what the step has of it
            raise
        (result,) = shown
        named = entry | {"photo": self.step.name, "output": self.step.target}
        content = report_of(inpainter, [named], time.perf_counter() - began, self.wish.preset)
        for weights in content["weights"].values():  # where the server lies is nobody's business
            weights["file"] = Path(weights["file"]).name
        write_report(result.report, content)
        result.answer = result.answer.model_copy(
            update={"lines": warnings(entry | {"remarks": remarks}), "ready": True}
        )
        self.keep()

    def publish(self, preset: answers.Preset, seed: int, preview: bool, began: float, filled: FilledPhoto) -> Result:
        """Makes a result that is shown: a preview, or a variant whose file is yet to be written.

        Raises:
            Cancelled: it was cancelled, or another fill of the step has begun.
        """
        assert filled.mask is not None
        step = self.step
        box = extent(filled.mask.weights > 0).grown(BESIDE, filled.photo.size)
        path = step.folder / f"fill_{self.number}_{'preview' if preview else seed}"
        picture = show(filled.photo, path.with_suffix(".shown"), box)
        with step.lock:
            self.task.progress(self.task.share)  # ends here if it was cancelled
            if step.fills != self.number:
                raise Cancelled
            answer = answers.Result(
                number=step.made,
                preview=preview,
                ready=False,
                preset=preset,
                seed=seed,
                name=step.target,
                box=box,
                seconds=time.perf_counter() - began,
                lines=[],
                command=step.command(preset, seed, self.device, self.more),
            )
            result = Result(
                answer,
                picture,
                file=path.with_suffix(Path(step.target).suffix),
                mask=self.mask,
                report=path.with_suffix(".json"),
                task=self.task,
            )
            step.made += 1
            if preview:
                step.coming = [result]
                return result
            self.results.append(result)
            if step.kept != self.number:
                step.coming = self.results
        return result

    def keep(self) -> None:
        """The variants that are written become the step's results, and what was before goes."""
        step = self.step
        with step.lock:
            if step.fills == self.number != step.kept:
                step.results, step.kept, step.coming = self.results, self.number, []
                step.remove_files(self.number)
