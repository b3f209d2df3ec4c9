"""The study of one's own in `examples/own_study`, run from its folder by the command that its page gives."""

import csv
import json
import os
import subprocess
import sys

import pytest

from inpaint.files import CONF

EXAMPLE = CONF.parent / "examples" / "own_study"
SMALL = ["size=tiny", "trainer.log_every_n_steps=1", "model.preset.scales=1", "model.content.generator.width=8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    own = [sys.executable, "-m", "inpaint.train", "--config-dir", "conf", "+experiment=own_study"]
    path = os.pathsep.join([str(CONF.parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [*own, *SMALL, f"hydra.sweep.dir={folder}"]
    done = subprocess.run(command, cwd=EXAMPLE, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_part_is_hers(folder):
    config = (folder / "1" / "config.yaml").read_text()
    for part in (
        "Dilated",
        "Patches",
        "gradient_difference",
        "Oriented",
        "mean_colour",
        "Listed",
        "discs",
        "edge_error",
    ):
        assert f".{part}\n" in config, part


def test_her_measure_her_features_and_her_energy_are_in_the_results(folder):
    with (folder / "0" / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["refined_edge_error"]) > 0
    assert json.loads((folder / "0" / "metrics.json").read_text())["features"] == "oriented edges"
    assert "edge_error" in json.loads((folder / "summary.json").read_text())["rows"][0]["measures"]
    shift = []
    for job in "01":  # her energy keeps the mean colour of the hole nearer to where it began
        log = (folder / job / "logs" / "metrics.csv").read_text().splitlines()
        name = "test/energy/scale0/colour_after"
        column = log[0].split(",").index(name)
        shift.append(next(float(line.split(",")[column]) for line in log[1:] if line.split(",")[column]))
    assert shift[1] < shift[0]


def test_her_loss_is_logged_and_her_data_is_what_the_list_says(folder):
    head = (folder / "0" / "logs" / "metrics.csv").read_text().splitlines()[0]
    assert "content/loss_edges" in head
    assert (folder / "0" / "test_pictures.txt").read_text().split() == ["grass.png"]
