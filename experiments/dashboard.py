"""Builds the project's W&B workspace: results, training and refinement at a glance, sweeps by what they sweep.

    python -m experiments.dashboard --entity NAME [--project inpaint] [--swept model.preset.alpha]

It shows what the newest runs of the project have logged, one's own measures, losses and energies among them; runs that
were made offline have to be sent first (`wandb sync`). Every call saves a new view; nothing else there is changed.
"""

import argparse
import re
import sys
from collections.abc import Iterable
from itertools import islice
from typing import Any

from inpaint.errors import UserError, first_line
from inpaint.evaluation.table import MEASURES, STAGES
from inpaint.runs.wandb_log import BATCH, PICTURE, has_key

RUNS = 100  # the newest, whose names are looked at
PINNED = ("hole_psnr", "hole_ssim", "perceptual")
PAIRS = ("real", "fake", "generator", "discriminator", "g", "d", "before", "after")
"""Curves whose names differ in such an ending alone share a panel."""


def workspace(entity: str, project: str, names: Iterable[str], swept: str | None = None) -> Any:
    """The workspace, not yet saved, as wandb-workspaces describes it.

    Args:
        entity: the W&B user or team.
        project: where the runs are.
        names: of all that runs have logged; each has its place in a panel.
        swept: a key of the configuration, such as `model.preset.alpha`: a section then shows the measures against it.

    Raises:
        UserError: wandb-workspaces is missing.
    """
    try:
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
    except ImportError:
        raise UserError(
            "The dashboard needs wandb-workspaces, which is not there: pip install 'neural-patch-synthesis[dashboard]'."
        ) from None

    names = sorted(names)
    measures = {name.rpartition("/")[2] for name in names if name.startswith(tuple(f"test/{each}/" for each in STAGES))}
    ordered = [name for name in MEASURES if name in measures] + sorted(measures - MEASURES.keys())
    by_stage = {name: [f"test/{each}/{name}" for each in STAGES if f"test/{each}/{name}" in names] for name in ordered}

    def bars(title: str, metrics: list[str]) -> Any:
        return wr.BarPlot(title=title, metrics=[wr.SummaryMetric(name) for name in metrics])

    def curves(beginning: str, axis: str) -> list[Any]:
        grouped: dict[str, list[str]] = {}
        for name in (name for name in names if name.startswith(beginning)):
            grouped.setdefault(re.sub(rf"_({'|'.join(PAIRS)})$", "", name), []).append(name)
        titles = {name: re.sub("[/_]", " ", name.removeprefix(beginning)) for name in grouped}
        return [wr.LinePlot(title=titles[name], x=axis, y=[*lines]) for name, lines in grouped.items()]

    results = [bars(MEASURES.get(name, name), metrics) for name, metrics in by_stage.items()]
    seconds = [bars("seconds a picture", [name]) for name in names if name == "test/seconds_per_picture"]
    pictures: list[Any] = [
        wr.MediaBrowser(title="gallery", media_keys=["gallery"], num_columns=1),
        wr.WeavePanelSummaryTable(table_name="results"),
    ]
    panel = wr.MediaBrowser(title="validation", media_keys=["panel"])
    sections = [
        ws.Section(name="Results", panels=[*results, *seconds], is_open=True),
        ws.Section(name="Pictures", panels=pictures, is_open=True),
        ws.Section(name="Content network", panels=[*curves("content/", BATCH), panel]),
        ws.Section(name="Refinement", panels=curves("energy/", PICTURE)),
    ]
    if swept is not None:
        against: list[Any] = [
            wr.ScatterPlot(title=MEASURES.get(name, name), x=wr.Config(swept), y=wr.SummaryMetric(metrics[-1]))
            for name, metrics in by_stage.items()
        ]
        sections.insert(0, ws.Section(name=f"Sweep of {swept}", panels=against, is_open=True))
    pinned = [f"summary:{by_stage[name][-1]}" for name in PINNED if name in by_stage]
    return ws.Workspace(
        entity=entity,
        project=project,
        name="Inpainting" if swept is None else f"Inpainting, sweep of {swept}",
        sections=sections,
        settings=ws.WorkspaceSettings(group_by_prefix="first"),
        runset_settings=ws.RunsetSettings(pinned_columns=pinned),
    )


def logged_names(entity: str, project: str) -> set[str]:
    """The names of all that the newest runs of the project have logged.

    Raises:
        UserError: the server cannot be asked, or the project has no runs.
    """
    import wandb

    try:
        runs = wandb.Api().runs(f"{entity}/{project}", order="-created_at")
        names = {str(name) for run in islice(runs, RUNS) for name in run.summary.keys()}  # noqa: SIM118 - no dict
    except Exception as error:  # whatever the server or the way to it gives
        raise UserError(f"W&B does not tell what {entity}/{project} has: {first_line(error)}.") from None
    if not names:
        raise UserError(
            f"{entity}/{project} has no runs yet: train with logger=wandb, or send offline runs with wandb sync."
        )
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entity", required=True, help="the W&B user or team that the project belongs to")
    parser.add_argument("--project", default="inpaint", help="inpaint, unless logger.wandb.project was set")
    parser.add_argument("--swept", help="a key of the configuration to show the measures against")
    options = parser.parse_args()
    try:
        if not has_key():
            raise UserError("No W&B key found: `wandb login` first; a workspace exists only on the server.")
        names = logged_names(options.entity, options.project)
        print(workspace(options.entity, options.project, names, options.swept).save().url)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
