"""The workspace's description, which is all there is of it without a W&B server."""

import csv
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb

from experiments import dashboard
from inpaint.errors import UserError
from inpaint.train import run as entry
from tests.train.test_train import composed, small

NAMES = [
    *(f"test/{stage}/{name}" for stage in ("content", "refined") for name in ("hole_psnr", "sharpness", "her_measure")),
    *("test/seconds_per_picture", "gallery", "results", "panel", "batch"),
    *("content/loss_rec", "content/loss_d_real", "content/loss_d_fake", "content/lr_generator"),
    *(f"energy/scale{i}/{term}_{when}" for i in (0, 1) for term in ("content", "hers") for when in ("before", "after")),
]


def described(names: Iterable[str] = NAMES, project: str = "inpaint", swept: str | None = None) -> dict[str, Any]:
    """What would be sent to the server."""
    made = dashboard.workspace("someone", project, names, swept)
    return made._to_model().model_dump(by_alias=True, mode="json")


def sections(model: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found = model["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in found}


def metrics(model: dict[str, Any]) -> set[str]:
    """Every key that a panel shows."""
    text = json.dumps([panel["config"] for panels in sections(model).values() for panel in panels])
    return set(re.findall(r"(?:content|energy|test)/[a-z0-9_/]+", text))


def test_sections_and_where_they_belong() -> None:
    model = described(project="mine")
    assert (model["entity"], model["project"], model["displayName"]) == ("someone", "mine", "Inpainting")
    found = sections(model)
    assert list(found) == ["Results", "Pictures", "Content network", "Refinement"]
    assert len(found["Results"]) == 3 + 1
    assert len(found["Content network"]) == 3 + 1  # real and fake share a panel
    assert len(found["Refinement"]) == 2 * 2
    assert {panel["config"]["xAxis"] for panel in found["Refinement"]} == {"picture"}
    assert found["Content network"][0]["config"]["xAxis"] == "batch"
    media = json.dumps([*found["Pictures"], *found["Content network"]])
    for key in ("gallery", "results", "panel"):  # what Results and Panel log
        assert f'"{key}"' in media


def test_every_name_that_a_run_logs_is_shown(tmp_path: Path) -> None:
    entry.train(composed(tmp_path, small(["+experiment=quickstart"])))
    with (tmp_path / "logs" / "metrics.csv").open(newline="") as file:
        logged = set(next(csv.reader(file)))
    shown = metrics(described(logged))
    assert len(shown) > 20
    assert shown == {name for name in logged if "/" in name and not name.startswith("test/energy")}


def test_a_sweep_has_a_section_of_its_own() -> None:
    model = described(swept="model.preset.alpha")
    first, *rest = sections(model).items()
    assert len(rest) == 4
    assert first[0] == "Sweep of model.preset.alpha"
    assert {panel["config"]["xAxis"] for panel in first[1]} == {"config:model.value.preset.alpha"}
    assert "summary:test/refined/her_measure" in {panel["config"]["yAxis"] for panel in first[1]}
    assert "alpha" in model["displayName"]


def test_the_names_are_those_of_the_projects_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def api(*summaries: dict[str, float]) -> Any:
        runs = [SimpleNamespace(summary=summary) for summary in summaries]
        return lambda: SimpleNamespace(runs=lambda path, order: runs)

    monkeypatch.setattr(wandb, "Api", api({"a": 1.0}, {"a": 2.0, "b": 1.0}))
    assert dashboard.logged_names("someone", "inpaint") == {"a", "b"}
    monkeypatch.setattr(wandb, "Api", api())
    with pytest.raises(UserError, match="someone/inpaint has no runs yet"):
        dashboard.logged_names("someone", "inpaint")
    monkeypatch.setattr(wandb, "Api", lambda: 1 / 0)
    with pytest.raises(UserError, match="W&B does not tell"):
        dashboard.logged_names("someone", "inpaint")


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    with pytest.raises(UserError, match=r"neural-patch-synthesis\[dashboard\]"):
        dashboard.workspace("someone", "inpaint", NAMES)


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
    monkeypatch.setattr(dashboard, "logged_names", lambda entity, project: set(NAMES))
    monkeypatch.setattr(dashboard, "workspace", lambda entity, project, names, swept: Saved())
    monkeypatch.setattr(sys, "argv", ["dashboard", "--entity", "someone", "--swept", "model.preset.alpha"])
    dashboard.main()
    assert capsys.readouterr().out.strip() == Saved.url
