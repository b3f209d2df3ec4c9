"""Builds the project's W&B workspace: results, training and refinement at a glance, sweeps by what they sweep.

    python -m experiments.dashboard --entity NAME [--project inpaint] [--swept model.preset.alpha]

It shows what runs with `logger=wandb` log; runs that were made offline have to be sent first (`wandb sync`). Every call
saves a new view; nothing else in the project is changed.
"""

import argparse
import sys
from typing import Any

from inpaint.errors import UserError
from inpaint.runs.wandb_log import has_key

SCALES = 3  # of the refinement's presets
TERMS = ("content", "texture", "total_variation")
MEASURES = {"hole_psnr": "PSNR in the hole, dB", "hole_ssim": "SSIM in the hole", "hole_l1": "L1 in the hole, %"}
RATIOS = {
    "perceptual": "perceptual distance",
    "sharpness": "sharpness, hole / around it",
    "seam": "steps, border / surroundings",
}
LOSSES = {
    "loss_rec": "L2 with the ring's weight",
    "loss_adv": "adversarial loss",
    "val_l2": "L2 in the hole, validation, %",
    "val_psnr": "PSNR in the hole, validation, dB",
}
DISCRIMINATOR = {"loss_d_": "discriminator's loss", "accuracy_": "discriminator's accuracy"}


def workspace(entity: str, project: str = "inpaint", swept: str | None = None) -> Any:
    """The workspace, not yet saved, as wandb-workspaces describes it.

    Args:
        entity: the W&B user or team.
        project: where the runs are.
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

    def bars(title: str, name: str) -> Any:
        return wr.BarPlot(
            title=title, metrics=[wr.SummaryMetric(f"{stage}/{name}") for stage in ("content", "refinement")]
        )

    def energies(scale: int, term: str) -> Any:
        curves: list[Any] = [f"refinement/scale{scale}/{term}_{when}_step" for when in ("before", "after")]
        return wr.LinePlot(title=f"{term} energy, scale {scale}", y=curves, title_x="picture")

    def against(key: str, title: str, name: str) -> Any:
        return wr.ScatterPlot(title=title, x=wr.Config(key), y=wr.SummaryMetric(f"refinement/{name}"))

    seconds = wr.BarPlot(title="seconds a picture", metrics=[wr.SummaryMetric("seconds_per_picture")])
    results = [bars(title, name) for name, title in (MEASURES | RATIOS).items()]
    pictures: list[Any] = [
        wr.MediaBrowser(title="gallery", media_keys=["gallery"], num_columns=1),
        wr.WeavePanelSummaryTable(table_name="results"),
    ]
    losses = [wr.LinePlot(title=title, y=[f"content/{name}"]) for name, title in LOSSES.items()]
    pairs = [
        wr.LinePlot(title=title, y=[f"content/{name}{kind}" for kind in ("real", "fake")])
        for name, title in DISCRIMINATOR.items()
    ]
    sections = [
        ws.Section(name="Results", panels=[*results, seconds], is_open=True),
        ws.Section(name="Pictures", panels=pictures, is_open=True),
        ws.Section(
            name="Content network", panels=[*losses, *pairs, wr.MediaBrowser(title="validation", media_keys=["panel"])]
        ),
        ws.Section(name="Refinement", panels=[energies(scale, term) for scale in range(SCALES) for term in TERMS]),
    ]
    if swept is not None:
        panels = [against(swept, title, name) for name, title in (MEASURES | RATIOS).items()]
        sections.insert(0, ws.Section(name=f"Sweep of {swept}", panels=panels, is_open=True))
    return ws.Workspace(
        entity=entity,
        project=project,
        name="Inpainting" if swept is None else f"Inpainting, sweep of {swept}",
        sections=sections,
        settings=ws.WorkspaceSettings(group_by_prefix="first"),
        runset_settings=ws.RunsetSettings(pinned_columns=[f"summary:refinement/{name}" for name in MEASURES]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entity", required=True, help="the W&B user or team that the project belongs to")
    parser.add_argument("--project", default="inpaint", help="inpaint, unless logger.wandb.project was set")
    parser.add_argument("--swept", help="a key of the configuration to show the measures against")
    options = parser.parse_args()
    try:
        if not has_key():
            raise UserError("No W&B key found: `wandb login` first; a workspace exists only on the server.")
        print(workspace(options.entity, options.project, options.swept).save().url)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
