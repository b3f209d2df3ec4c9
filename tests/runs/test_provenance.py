import json
import platform
import re
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from inpaint.errors import UserError
from inpaint.runs import provenance


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say")
def test_peak_memory_is_of_this_process() -> None:
    before = provenance.peak_memory()
    assert before is not None
    held = torch.ones(before // 4 + 2**24)  # 4 bytes each: more than was ever held
    assert provenance.peak_memory() >= before + 2**25
    del held


def test_versions_name_every_core_dependency() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[<>=!~\[; ]", requirement)[0] for requirement in project["dependencies"]]
    assert sorted(names) == sorted(provenance.DEPENDENCIES)
    assert project["name"] == provenance.PACKAGE

    versions = provenance.versions()
    assert set(versions) == {"python", "platform", provenance.PACKAGE, *names}
    assert versions["python"] == platform.python_version()
    assert versions["torch"] == torch.__version__.split("+")[0] or versions["torch"] == torch.__version__


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert provenance.sha256(tmp_path / "file") == expected


def test_record(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"abc")
    provenance.record(tmp_path / "new" / "run", "seed: 0\n", {"vgg": weights, "content": "ab12"})
    assert (tmp_path / "new/run/config.yaml").read_text() == "seed: 0\n"
    written = json.loads((tmp_path / "new/run/provenance.json").read_text())
    assert written["versions"] == provenance.versions()
    assert written["weights"] == {
        "vgg": {"file": str(weights), "sha256": provenance.sha256(weights)},
        "content": {"sha256": "ab12"},
    }
    assert {path.name for path in (tmp_path / "new/run").iterdir()} == {"config.yaml", "provenance.json"}


def test_missing_weights_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.pt cannot be read"):
        provenance.record(tmp_path / "run", "", {"vgg": tmp_path / "nowhere.pt"})
    assert not (tmp_path / "run").exists()
