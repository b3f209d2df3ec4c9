"""What a GPU is to do: fill, refine, train and evaluate as a processor does. Skipped where there is none."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from experiments.examples import problem
from inpaint import Inpainter
from inpaint.errors import UserError
from inpaint.fill.__main__ import main
from inpaint.imaging.pixels import composite
from inpaint.imaging.reading import write_picture
from inpaint.photo.photo import Photo
from inpaint.precision import exact_convolutions, fast_dtype, fast_training, find_device
from inpaint.refinement.scale import Scale
from inpaint.refinement.settings import preset
from inpaint.refinement.stages import inpaint
from inpaint.train import run as entry
from inpaint.vgg import load_vgg
from tests.refinement.conftest import GOLDEN
from tests.train.test_train import composed, small

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

PRESETS = ("instant", "default", "best", "paper", "released")


def case(device, size=256, hole=96):
    picture, mask, prediction = (t.to(device) for t in problem(512, 2 * hole))
    half = slice(256 - size // 2, 256 + size // 2)
    return picture[:, half, half].contiguous(), mask[:, half, half].contiguous(), prediction


def filled(device, name, precision="auto"):
    picture, mask, prediction = case(device)
    return inpaint(picture, mask, lambda *_: prediction, load_vgg().on(device, precision), preset(name))


def photo():
    pixels = (255 * problem()[0]).round().byte().permute(1, 2, 0).numpy()
    marked = np.zeros(pixels.shape[:2], dtype=bool)
    marked[200:300, 220:300] = True
    return Photo(np.ascontiguousarray(pixels), "RGB"), marked


def test_it_is_chosen_and_multiplies_bfloat16():
    assert find_device("auto").type == "cuda"
    assert fast_dtype(find_device("auto")) == torch.bfloat16
    assert fast_training("gpu") == "bf16-mixed"
    assert Inpainter().device.type == "cuda"
    number = torch.cuda.device_count()
    with pytest.raises(UserError, match=f"There is no device cuda:{number} here"):
        find_device(f"cuda:{number}")


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", ["l2", "ncc"])
def test_energies_and_gradient_in_float32(path, rule):
    """As in test_golden.py."""
    with exact_convolutions():
        check_energies_and_gradient(path, rule)


def check_energies_and_gradient(path, rule):
    golden = load_file(path, device="cuda")
    image, mask = golden["image"].float(), golden["mask"].float()[None]
    scale = Scale(load_vgg().on("cuda", "float32"), image, mask, image, preset(rule=rule, colour=0))
    scale.content_target = scale.framed.of(golden["content"].float())
    pixels = scale.pixels.clone().requires_grad_()
    scale.match(pixels.detach())
    energies = scale.energies(pixels)
    for name, stated in (
        ("texture", f"{rule}.texture"),
        ("content", "content_energy"),
        ("total_variation", "tv_energy"),
    ):
        torch.testing.assert_close(getattr(energies, name).double(), golden[stated].double(), rtol=1e-5, atol=0)
    energies.texture.backward()
    gradient = torch.zeros_like(golden[f"{rule}.texture.grad"].double())
    scale.hole.of(gradient).copy_(pixels.grad)
    difference = (gradient - golden[f"{rule}.texture.grad"].double()).norm()
    assert difference <= 1e-4 * golden[f"{rule}.texture.grad"].double().norm()


@pytest.mark.parametrize("name", PRESETS[:2])
def test_it_fills_as_a_processor_does(name):
    """Matches differ where candidates are nearly alike, so pictures differ a little, and energies hardly."""
    (theirs, ours), (_, mask, _) = (filled(device, name, "float32") for device in ("cpu", "cuda")), case("cpu")
    assert ours.refined.is_cuda
    for a, b in zip(theirs.scales, ours.scales, strict=True):
        assert (a.size, a.iterations) == (b.size, b.iterations)
        for before, after in ((a.before, b.before), (a.after, b.after)):
            if before is not None:
                assert after.total(preset(name)).item() == pytest.approx(before.total(preset(name)).item(), rel=0.05)
    difference = (theirs.refined - ours.refined.cpu()).abs() * mask
    assert difference.sum() / (3 * mask.sum()) < 0.03


@pytest.mark.parametrize("name", PRESETS)
def test_twice_gives_the_same_bits(name):
    first, second = filled("cuda", name), filled("cuda", name)
    assert torch.equal(first.refined, second.refined)
    picture, mask, _ = case("cuda")
    assert torch.equal(composite(picture, first.refined, mask), first.refined)  # nothing else has changed


def test_the_command_fills_on_it(tmp_path):
    write_picture(problem()[0], tmp_path / "photo.png")
    arguments = ["inpaint.fill", str(tmp_path / "photo.png"), "--box", "200,200,300,300"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [*arguments, "--device", "cuda:0", "--report", str(tmp_path / "report.json")])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["peak_memory_bytes"]["cuda:0"] > 2**20
    assert (report["device"], report["precision"]) == ("cuda:0", "bfloat16")


def test_variants_differ_and_the_seed_decides():
    own, marked = photo()
    inpainter = Inpainter(preset="instant")
    pictures = [inpainter.fill_photo(own, marked, seed=seed).photo.pixels for seed in (0, 1, 1)]
    assert not np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(pictures[1], pictures[2])
    assert np.array_equal(pictures[0][:150], own.pixels[:150])


def test_too_little_memory_on_it_says_what_to_lower():
    own, marked = photo()
    inpainter = Inpainter()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**20) / total)
    try:
        with pytest.raises(UserError, match="Memory does not suffice: lower --max-side"):
            inpainter.fill_photo(own, marked)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    inpainter.fill_photo(own, marked)  # it goes on as before


@pytest.mark.parametrize("experiment", ["quickstart", "content", "refine"])
def test_it_trains_and_evaluates(experiment, tmp_path):
    overrides = [f"+experiment={experiment}", "data=sample", "logger=csv", "trainer=gpu"]
    metrics = entry.train(composed(tmp_path, small(overrides)))
    assert metrics
    if experiment != "content":
        assert metrics["test/energy/scale1/texture_after"] > 0


def test_training_goes_on_where_it_stopped(tmp_path):
    """The weights after two epochs are the same, whether or not it was stopped after the first."""
    overrides = ["+experiment=content", "data=sample", "logger=csv", "trainer=gpu", "test=false"]
    overrides += ["+trainer.deterministic=true"]

    def weights(folder, *more):
        entry.train(composed(folder, [*small(overrides), *more]))
        (last,) = folder.rglob("last.ckpt")
        return torch.load(last, map_location="cpu", weights_only=False)["state_dict"]

    whole = weights(tmp_path / "whole", "trainer.max_epochs=2")
    weights(tmp_path / "parts", "trainer.max_epochs=1")
    parts = weights(tmp_path / "parts", "trainer.max_epochs=2", "ckpt_path=last")
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=0, atol=0, msg=name)
