"""A checkpoint becomes the network that ships, and the scores are measured as the model card says."""

import sys
from functools import partial

import pytest
import torch

from experiments.starter import score
from experiments.starter.export import export, halved
from inpaint.content.module import ContentGAN
from inpaint.content.networks import ContextEncoder
from inpaint.content.weights import read_state
from inpaint.imaging.reading import write_picture


@pytest.fixture
def exported(tmp_path):
    torch.manual_seed(0)
    module = ContentGAN(ContextEncoder(filters=4, bottleneck=8), None, partial(torch.optim.Adam))
    torch.save({"state_dict": module.state_dict()}, tmp_path / "last.ckpt")
    export(tmp_path / "last.ckpt", tmp_path / "starter.safetensors")
    return module, tmp_path / "starter.safetensors"


def test_export_keeps_what_predictions_need(exported):
    module, path = exported
    state = read_state(path)
    assert set(state) == {name for name in module.state_dict() if name.startswith("generator.")} | {"mean_colour"}
    assert state["mean_colour"].dtype == torch.float16
    again = ContentGAN(ContextEncoder(filters=4, bottleneck=8), None, partial(torch.optim.Adam), weights=path)
    picture, mask = torch.rand(1, 3, 128, 128), torch.zeros(1, 1, 128, 128)
    mask[..., 36:92, 36:92] = 1
    torch.testing.assert_close(again.eval()(picture, mask), module.eval()(picture, mask), atol=1e-2, rtol=0)


def test_what_float16_cannot_hold_stays_as_it_is():
    large = torch.tensor([0.1, 1e5])
    assert halved("look.1.running_var", torch.tensor([0.1, 65504.0])).dtype == torch.float16
    assert torch.equal(halved("look.1.running_var", large), large)
    assert halved("look.0.weight", large).isinf().any()  # a network that diverged: `export` stops
    assert halved("look.1.num_batches_tracked", torch.tensor(3)).dtype == torch.int64


def test_scores(exported, tmp_path, monkeypatch, capsys):
    pytest.importorskip("cv2", reason="Telea comes with the extra `classical`")
    for i in range(2):
        write_picture(torch.rand(3, 140, 150), tmp_path / "authors_examples" / f"real_{i}.png")
    monkeypatch.setattr(
        sys,
        "argv",
        ["score", "--data", str(tmp_path), "--content", str(exported[1]), "--grid", str(tmp_path / "g.jpg")],
    )
    score.main()
    out = capsys.readouterr().out
    assert "skipped, for" in out
    rows = [line for line in out.splitlines() if line.startswith("| the authors' examples (2)")]
    assert [row.split("|")[2].strip() for row in rows] == list(score.HOLES)
    assert (tmp_path / "g.jpg").is_file()
