"""What is released: sources and wheel, built without a network, and the wheel in an empty environment."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMMANDS = {"inpaint-fill", "inpaint-train", "inpaint-web"}
LARGEST = 45 * 2**20  # bytes
# what the environment of the tests would add: its paths, a user's own folder
ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")} | {
    "PIP_NO_INDEX": "1",
    "PYTHONNOUSERSITE": "1",
    "OMP_NUM_THREADS": "1",
}
COMPOSE = """
from pathlib import Path
import inpaint
from hydra import compose, initialize_config_dir
from inpaint.files import CONF

assert CONF.parent == Path(inpaint.__file__).parent, CONF
names = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
with initialize_config_dir(str(CONF), version_base="1.3"):
    for name in names:
        assert compose("train", [f"+experiment={name}"]).model._target_, name
print(*names)
"""
WRONG = """
import sys
from importlib.metadata import entry_points

(command,) = entry_points(group="console_scripts", name="inpaint-train")
sys.argv = [command.name, "--no-such-option"]
command.load()()
"""


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, words)], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The archive of sources, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (sources,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sources, wheel


@pytest.fixture(scope="module")
def wheel(built):
    with zipfile.ZipFile(built[1]) as archive:
        yield archive


@pytest.fixture(scope="module")
def commands(built, tmp_path_factory):
    """The folder of the commands of an environment that holds the wheel; what it depends on is borrowed from ours."""
    folder = tmp_path_factory.mktemp("environment")
    for words in (
        ["venv", "--without-pip", folder],
        ["pip", "--python", folder / "bin" / "python", "install", "--no-deps", built[1]],
    ):
        done = run(sys.executable, "-m", *words, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
    scheme = {"base": str(folder), "platbase": str(folder)}
    ours, theirs = (sysconfig.get_path("purelib", vars=used) for used in (None, scheme))
    # a path that a .pth names is searched, but no .pth in it is read: our editable installation stays out
    Path(theirs, "borrowed.pth").write_text(f"{ours}\n")
    return folder / "bin"


def named(text: str, pattern: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    assert match, pattern
    return match[1]


def test_all_files_name_one_version_and_one_date():
    changes = (ROOT / "CHANGELOG.md").read_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert named(changes, r"^## (\d\S*)") == PROJECT["version"] == citation["version"]
    assert named(changes, r"^## \d\S* - (\S+)") == citation["date-released"]


def test_an_index_would_take_both_files(built):
    done = run(sys.executable, "-m", "twine", "check", "--strict", *built, cwd=built[0].parent)
    assert done.returncode == 0, done.stdout
    assert built[1].stat().st_size < LARGEST


def test_the_sources_hold_what_builds_and_tests_them_and_nothing_else(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode == 0:
        left_out = {name for name in tracked.stdout.splitlines() if (ROOT / name).exists()} - names
        assert all(name.startswith(".") for name in left_out), left_out
    assert {"Makefile", "constraints.txt", "NOTICE", "conf/train.yaml", "tests/test_release.py"} <= names
    unwanted = re.compile(r"^(outputs|dist|\.venv)/|__pycache__|\.pyc$|_cache/")
    assert not [name for name in names if unwanted.search(name)]


def test_the_wheel_holds_the_package_its_licences_and_its_commands(wheel):
    names = set(wheel.namelist())
    (folder,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
    assert {name.partition("/")[0] for name in names} == {"inpaint", folder}
    assert "inpaint/py.typed" in names
    for path in (ROOT / "inpaint").rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert path.relative_to(ROOT).as_posix() in names
    metadata = message_from_string(wheel.read(f"{folder}/METADATA").decode())
    assert metadata["Version"] == PROJECT["version"]
    licences = set(metadata.get_all("License-File", []))
    assert {"LICENSE", "NOTICE", "inpaint/assets/NOTICE.md"} <= licences
    vendor = (ROOT / "inpaint" / "web" / "page" / "vendor").glob("*/LICENSE")
    assert {path.relative_to(ROOT).as_posix() for path in vendor} <= licences
    assert {f"{folder}/licenses/{name}" for name in licences} <= names
    scripts = wheel.read(f"{folder}/entry_points.txt").decode()
    assert set(re.findall(r"^(\S+) = inpaint\.\w+\.__main__:main$", scripts, re.MULTILINE)) == COMMANDS


def test_what_is_bundled_is_named_in_the_notice():
    notice = (ROOT / "NOTICE").read_text()
    bundled = ("inpaint/assets/*.safetensors", "inpaint/web/page/vendor/*", "tests/golden/*")
    for path in (path for pattern in bundled for path in ROOT.glob(pattern)):
        assert path.relative_to(ROOT).as_posix() in notice
    shown = {path.parent for path in (ROOT / "experiments").glob("*/*.jpg")}  # results.md names a study's pictures
    assert [
        folder.name for folder in shown if not (folder / "results.md").exists() and f"{folder.name}/" not in notice
    ] == []


def test_an_empty_environment_has_the_wheel_s_package_and_no_other(commands, tmp_path):
    code = "import inpaint, importlib.metadata as m; print(inpaint.__file__, m.version('neural-patch-synthesis'))"
    where, version = run(commands / "python", "-c", code, cwd=tmp_path).stdout.split()
    assert Path(where).is_relative_to(commands.parent)
    assert version == PROJECT["version"]


def test_the_command_fills_a_photo(commands, tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    mask = np.zeros((96, 128), np.uint8)
    mask[30:60, 40:80] = 255
    Image.fromarray(photo).save(tmp_path / "photo.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    exact = ["--dilate", "0", "--feather", "0", "--preset", "instant", "--device", "cpu"]
    done = run(commands / "inpaint-fill", "photo.png", "--mask", "mask.png", *exact, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    filled = np.asarray(Image.open(tmp_path / "photo_filled.png"))
    assert (filled[mask == 0] == photo[mask == 0]).all()
    assert (filled[mask > 0] != photo[mask > 0]).any(axis=-1).mean() > 0.9


def test_every_experiment_is_composed_and_a_wrong_option_of_the_training_refused_with_2(commands, tmp_path):
    done = run(commands / "python", "-c", COMPOSE + WRONG, cwd=tmp_path)  # one process, for it takes long to start
    names = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))
    assert done.stdout.split() == names, done.stderr
    refused_with_2(done)


def test_the_training_s_command_shows_its_configuration(commands, tmp_path):
    done = run(commands / "inpaint-train", "+experiment=refine", "data=sample", "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["model"]["_target_"] == "inpaint.refinement.module.Refinement"


@pytest.mark.parametrize("name", sorted(COMMANDS - {"inpaint-train"}))
def test_a_command_calls_itself_by_its_name_and_refuses_wrong_options_with_2(name, commands, tmp_path):
    done = run(commands / name, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: {name} ")
    refused_with_2(run(commands / name, "--no-such-option", cwd=tmp_path))


def refused_with_2(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr
    assert "Traceback" not in done.stderr
