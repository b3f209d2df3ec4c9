"""The workspace's description, which is all there is of it without a W&B server."""

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from experiments import dashboard
from inpaint.errors import UserError
from inpaint.train import run as entry
from tests.train.test_train import composed, small


def described(**options: str) -> dict[str, Any]:
    """What would be sent to the server."""
    return dashboard.workspace("someone", **options)._to_model().model_dump(by_alias=True, mode="json")


def sections(model: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found = model["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in found}


def metrics(model: dict[str, Any]) -> set[str]:
    """Every key that a panel shows."""
    text = json.dumps([panel["config"] for panels in sections(model).values() for panel in panels])
    return set(re.findall(r"(?:content|refinement)/[a-z0-9_/]+|seconds_per_picture", text))


def test_sections_and_where_they_belong() -> None:
    model = described(project="mine")
    assert (model["entity"], model["project"], model["displayName"]) == ("someone", "mine", "Inpainting")
    found = sections(model)
    assert list(found) == ["Results", "Pictures", "Content network", "Refinement"]
    assert len(found["Refinement"]) == 3 * 3
    media = json.dumps([*found["Pictures"], *found["Content network"]])
    for key in ("gallery", "results", "panel"):  # what Results and Panel log
        assert f'"{key}"' in media


def test_every_metric_is_one_that_runs_log(tmp_path: Path) -> None:
    cfg = composed(tmp_path, small(["+experiment=quickstart"]))
    OmegaConf.update(cfg, "model.preset.scales", 3)
    cfg.data.test_size = 512
    entry.train(cfg)
    with (tmp_path / "logs" / "metrics.csv").open(newline="") as file:
        logged = set(next(csv.reader(file)))
    shown = metrics(described())
    assert len(shown) > 20
    assert shown <= logged


def test_a_sweep_has_a_section_of_its_own() -> None:
    model = described(swept="model.preset.alpha")
    first, *rest = sections(model).items()
    assert len(rest) == 4
    assert first[0] == "Sweep of model.preset.alpha"
    assert {panel["config"]["xAxis"] for panel in first[1]} == {"config:model.value.preset.alpha"}
    assert "summary:refinement/sharpness" in {panel["config"]["yAxis"] for panel in first[1]}
    assert "alpha" in model["displayName"]


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    with pytest.raises(UserError, match=r"neural-patch-synthesis\[dashboard\]"):
        dashboard.workspace("someone")


def test_without_a_key_nothing_is_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr(sys, "argv", ["dashboard", "--entity", "someone"])
    with pytest.raises(SystemExit) as stop:
        dashboard.main()
    assert stop.value.code == 2
    assert "wandb login" in capsys.readouterr().err


def test_the_address_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Saved:
        url = "https://wandb.example.org/someone/inpaint?nw=1"

        def save(self) -> "Saved":
            return self

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(dashboard, "workspace", lambda entity, project, swept: Saved())
    monkeypatch.setattr(sys, "argv", ["dashboard", "--entity", "someone", "--swept", "model.preset.alpha"])
    dashboard.main()
    assert capsys.readouterr().out.strip() == Saved.url
