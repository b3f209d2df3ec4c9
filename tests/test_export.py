"""What is exported gives, in another runtime and another program, what the network gave."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from inpaint import Inpainter
from inpaint.content.module import ContentGAN
from inpaint.content.onnx_network import OnnxNetwork
from inpaint.content.predict import predict
from inpaint.content.weights import STARTER, load_network, load_weights, read_network
from inpaint.errors import UserError
from inpaint.export import network as exporting
from inpaint.export import run as running
from inpaint.export.__main__ import main
from inpaint.export.network import Stage1, export
from inpaint.export.run import generator_of, run
from inpaint.imaging.pixels import middle
from inpaint.photo.first_stage import Network, first_stage
from inpaint.runs.provenance import versions
from tests.content.helpers import save_checkpoint, tiny_gan, tiny_generator

COLOUR = (0.1, 0.2, 0.3)
ROUNDING = {"atol": 1e-6, "rtol": 0.0}


def pictures(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth pictures and holes anywhere: others than those that the export compares by itself."""
    random = torch.Generator().manual_seed(1)
    coarse = torch.rand(number, 3, 9, 9, generator=random)
    masks = torch.zeros(number, 1, 128, 128)
    for i, mask in enumerate(masks):
        mask[:, 40 + i : 90, 50:80] = 1
        mask[:, : 20 * i, 100:] = 1
    return nn.functional.interpolate(coarse, (128, 128), mode="bilinear"), masks


