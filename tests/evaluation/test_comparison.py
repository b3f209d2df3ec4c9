"""A sweep's folder made by hand, whose summary is known."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from inpaint.errors import UserError
from inpaint.evaluation.columns import WIDEST, _bands, make_columns
from inpaint.evaluation.comparison import compare, comparison_table
from inpaint.evaluation.sweep_jobs import label_jobs, read_jobs
from inpaint.evaluation.table import flatten_keys
from inpaint.imaging.reading import read_picture, write_picture
from inpaint.runs import records

IDS = ["a", "b", "c", "d", "e", "f"]


def write_job(
    folder: Path,
    override: str,
    psnr: dict[str, float],
    *,
    content: float | None = 0.5,
    state: str = "finished",
    sides: Sequence[int] = (8,) * len(IDS),
    more: dict[str, float] | None = None,
    means: dict[str, Any] | None = None,
    masks: bool = True,
) -> None:
    """A job on pictures of 16 x 16 with a hole of 8 x 8, filled evenly; PSNR as given, every other measure 1.

    Args:
        sides: of the holes.
        more: further measures of both stages.
        means: what metrics.json holds besides the name.
        masks: whether mask.png and the area are there, as versions before them did not write them.
    """
    records.write(folder, ["+experiment=x", override], override, state, "No disk." if state == "failed" else "")
    if state != "finished":
        return
    stages = {"content": content, "refined": 0.25}
    measures = {"l1": 1.0, "l2": 1.0, "ssim": 1.0}
    lines = []
    for picture_id, side in zip(IDS, sides, strict=True):
        row = {"id": picture_id, **({"area": 100 * side**2 / 256} if masks else {})}
        for stage, grey in stages.items():
            if grey is not None:
                value = psnr[picture_id] if stage == "refined" else 10.0
                nested = {"hole": {**measures, "psnr": value}, "whole": {**measures, "psnr": value}}
                others = {"perceptual": 1.0, "sharpness": float("nan"), "seam": 1.0, **(more or {})}
                row |= flatten_keys({stage: nested | others})
        row["seconds"] = 2.0
        lines += [",".join(row)] * (not lines) + [",".join(map(str, row.values()))]
        truth = torch.full((3, 16, 16), 0.1 * IDS.index(picture_id))
        for kind, grey in {"input": 1.0, "truth": None, **stages}.items():
            picture = truth.clone()
            if grey is not None:
                picture[:, 4 : 4 + side, 4 : 4 + side] = grey
            if kind not in stages or grey is not None:
                write_picture(picture, folder / "pictures" / picture_id / f"{kind}.png")
        if masks:
            mask = torch.zeros(3, 16, 16)
            mask[:, 4 : 4 + side, 4 : 4 + side] = 1
            write_picture(mask, folder / "pictures" / picture_id / "mask.png")
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    (folder / "metrics.json").write_text(json.dumps({"name": "x", **(means or {})}))


def test_rows_intervals_and_paired_differences(tmp_path):
    psnr = dict(zip(IDS, (10.0, 20.0, 30.0, 12.0, 20.0, 28.0), strict=True))
    write_job(tmp_path / "0", "model.preset.alpha=0", psnr)
    write_job(tmp_path / "1", "model.preset.alpha=1", {key: value + 1 for key, value in psnr.items()})
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
    assert "| alpha 1 | +0.000 | +0.000 | **+1.000** |" in text
    assert "share" not in text
    assert content["by_area"] == {}
    # input, content, two jobs, truth: five tiles of 256 with gaps of 4
    assert read_picture(tmp_path / "summary.png").shape == (3, 24 + 6 * 260, 5 * 260 - 4)


def test_few_pictures_have_means_alone(tmp_path):
    for number in range(2):
        folder = tmp_path / str(number)
        write_job(folder, f"alpha={number}", {**dict.fromkeys(IDS, 20.0 + number), "a": 10.0})
        lines = (folder / "metrics.csv").read_text().splitlines()
        (folder / "metrics.csv").write_text("\n".join(lines[:6]) + "\n")
    summary = compare(tmp_path)
    assert summary["rows"][2]["measures"]["hole_psnr"] == {"mean": pytest.approx(18.8), "low": None, "high": None}
    assert summary["rows"][2]["differences"]["hole_psnr"] == {"mean": pytest.approx(0.8), "low": None, "high": None}
    text = (tmp_path / "summary.md").read_text()
    assert "| alpha 1 | 1.000 | 1.000 | 18.800 |" in text
    assert "| alpha 1 | +0.000 | +0.000 | +0.800 |" in text


def test_holes_of_several_areas(tmp_path):
    for number, sides in enumerate([(4, 4, 4, 4, 4, 8), (8,) * 6]):
        psnr = dict(zip(IDS, (10.0, 11.0, 12.0, 13.0, 14.0, 30.0), strict=True))
        write_job(tmp_path / str(number), f"hole={'ab'[number]}", psnr, content=None, sides=sides)
    one, other = compare(tmp_path)["rows"]
    assert {area: part["pictures"] for area, part in one["by_area"].items()} == {"0 to 10 %": 5, "20 to 30 %": 1}
    assert one["by_area"]["0 to 10 %"]["measures"]["hole_psnr"] == {"mean": 12, "low": None, "high": None}
    assert list(other["by_area"]) == ["20 to 30 %"]
    text = (tmp_path / "summary.md").read_text()
    small, large = text.index("Holes of 0 to 10 % of the picture (5 pictures):"), text.index("(1 to 6 pictures):")
    assert "| a | 1.000 | 1.000 | 12.000 |" in text[small:large]
    assert "| b |" not in text[small:large]
    assert "| a | 1.000 | 1.000 | 30.000 |" in text[large:]


@pytest.mark.parametrize("masks", [True, False])
def test_differences_are_to_the_same_hole(masks, tmp_path):
    """Also where an older version, or one of the jobs, kept no masks."""
    for number, (rule, side) in enumerate([("ncc", 4), ("l2", 4), ("ncc", 8), ("l2", 8)]):
        psnr = dict.fromkeys(IDS, 20.0 - side + number % 2)
        kept = masks or number == 1
        write_job(tmp_path / str(number), rule, psnr, content=None, sides=[side] * 6, masks=kept)
        records.write(tmp_path / str(number), [f"rule={rule}", f"fraction={side}"], "", "finished")
    summary = compare(tmp_path)
    assert summary["reference"] == "ncc, fraction 4"
    assert [row["reference"] for row in summary["rows"]] == ["ncc, fraction 4"] * 2 + ["ncc, fraction 8"] * 2
    assert [row["differences"]["hole_psnr"]["mean"] for row in summary["rows"]] == [0, 1, 0, 1]
    first, second = (tmp_path / "summary.md").read_text().split("Compared with ")[1:]
    assert first.startswith("**ncc, fraction 4**")
    assert "| l2, fraction 4 |" in first
    assert "fraction 8 |" not in first
    assert "| l2, fraction 8 |" in second


def write_settings(folder: Path, settings: Sequence[str]) -> None:
    """Jobs of these settings, whose PSNR is one higher from job to job."""
    for number, given in enumerate(settings):
        write_job(folder / str(number), given, dict.fromkeys(IDS, 20.0 + number), content=0.5 + 0.1 * (number > 1))
        records.write(folder / str(number), given.split(), "", "finished")


def test_of_two_settings_the_last_is_what_is_compared(tmp_path):
    names = ("default", "paper")
    write_settings(tmp_path, [f"model/preset={name} weight={weight}" for name in names for weight in (1, 0)])
    summary = compare(tmp_path)
    default, paper = "default, weight 1: refined", "paper, weight 1: refined"
    assert summary["reference"] == default
    assert {row["label"]: row["reference"] for row in summary["rows"]} == {
        "default, weight 1: content network": default,
        default: default,
        "default, weight 0: refined": default,
        "paper, weight 1: content network": paper,
        paper: paper,
        "paper, weight 0: refined": paper,
    }
    assert summary["rows"][-1]["differences"]["hole_psnr"] == {"mean": 1, "low": 1, "high": 1}
    before, first, second = (tmp_path / "summary.md").read_text().split("Compared with ")
    assert before.count("excludes 0, in bold") == 1
    assert first.startswith(f"**{default}**:")
    assert second.startswith(f"**{paper}**:")
    for part, preset in ((first, "default"), (second, "paper")):
        rows = [line.split(" | ")[0] for line in part.splitlines() if line.startswith("| ")][2:]
        assert rows == [f"| {preset}, weight 1: content network", f"| {preset}, weight 0: refined"]


@pytest.mark.parametrize(
    ("settings", "firsts"),
    [
        (["alpha=1 beta=5", "alpha=2 beta=6", "alpha=3 beta=7"], [0, 0, 0]),  # as drawn at random
        (["alpha=1 beta=5", "alpha=2 beta=6", "alpha=2 beta=7"], [0, 1, 1]),
        (["alpha=1 beta=5 c=1", "alpha=1 beta=6 c=1", "alpha=1 beta=6 c=2"], [0, 1, 1]),
        (["alpha=1 beta=5", "alpha=2 beta=5", "alpha=3 beta=5"], [0, 0, 0]),
    ],
)
def test_a_job_with_settings_of_its_own_is_compared_with_the_first(settings, firsts, tmp_path):
    write_settings(tmp_path, settings)
    jobs = read_jobs(tmp_path)
    found = {row["job"]: row["reference"].split(":")[0] for row in compare(tmp_path)["rows"]}
    assert [found[job.number] for job in jobs] == [jobs[first].label for first in firsts]


def test_what_no_shown_picture_tells_apart(tmp_path):
    """Holes and predictions that differ in the last picture alone."""
    for number, side in enumerate((8, 4)):
        write_job(tmp_path / str(number), f"a={number}", dict.fromkeys(IDS, 1.0), content=0.75, sides=[8] * 5 + [side])
    rows = compare(tmp_path, pictures=1)["rows"]
    labels = [f"a {number}: {stage}" for number in (0, 1) for stage in ("content network", "refined")]
    assert [row["label"] for row in rows] == labels
    assert [row["reference"] for row in rows] == ["a 0: refined"] * 2 + ["a 1: refined"] * 2
    assert read_picture(tmp_path / "summary.png").shape[-1] == 5 * 260 - 4  # one prediction is enough for what is shown


def test_seconds_that_nobody_knows_are_left_empty(tmp_path):
    for number, seconds in enumerate(("2.0", "nan")):
        write_job(tmp_path / str(number), f"alpha={number}", dict.fromkeys(IDS, 1.0), content=None)
        table = tmp_path / str(number) / "metrics.csv"
        table.write_text(table.read_text().replace(",2.0\n", f",{seconds}\n"))
    assert [row["seconds"] for row in compare(tmp_path)["rows"]] == [2, None]
    lines = [line for line in (tmp_path / "summary.md").read_text().splitlines() if line.startswith("| alpha")]
    assert [line.split(" | ")[-1] for line in lines[:2]] == ["2.0 |", " |"]


def test_own_measures_and_those_of_a_set(tmp_path):
    for number in range(2):
        fid = {"refined": {"fid": 7.5 - number, "p_ids": 3.0, "u_ids": None}}
        more = {"own": 2.0 + number, "whole_lpips": 0.5}
        write_job(
            tmp_path / str(number), f"alpha={number}", dict.fromkeys(IDS, 1.0), content=None, more=more, means=fid
        )
    summary = compare(tmp_path)
    row = summary["rows"][1]
    assert row["measures"]["own"] == {"mean": 3, "low": 3, "high": 3}
    assert row["differences"]["own"] == {"mean": 1, "low": 1, "high": 1}
    assert row["measures"]["fid"] == {"mean": 6.5, "low": None, "high": None}
    assert "fid" not in row["differences"]
    lines = (tmp_path / "summary.md").read_text().splitlines()
    names = next(line for line in lines if "PSNR" in line).split(" | ")
    cells = [line.split(" | ") for line in lines if line.startswith("| alpha 1")]
    assert names[5] == "LPIPS of the whole"
    assert names[9:13] == ["FID", "P-IDS, %", "U-IDS, %", "own"]
    assert cells[0][9:13] == ["6.500", "3.000", "", "3.000"]
    assert cells[1][9:13] == ["", "", "", "**+1.000** |"]


def test_the_table_of_numbers(tmp_path):
    for number in range(2):
        psnr = dict(zip(IDS, (10.0, 20.0, 30.0, 12.0, 20.0, 28.0 + 6 * number), strict=True))
        write_job(tmp_path / str(number), f"alpha={number}", psnr, content=None, means={"refined": {"fid": 5.0}})
    summary = compare(tmp_path)
    columns, rows = comparison_table(summary)
    assert columns[:4] == ["job", "hole_l1", "hole_l1 low", "hole_l1 high"]
    assert columns.index("fid difference") == columns.index("fid") + 3
    assert [row[0] for row in rows] == ["alpha 0", "alpha 1"]
    last = dict(zip(columns, rows[1], strict=True))
    assert last["hole_psnr"] == 21
    assert last["hole_psnr low"] < 21 < last["hole_psnr high"]
    assert last["hole_psnr difference"] == 1
    assert last["hole_psnr difference low"] < 1 < last["hole_psnr difference high"]
    assert last["sharpness"] is None
    assert (last["fid"], last["fid difference"]) == (5, None)


def test_the_network_of_the_features_is_said(tmp_path):
    """Once where it is the same in all jobs that have one; in a column where it is not."""
    for number, features in enumerate(("VGG-16", "VGG-16", None)):
        means = {"features": features} if features else {}
        content = 0.5 if features else None
        write_job(tmp_path / str(number), f"m={number}", dict.fromkeys(IDS, 1.0), content=content, means=means)
    assert [row["features"] for row in compare(tmp_path)["rows"]] == [None, "VGG-16", "VGG-16", None]
    assert "The features that were matched are those of VGG-16." in (tmp_path / "summary.md").read_text()
    write_job(tmp_path / "1", "m=1", dict.fromkeys(IDS, 1.0), means={"features": "VGG-19"})
    compare(tmp_path)
    text = (tmp_path / "summary.md").read_text()
    assert "| features | seconds a picture" in text
    assert "The features that" not in text
    assert "| VGG-19 | 2.0 |" in text


def test_many_jobs_stand_in_bands(tmp_path):
    """Twelve fills between input and truth: two bands of six a picture, each with both."""
    for number in range(12):
        write_job(tmp_path / str(number), f"alpha={number}", dict.fromkeys(IDS, 1.0), content=None)
    compare(tmp_path, pictures=2)
    shown = read_picture(tmp_path / "summary.png")
    assert shown.shape == (3, 2 * 2 * (24 + 260), 8 * 260 - 4)
    band = 24 + 260
    for y, grey in ((0, 0.0), (band, 0.0), (2 * band, 0.1)):  # the truth ends each band of its picture
        torch.testing.assert_close(shown[:, y + 34, 7 * 260 + 128], torch.full((3,), grey), atol=0.01, rtol=0)
        assert (shown[:, y + 24 + 128, 128] == 1).all()  # the input begins it


def test_bands_show_the_inputs_of_their_own_jobs(tmp_path):
    """Five sizes of holes by two rules: a band has at most eight columns, among them each of its holes once."""
    for number in range(10):
        sides = [2 + number // 2] * 6
        write_job(tmp_path / str(number), f"hole={number}", dict.fromkeys(IDS, 1.0), content=None, sides=sides)
    jobs = read_jobs(tmp_path)
    bands = _bands(make_columns(jobs, IDS), IDS)
    assert [[column.kind for column in band].count("refined") for band in bands] == [3, 3, 4]
    assert [[column.kind for column in band].count("input") for band in bands] == [2, 2, 2]
    assert all(len(band) <= WIDEST and band[-1].kind == "truth" for band in bands)


def test_the_only_method_without_a_content_network_keeps_its_name(tmp_path):
    write_job(tmp_path / "0", "+method=ours", dict.fromkeys(IDS, 1.0))
    write_job(tmp_path / "1", "+method=telea", dict.fromkeys(IDS, 1.0), content=None)
    assert [row["label"] for row in compare(tmp_path)["rows"]] == ["content network", "ours", "telea"]
    for path in (tmp_path / "0" / "pictures").glob("*/refined.png"):
        path.unlink()
    table = tmp_path / "0" / "metrics.csv"
    table.write_text(table.read_text().replace("refined_", "other_"))
    assert [row["label"] for row in compare(tmp_path)["rows"]] == ["content network", "telea"]


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
    write_job(tmp_path / "0", "rule=ncc", {**dict.fromkeys(IDS, 9.0), "a": 3.0, "b": 1.0, "c": 2.0})
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
    assert summary["rows"][-1]["reference"] == "b: refined"  # of its own pictures
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
