"""A checkpoint becomes the network that ships, and the scores are measured as the model card says."""

import sys

import pytest
import torch

from experiments.starter import score
from experiments.starter.export import export, halved, main
from inpaint.content.weights import STARTER, load_network, read_network
from inpaint.imaging.reading import write_picture
from tests.content.helpers import save_checkpoint, tiny_discriminator, tiny_gan


@pytest.fixture
def exported(tmp_path):
    torch.manual_seed(0)
    module = tiny_gan(generator={"encoder_activation": "relu"}, discriminator=tiny_discriminator())
    save_checkpoint(module, tmp_path / "last.ckpt")
    export(tmp_path / "last.ckpt", tmp_path / "starter.safetensors")
    return module, tmp_path / "starter.safetensors"


def test_export_keeps_what_predictions_need(exported):
    module, path = exported
    stored = read_network(path)
    assert stored.architecture == module.generator.architecture
    assert stored.tensors.keys() == module.generator.state_dict().keys()
    assert {tensor.dtype for tensor in stored.tensors.values()} == {torch.float16, torch.int64}
    generator, colour = load_network(path)
    torch.testing.assert_close(colour, module.mean_colour, atol=1e-3, rtol=0)
    picture, mask = torch.rand(1, 3, 128, 128), torch.zeros(1, 1, 128, 128)
    mask[..., 36:92, 36:92] = 1
    shown = picture * (1 - mask) + module.mean_colour * mask
    expected = module.eval().predict_middle(picture, mask)
    torch.testing.assert_close(generator(shown, mask), expected, atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "required: checkpoint, out"),
        (["last.ckpt"], "required: out"),
        (["none.ckpt", "out.safetensors"], "none.ckpt does not exist"),
        (["last.ckpt", "out.ckpt"], "out.ckpt is to be a .safetensors file"),
        (["infinite.ckpt", "out.safetensors"], "infinite.ckpt holds a network that diverged"),
    ],
)
def test_export_has_to_be_told_what_to_write(arguments, sentence, exported, tmp_path, monkeypatch, capsys):
    """And says in a sentence what it cannot do; the network that ships is not touched."""
    module, shipped = exported[0], STARTER.read_bytes()
    monkeypatch.chdir(tmp_path)
    with torch.no_grad():
        next(module.generator.parameters()).fill_(1e6)
    save_checkpoint(module, tmp_path / "infinite.ckpt")
    monkeypatch.setattr(sys, "argv", ["export", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.glob("out.*"))
    assert STARTER.read_bytes() == shipped


def test_what_float16_cannot_hold_stays_as_it_is():
    large = torch.tensor([0.1, 1e5])
    assert halved("look.1.running_var", torch.tensor([0.1, 65504.0])).dtype == torch.float16
    assert torch.equal(halved("look.1.running_var", large), large)
    assert halved("look.0.weight", large).isinf().any()  # a network that diverged: `export` refuses it
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