def trained(folder: Path, **generator) -> Path:
    torch.manual_seed(0)
    return save_checkpoint(tiny_gan(generator=generator, mean_colour=COLOUR), folder / "content.ckpt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The paper's network, as every kind of file."""
    folder = tmp_path_factory.mktemp("export")
    checkpoint = trained(folder)
    for kind in ("onnx", "pt2", "safetensors"):
        (folder / f"{kind}.txt").write_text(run(str(checkpoint), folder / f"net.{kind}", None, False))
    return folder


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_a_file_gives_what_the_network_gives(folder, kind):
    """For batches of any size, the hole anywhere, whatever stands in it."""
    function = OnnxNetwork(folder / "net.onnx") if kind == "onnx" else torch.export.load(folder / "net.pt2").module()
    content = tiny_gan(weights=folder / "content.ckpt").eval()
    for number in (1, 5):
        picture, mask = pictures(number)
        with torch.no_grad():
            expected = content(picture, mask)
            middles = content.predict_middle(picture, mask)
            filled, predicted = function(picture, mask)
            other, _ = function(torch.where(mask > 0, 7.0, picture), mask)
        torch.testing.assert_close(filled, expected, **ROUNDING)
        torch.testing.assert_close(other, expected, **ROUNDING)
        torch.testing.assert_close(predicted, middles, **ROUNDING)
        known = (mask == 0).expand_as(picture)
        torch.testing.assert_close(filled[known], picture[known], **ROUNDING)


def facts(path: Path) -> dict[str, str]:
    """The metadata of an exported file."""
    if path.suffix == ".onnx":
        return OnnxNetwork(path).session.get_modelmeta().custom_metadata_map
    if path.suffix == ".pt2":
        extra = {"network.json": ""}
        torch.export.load(path, extra_files=extra)
        return json.loads(extra["network.json"])
    with safe_open(path, "pt") as file:
        return file.metadata()


@pytest.mark.parametrize("kind", ["onnx", "pt2", "safetensors"])
def test_a_file_says_what_it_holds(folder, kind):
    found, source = facts(folder / f"net.{kind}"), folder / "content.ckpt"
    assert json.loads(found["architecture"]) == {"generator": tiny_generator().architecture}
    assert json.loads(found["mean_colour"]) == [0.1, 0.2, 0.3]
    assert (found["side"], found["predicted_side"]) == ("128", "64")
    assert json.loads(found["versions"]) == versions()
    assert (found["source"], found["source_sha256"]) == (
        "content.ckpt",
        hashlib.sha256(source.read_bytes()).hexdigest(),
    )
    assert ("[batch, 3, 128, 128]" in found.get("inputs", "")) == (kind != "safetensors")


def test_an_onnx_file_names_its_inputs_and_its_batch(folder):
    session = OnnxNetwork(folder / "net.onnx").session
    named = {one.name: one.shape for one in [*session.get_inputs(), *session.get_outputs()]}
    sides = [128, 128]
    assert named == {
        "picture": ["batch", 3, *sides],
        "mask": ["batch", 1, *sides],
        "filled": ["batch", 3, *sides],
        "predicted": ["batch", 3, 64, 64],
    }


def test_weights_are_those_of_the_checkpoint(folder):
    here, there = read_network(folder / "content.ckpt"), read_network(folder / "net.safetensors")
    assert here.architecture == there.architecture
    assert here.tensors.keys() == there.tensors.keys()
    assert all(torch.equal(here.tensors[name], there.tensors[name]) for name in here.tensors)
    assert torch.equal(here.mean_colour, there.mean_colour)


def test_what_is_said_at_the_end(folder):
    for kind in ("onnx", "pt2", "safetensors"):
        first, *more = (folder / f"{kind}.txt").read_text().splitlines()
        size = (folder / f"net.{kind}").stat().st_size / 1e6
        assert first == f"{folder / f'net.{kind}'}, {size:.1f} MB"
        assert more[-1].startswith(f"largest difference to the {'weights' if kind == 'safetensors' else 'network'} of")
        if kind != "safetensors":
            assert "takes picture [batch, 3, 128, 128] in [0, 1]" in more[0]
            assert "gives filled [batch, 3, 128, 128] in [0, 1]" in more[1]


@pytest.mark.parametrize(
    "generator", [{}, {"middle": "channel_wise"}, {"residual": True}, {"residual": True, "perceptual": True}]
)
def test_the_function_that_is_exported_is_that_of_the_pipeline(generator):
    """Of every architecture: as `predict` and `ContentGAN` fill holes; and the network itself stays as it was."""
    torch.manual_seed(0)
    content = tiny_gan(generator=generator, mean_colour=COLOUR).eval()
    stage1 = Stage1(content.generator, content.mean_colour)
    picture, mask = pictures(3)
    mask[2] = 0
    middle(mask[2]).fill_(1)
    with torch.no_grad():
        expected = predict(stage1.generator, content.mean_colour, False, picture, mask)
        torch.testing.assert_close(stage1(picture, mask)[0], expected, **ROUNDING)
        # VGG's features may be those of bfloat16 there
        torch.testing.assert_close(
            content(picture, mask), expected, atol=1e-2 if content.generator.vgg else 1e-6, rtol=0
        )
    assert "vgg_features" not in vars(content.generator)
    assert isinstance(content, ContentGAN)
    assert all(parameter.requires_grad for parameter in content.generator.parameters())


class Plain(nn.Module):
    """A generator of somebody's own."""

    def __init__(self, filters: int = 3) -> None:
        super().__init__()
        self.layer = nn.Conv2d(4, filters, 3, padding=1)

    def forward(self, picture, mask):
        return middle(self.layer(torch.cat([picture, mask], 1))[:, :3].sigmoid())


class Moody(Plain):
    def forward(self, picture, mask):
        return super().forward(picture, mask) if picture.mean() > 0.5 else middle(picture)


class Diverged(Plain):
    def forward(self, picture, mask):
        return super().forward(picture, mask) * torch.nan


class Tied(Plain):
    """Two names for one layer, and a buffer of truth values."""

    def __init__(self) -> None:
        super().__init__()
        self.again = self.layer
        self.register_buffer("flags", torch.tensor([True, False]))


PLAIN = {"class": "tests.test_export.Plain"}


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """A run of a generator of somebody's own: its checkpoint and its configuration."""
    folder = tmp_path_factory.mktemp("own")
    torch.manual_seed(0)
    save_checkpoint(tiny_gan(generator=Plain(5), mean_colour=COLOUR), folder / "best.ckpt")
    (folder / "config.yaml").write_text("model: {generator: {_target_: tests.test_export.Plain, filters: 5}}")
    (folder / "both.yaml").write_text("model: {content: {generator: {_target_: tests.test_export.Plain, filters: 5}}}")
    return folder


def test_a_generator_of_ones_own_is_exported_by_its_configuration(own, tmp_path):
    run(str(own / "best.ckpt"), tmp_path / "net.pt2", own / "config.yaml", False)
    generator = Plain(5)
    colour = load_weights(generator, own / "best.ckpt")
    picture, mask = pictures(3)
    extra = {"network.json": ""}
    filled, _ = torch.export.load(tmp_path / "net.pt2", extra_files=extra).module()(picture, mask)
    torch.testing.assert_close(filled, predict(generator, colour, False, picture, mask), **ROUNDING)
    assert json.loads(json.loads(extra["network.json"])["architecture"])["generator"] == PLAIN
    assert generator_of(own / "both.yaml").layer.weight.shape == (5, 4, 3, 3)  # as both stages have it


def test_its_weights_need_no_configuration(own, tmp_path):
    run(str(own / "best.ckpt"), tmp_path / "net.safetensors", None, False)
    generator = Plain(5)
    load_weights(generator, tmp_path / "net.safetensors")
    assert torch.equal(generator.layer.weight, read_network(own / "best.ckpt").tensors["layer.weight"])


@pytest.mark.parametrize("kind", ["pt2", "safetensors"])
def test_weights_with_two_names_are_exported(kind, tmp_path):
    network = Tied()
    assert export(network, torch.zeros(3, 1, 1), tmp_path / f"net.{kind}") < 1e-6
    if kind == "safetensors":
        taken = Tied()
        load_weights(taken, tmp_path / "net.safetensors")
        assert taken.again.weight is taken.layer.weight
        assert torch.equal(taken.layer.weight, network.layer.weight)


@pytest.mark.parametrize(
    ("generator", "sentence"),
    [
        (Moody(), "Moody cannot be exported: what it computes depends on pixels' values"),
        (Diverged(), "predicts values that are not finite"),
    ],
)
def test_a_generator_that_cannot_be_exported_is_a_sentence_and_no_file(generator, sentence, tmp_path):
    (tmp_path / "net.pt2").write_text("an earlier one")
    with pytest.raises(UserError, match=sentence) as refused:
        export(generator, torch.zeros(3, 1, 1), tmp_path / "net.pt2")
    assert "\n" not in str(refused.value)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["an earlier one"]


@pytest.mark.parametrize("wrong", [(0.1, 0), (0, 0.1), (torch.nan, 0), (0, torch.nan)])
def test_a_file_that_gives_something_else_is_not_written(wrong, tmp_path, monkeypatch):
    """In the filled pictures, or in the middles that borders are blended with."""

    def run_wrong(picture, mask):
        return stage1(picture, mask)[0] + wrong[0], stage1(picture, mask)[1] + wrong[1]

    stage1 = Stage1(network := Plain(), torch.zeros(3, 1, 1))
    monkeypatch.setattr(exporting, "_write_pt2", lambda *_: run_wrong)
    with pytest.raises(UserError, match=r"net\.pt2 was not written: its output differs from the network's by"):
        export(network, torch.zeros(3, 1, 1), tmp_path / "net.pt2")
    assert not [*tmp_path.iterdir()]


def test_a_network_too_large_for_onnx_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "LARGEST", 100)
    with pytest.raises(UserError, match=r"GB of weights, but \.onnx holds 2 at most: write \.pt2"):
        export(Plain(), torch.zeros(3, 1, 1), tmp_path / "net.onnx")


