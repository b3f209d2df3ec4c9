"""A sweep's folder made by hand, whose summary is known."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from inpaint.errors import UserError
from inpaint.evaluation.comparison import compare
from inpaint.evaluation.sweep_jobs import label_jobs
from inpaint.evaluation.table import flatten_keys
from inpaint.imaging.reading import read_picture, write_picture
from inpaint.runs import records

IDS = ["a", "b", "c"]


def write_job(
    folder: Path, override: str, psnr: dict[str, float], *, content: float | None = 0.5, state: str = "finished"
) -> None:
    """A job on pictures of 16 x 16 with a hole of 8 x 8, filled evenly; PSNR as given, every other measure 1."""
    records.write(folder, ["+experiment=x", override], override, state, "No disk." if state == "failed" else "")
    if state != "finished":
        return
    stages = {"content": content, "refined": 0.25}
    measures = {"l1": 1.0, "l2": 1.0, "ssim": 1.0}
    lines = []
    for picture_id in IDS:
        row = {"id": picture_id}
        for stage, grey in stages.items():
            if grey is not None:
                value = psnr[picture_id] if stage == "refined" else 10.0
                nested = {"hole": {**measures, "psnr": value}, "whole": {**measures, "psnr": value}}
                row |= flatten_keys({stage: {**nested, "perceptual": 1.0, "sharpness": float("nan"), "seam": 1.0}})
        row["seconds"] = 2.0
        lines += [",".join(row)] * (not lines) + [",".join(map(str, row.values()))]
        truth = torch.full((3, 16, 16), 0.1 * IDS.index(picture_id))
        for kind, grey in {"input": 1.0, "truth": None, **stages}.items():
            picture = truth.clone()
            if grey is not None:
                picture[:, 4:12, 4:12] = grey
            if kind not in stages or grey is not None:
                write_picture(picture, folder / "pictures" / picture_id / f"{kind}.png")
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    (folder / "metrics.json").write_text(json.dumps({"name": "x"}))


def test_rows_intervals_and_paired_differences(tmp_path):
    write_job(tmp_path / "0", "model.preset.alpha=0", {"a": 10.0, "b": 20.0, "c": 30.0})
    write_job(tmp_path / "1", "model.preset.alpha=1", {"a": 11.0, "b": 21.0, "c": 31.0})
    summary = compare(tmp_path)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    content, none, one = summary["rows"]  # the content network's result is the same in both: once
    assert (content["label"], none["label"], one["label"]) == ("content network", "alpha 0", "alpha 1")
    assert summary["reference"] == "alpha 0"
    assert one["measures"]["hole_psnr"]["mean"] == pytest.approx(21)
    assert one["measures"]["hole_psnr"]["low"] < 21 < one["measures"]["hole_psnr"]["high"]
    assert one["differences"]["hole_psnr"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert content["differences"]["hole_psnr"]["mean"] == pytest.approx(-10)
    assert one["measures"]["sharpness"] == {"mean": None, "low": None, "high": None}
    assert one["seconds"] == 2
    text = (tmp_path / "summary.md").read_text()
    interval = one["measures"]["hole_psnr"]
    assert f"| alpha 1 | 1.000 | 1.000 | 21.000 ({interval['low']:.3f} to {interval['high']:.3f}) |" in text
    assert "| alpha 1 | +0.000 | +0.000 | +1.000 |" in text
    # input, content, two jobs, truth: five tiles of 256 with gaps of 4
    assert read_picture(tmp_path / "summary.png").shape == (3, 24 + 3 * 260, 5 * 260 - 4)


def test_predictions_that_differ_stand_with_their_job(tmp_path):
    write_job(tmp_path / "0", "rule=ncc", dict.fromkeys(IDS, 1.0))
    write_job(tmp_path / "1", "rule=l2", dict.fromkeys(IDS, 1.0), content=0.75)
    write_job(tmp_path / "2", "rule=telea", dict.fromkeys(IDS, 1.0), content=None)
    assert [row["label"] for row in compare(tmp_path)["rows"]] == [
        "ncc: content network",
        "ncc: refined",
        "l2: content network",
        "l2: refined",
        "telea",
    ]


def test_one_job(tmp_path):
    write_job(tmp_path / "0", "rule=ncc", dict.fromkeys(IDS, 1.0))
    assert [row["label"] for row in compare(tmp_path)["rows"]] == ["content network", "refined"]


def test_worst_first(tmp_path):
    write_job(tmp_path / "0", "rule=ncc", {"a": 3.0, "b": 1.0, "c": 2.0})
    assert compare(tmp_path, pictures=2, worst=True)["shown"] == ["b", "c"]


def test_closeups_of_a_hole_that_does_not_show(tmp_path):
    """A picture that is white where its hole is differs nowhere from its input: the middle of all of it stands in."""
    write_job(tmp_path / "0", "a=1", dict.fromkeys(IDS, 1.0))
    for picture_id in IDS:
        folder = tmp_path / "0" / "pictures" / picture_id
        shutil.copy(folder / "input.png", folder / "truth.png")
    compare(tmp_path, closeups=True)
    assert (tmp_path / "summary.png").is_file()


def test_closeups_show_the_middle_of_the_hole(tmp_path):
    write_job(tmp_path / "0", "rule=ncc", dict.fromkeys(IDS, 1.0))
    compare(tmp_path, pictures=1, closeups=True)
    shown = read_picture(tmp_path / "summary.png")
    closeup = shown[:, 24 + 260 :, 2 * 260 : 2 * 260 + 256]  # of the refined picture
    torch.testing.assert_close(closeup[:, :256], torch.full((3, 256, 256), 0.25), atol=0.01, rtol=0)


def test_a_job_measured_before_the_perceptual_distance_leaves_its_cells_empty(tmp_path):
    for number, override in enumerate(("rule=ncc", "rule=l2")):
        write_job(tmp_path / str(number), override, dict.fromkeys(IDS, 1.0), content=None)
    table = tmp_path / "0" / "metrics.csv"
    lines = [line.split(",") for line in table.read_text().splitlines()]
    at = lines[0].index("refined_perceptual")
    table.write_text("\n".join(",".join(line[:at] + line[at + 1 :]) for line in lines) + "\n")
    old, new = compare(tmp_path)["rows"]
    assert "perceptual" not in old["measures"]
    assert new["measures"]["perceptual"]["mean"] == 1
    assert "perceptual" not in new["differences"]
    page = (tmp_path / "summary.md").read_text()
    assert "perceptual distance" in page
    assert "| ncc | 1.000 | 1.000 | 1.000 | 1.000 |  |" in page


def test_failed_and_unfinished_jobs_are_named(tmp_path):
    write_job(tmp_path / "0", "rule=ncc", dict.fromkeys(IDS, 1.0))
    write_job(tmp_path / "1", "rule=l2", {}, state="failed")
    write_job(tmp_path / "2", "rule=cosine", {}, state="begun")
    summary = compare(tmp_path)
    assert summary["failed"] == [{"job": "1", "label": "l2", "error": "No disk."}]
    assert summary["unfinished"] == [{"job": "2", "label": "cosine"}]
    assert [row["label"] for row in summary["rows"]] == ["content network", "refined"]
    text = (tmp_path / "summary.md").read_text()
    assert "Failed: l2 (job 1): No disk." in text
    assert "Not finished: cosine (job 2)." in text


def test_jobs_on_different_pictures_are_not_compared(tmp_path):
    write_job(tmp_path / "0", "data=a", dict.fromkeys(IDS, 1.0))
    write_job(tmp_path / "1", "data=b", dict.fromkeys(IDS, 2.0))
    table = tmp_path / "1" / "metrics.csv"
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join([head, *(f"other_{row}" for row in rows)]))
    summary = compare(tmp_path)
    labels = [f"{job}: {stage}" for job in "ab" for stage in ("content network", "refined")]
    assert [row["label"] for row in summary["rows"]] == labels
    assert summary["rows"][-1]["differences"] == {}
    assert summary["shown"] == []
    assert not (tmp_path / "summary.png").exists()


def test_nothing_but_failures(tmp_path):
    write_job(tmp_path / "0", "rule=ncc", dict.fromkeys(IDS, 1.0))
    compare(tmp_path)
    write_job(tmp_path / "0", "rule=ncc", {}, state="failed")
    assert compare(tmp_path)["rows"] == []
    assert not (tmp_path / "summary.png").exists()


def test_no_job(tmp_path):
    with pytest.raises(UserError, match="holds no job of a sweep"):
        compare(tmp_path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["model.preset.alpha=0.2", "model.preset.alpha=0"], ["alpha 0.2", "alpha 0"]),
        (["model/preset=paper", "model/preset=default"], ["paper", "default"]),
        (["+method=context_encoder", "+method=ours"], ["context encoder", "ours"]),
        (["layers=[relu3_1,relu4_1]", "layers=[relu3_1]"], ["relu3_1 + relu4_1", "relu3_1"]),
        (["content_weight=null", "content_weight=true"], ["content weight null", "content weight true"]),
        (["a=b=c", "a=b=d"], ["b=c", "b=d"]),
    ],
)
def test_labels(values, words):
    assert label_jobs([["+experiment=x", value, "seed=1"] for value in values]) == words