def test_wrong_files_are_sentences(folder, own, tmp_path):
    def refused(match: str, checkpoint: Path | str, out: str = "net.pt2", config: Path | None = None) -> None:
        with pytest.raises(UserError, match=match) as told:
            run(str(checkpoint), tmp_path / out, config, False)
        assert "\n" not in str(told.value)

    refused(r"net\.txt has to end in \.onnx, \.pt2 or \.safetensors", "starter", "net.txt")
    refused(r"none\.ckpt does not exist", tmp_path / "none.ckpt")
    torch.save({"state_dict": {"x": torch.ones(1)}}, tmp_path / "other.ckpt")
    for out in ("net.pt2", "net.safetensors"):
        refused(r"other\.ckpt holds no content network", tmp_path / "other.ckpt", out)
    refused(r"'tests\.test_export\.Plain', and no file may name code to run: .* --config", own / "best.ckpt")
    refused(r"none\.yaml does not exist", own / "best.ckpt", config=tmp_path / "none.yaml")
    for text in ("[", "model: {}", "model: {generator: {_target_: nowhere.Plain}}", "3"):
        (tmp_path / "config.yaml").write_text(text)
        refused(r"No generator can be built of .*config\.yaml", own / "best.ckpt", config=tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text("model: {generator: {filters: 3}}")
    refused(r"config\.yaml names no generator", own / "best.ckpt", config=tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text("model: {generator: {_target_: tests.test_export.Plain, filters: 6}}")
    refused(r"best\.ckpt holds another content network", own / "best.ckpt", config=tmp_path / "config.yaml")
    assert not [*tmp_path.glob("net.*")]
    (tmp_path / "net.pt2").write_text("an earlier one")
    refused(r"net\.pt2 exists already: give another name, or --overwrite", folder / "content.ckpt")
    assert (tmp_path / "net.pt2").read_text() == "an earlier one"


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_names_the_extra(package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r"pip install 'neural-patch-synthesis\[export\]'"):
        run("starter", tmp_path / "net.onnx", None, False)


def test_the_command(tmp_path, monkeypatch, capsys):
    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["inpaint.export", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capsys.readouterr()

    checkpoint, out = trained(tmp_path), tmp_path / "net.safetensors"
    code, said, error = command(checkpoint, out)
    assert (code, error) == (0, "")
    assert said.startswith(f"{out}, ")
    exists = f"error: {out} exists already: give another name, or --overwrite.\n"
    assert command(checkpoint, out) == (2, "", exists)
    assert command(checkpoint, out, "--overwrite") == (0, said, "")
    monkeypatch.setattr(running, "run", interrupted)
    assert command(checkpoint, out) == (130, "", "Interrupted; nothing was written.\n")


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_its_help_says_what_the_file_takes():
    help = [sys.executable, "-m", "inpaint.export", "--help"]
    done = subprocess.run(help, capture_output=True, text=True, check=True)
    assert "[batch, 3, 128, 128] in [0, 1]" in done.stdout


@pytest.fixture(scope="module")
def starter(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("starter") / "starter.onnx"
    run("starter", path, None, False)
    return path


def test_the_network_that_ships_is_exported_with_all_that_it_looks_at(starter):
    """Its VGG-16 is in the file; nothing but the file is needed."""
    generator, colour = load_network(STARTER)
    reference = Stage1(generator, colour)  # VGG in float32
    picture, mask = pictures(2)
    with torch.no_grad():
        expected = predict(reference.generator, colour, False, picture, mask)
        torch.testing.assert_close(OnnxNetwork(starter)(picture, mask)[0], expected, atol=2e-5, rtol=0)
    assert starter.stat().st_size > 50e6
    assert [*starter.parent.iterdir()] == [starter]


@pytest.mark.parametrize("blend_border", [True, False])
def test_as_the_first_stage_it_gives_what_the_network_itself_gives(starter, blend_border):
    """Photos of any size, beside black and white as well, where the network predicts more than there is."""
    ours, exported = (first_stage(content, blend_border=blend_border) for content in ("starter", starter))
    assert exported.weight_files == {"content": starter}
    assert isinstance(ours, Network)
    reference = Stage1(ours.generator, ours.mean_colour)
    ours.generator = reference.generator  # VGG in float32
    steps = torch.linspace(-1, 2, 150).clamp(0, 1).expand(3, 150, 150)
    mask = torch.zeros(1, 150, 150)
    mask[:, 50:100, 45:110] = 1
    mask[:, :20, 100:] = 1
    for picture in (steps, pictures(1)[0][0]):
        hole = mask[:, : picture.shape[-1], : picture.shape[-1]]
        with torch.no_grad():
            torch.testing.assert_close(exported(picture, hole), ours(picture, hole), atol=2e-5, rtol=0)


def test_photos_are_filled_with_it(starter):
    photo = np.random.default_rng(0).integers(0, 256, (90, 110, 3), dtype=np.uint8)
    marked = np.zeros((90, 110), dtype=bool)
    marked[30:60, 40:70] = True
    filled = np.asarray(Inpainter(starter, "instant", device="cpu").fill(photo, marked, dilate=0, feather=0))
    assert np.array_equal(filled[~marked], photo[~marked])
    assert not np.array_equal(filled[marked], photo[marked])
