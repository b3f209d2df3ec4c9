import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from inpaint import Inpainter
from inpaint.configuration import read_preset
from inpaint.content.networks import ContextEncoder
from inpaint.errors import UserError
from inpaint.first_stage import Network, first_stage
from inpaint.photos import Photo, read_photo, write_photo
from inpaint.refinement.pyramid import Settings
from inpaint.removal import Window, soften

MEAN = torch.tensor([0.5, 0.4, 0.3])


def network_file(path, middle="fully_connected", **metadata):
    """A small untrained content network, as the starter network is stored."""
    torch.manual_seed(0)
    generator = ContextEncoder(4, 8, middle=middle)
    state = {
        f"generator.{name}": t.half() if t.is_floating_point() else t for name, t in generator.state_dict().items()
    }
    save_file(state | {"mean_colour": MEAN.view(3, 1, 1).half()}, path, metadata or None)
    return path


@pytest.fixture(scope="module")
def inpainter(tmp_path_factory):
    """With a network that was never trained, and as little refinement as there can be."""
    made = Inpainter(network_file(tmp_path_factory.mktemp("weights") / "net.safetensors"), "fast", device="cpu")
    made.settings = replace(made.settings, iterations=1)
    return made


def picture(height=90, width=110, channels=3, dtype=np.uint8):
    top = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, top, (height, width, channels), dtype=dtype, endpoint=True)


def disc(height=90, width=110, y=45, x=55, radius=6):
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(rows - y, columns - x) <= radius


@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.integers(1, 4),
    deep=st.booleans(),
    dilate=st.integers(0, 3),
    feather=st.integers(0, 3),
    holes=st.integers(1, 3),
)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_picture_with_any_holes(inpainter, seed, height, width, channels, deep, dilate, feather, holes):
    """Outside nothing changes, not a bit; inside there are numbers (the refinement refuses others itself)."""
    rng = np.random.default_rng(seed)
    pixels = picture(height, width, channels, np.uint16 if deep else np.uint8)
    marked = np.zeros((height, width), dtype=bool)
    for _ in range(holes):
        top, left = rng.integers(0, height), rng.integers(0, width)
        marked[top : top + rng.integers(1, 30), left : left + rng.integers(1, 30)] = True
    photo = Photo(pixels, {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels])
    hole = soften(marked, dilate, feather) > 0
    if hole.all():
        with pytest.raises(UserError, match="whole photo"):
            inpainter.fill_photo(photo, marked, dilate=dilate, feather=feather)
        return
    filled, done = inpainter.fill_photo(photo, marked, dilate=dilate, feather=feather)
    assert np.array_equal(filled.pixels[~hole], pixels[~hole])
    assert np.array_equal(filled.pixels[..., photo.colours :], pixels[..., photo.colours :])
    assert filled.pixels.dtype == pixels.dtype
    assert done
    for scale in (scale for hole in done for scale in hole.scales):
        assert scale.after.total(inpainter.settings).isfinite().all()


def test_what_stands_in_the_hole_does_not_matter(inpainter):
    pixels, marked = picture(), disc()
    other = np.where((soften(marked, 8, 0) > 0)[..., None], 255 - pixels, pixels)
    assert np.array_equal(
        np.array(inpainter.fill(pixels, marked, feather=0)), np.array(inpainter.fill(other, marked, feather=0))
    )


def test_a_constant_picture_is_filled_with_its_colour(inpainter):
    """Whatever the untrained network predicts, the fill meets its surroundings; also at a corner, and for two holes."""
    pixels = np.full((200, 220, 3), (180, 90, 40), dtype=np.uint8)
    marked = disc(200, 220) | disc(200, 220, 0, 219) | disc(200, 220, 150, 150)
    for content in ("telea", None):
        if content == "telea":
            pytest.importorskip("cv2")
        made = Inpainter(content, "fast", device="cpu") if content else inpainter
        off = np.abs(np.array(made.fill(pixels, marked)).astype(int) - pixels)
        assert off.max() <= (12 if content else 60)


@pytest.mark.parametrize("kind", ["path", "image", "array", "float", "tensor"])
def test_every_kind_of_picture_gives_the_same(inpainter, tmp_path, kind):
    pixels, marked = picture(), disc()
    Image.fromarray(pixels).save(tmp_path / "p.png")
    Image.fromarray(marked).save(tmp_path / "m.png")
    photo, mask = {
        "path": (tmp_path / "p.png", str(tmp_path / "m.png")),
        "image": (Image.fromarray(pixels), Image.fromarray(marked)),
        "array": (pixels, marked.astype(np.uint8)),
        "float": (pixels / np.float32(255), marked.astype(np.float32)),
        "tensor": (torch.from_numpy(pixels).permute(2, 0, 1) / 255, torch.from_numpy(marked)[None].float()),
    }[kind]
    filled = inpainter.fill(photo, mask)
    assert isinstance(filled, Image.Image)
    assert np.array_equal(np.array(filled), np.array(inpainter.fill(pixels, marked)))
    assert np.array_equal(np.array(inpainter.fill(photo, ~marked, invert=True)), np.array(filled))


def test_the_seed_decides(inpainter):
    pixels, marked = picture(), disc()
    made = [np.array(inpainter.fill(pixels, marked))]
    for seed in (1, 2, 2):
        inpainter.seed = seed
        made.append(np.array(inpainter.fill(pixels, marked)))
    inpainter.seed = 0
    assert not np.array_equal(made[0], made[1])
    assert not np.array_equal(made[1], made[2])
    assert np.array_equal(made[2], made[3])


def test_large_windows_are_worked_on_at_max_side(inpainter):
    pixels, marked = picture(300, 320), disc(300, 320, 150, 160, 60)
    inpainter.max_side = 128
    filled, (hole,) = inpainter.fill_photo(Photo(pixels, "RGB"), marked)
    inpainter.max_side = 2048
    assert hole.window[2] > 256
    assert hole.working_side == 128
    outside = soften(marked, 8, 4) == 0
    assert np.array_equal(filled.pixels[outside], pixels[outside])


def test_progress_and_intermediates(inpainter, tmp_path):
    steps = []
    marked = disc() | disc(y=5, x=100, radius=3)
    _, holes = inpainter.fill_photo(
        Photo(picture(), "RGB"), marked, dilate=2, feather=0, progress=steps.append, intermediates=tmp_path
    )
    assert len(holes) == 2
    assert steps == sorted(steps)
    assert steps[-1] == 1
    for folder in ("hole_001", "hole_002"):
        assert {"input.png", "prediction.png", "filled.png"} < {path.name for path in (tmp_path / folder).iterdir()}


def test_the_network_meets_the_holes_border(tmp_path):
    """What it predicts of known pixels is far off; in the hole it ends up near them."""

    class Black(torch.nn.Module):
        def forward(self, shown):
            return torch.zeros(1, 3, 64, 64)

    made = Network(network_file(tmp_path / "net.safetensors"))
    made.generator = Black()
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., 40:80, 50:90] = 1
    mask[..., :10, :10] = 1  # another hole, outside the middle
    bright = torch.where(mask > 0, 9.0, torch.full((1, 3, 128, 128), 0.8))
    filled = made(bright, mask, Window(0, 0, 128), (128, 128))
    torch.testing.assert_close(filled, torch.full_like(filled, 0.8), atol=1e-4, rtol=0)


def test_a_given_picture_is_the_start(tmp_path):
    write_photo(Photo(np.full_like(picture(), 77), "RGB"), tmp_path / "start.png")
    made = first_stage(tmp_path / "start.png")
    window = Window(-9, 0, 128)
    start = made(torch.zeros(1, 3, 128, 128), torch.ones(1, 1, 128, 128), window, (90, 110))
    torch.testing.assert_close(start, torch.full_like(start, 77 / 255))
    with pytest.raises(UserError, match=r"start\.png is 110 x 90 pixels but the photo is 111 x 90"):
        made(torch.zeros(1, 3, 128, 128), torch.ones(1, 1, 128, 128), window, (90, 111))


@pytest.mark.parametrize("middle", ["fully_connected", "channel_wise"])
def test_networks_are_built_from_their_weights(tmp_path, middle):
    made = Network(network_file(tmp_path / "net.safetensors", middle, licence="none"))
    torch.manual_seed(0)
    assert made.generator.state_dict().keys() == ContextEncoder(4, 8, middle=middle).state_dict().keys()
    torch.testing.assert_close(made.mean_colour.flatten(), MEAN, atol=1e-3, rtol=0)
    assert not made.generator.training
    state = {f"generator.{k}": v for k, v in made.generator.state_dict().items()} | {"mean_colour": made.mean_colour}
    torch.save({"state_dict": state | {"discriminator.x": torch.ones(1)}, "epoch": 3}, tmp_path / "last.ckpt")
    again = first_stage(tmp_path / "last.ckpt")
    x = torch.rand(1, 3, 128, 128)
    assert torch.equal(again.generator(x), made.generator(x))


class Pickled:
    def __reduce__(self):
        return exec, ("raise SystemExit('code ran')",)


def test_bad_first_stages(tmp_path):
    def refused(match: str, content: object) -> None:
        with pytest.raises(UserError, match=match):
            first_stage(content)

    refused("no first stage 'magic': choose starter, telea", "magic")
    torch.save({"state_dict": {"x": Pickled()}}, tmp_path / "code.ckpt")
    refused(r"code\.ckpt cannot be read as a checkpoint of tensors", tmp_path / "code.ckpt")
    (tmp_path / "text.safetensors").write_text("hello")
    refused(r"text\.safetensors cannot be read as a checkpoint", tmp_path / "text.safetensors")
    torch.save({"state_dict": {"layer.weight": torch.ones(3)}}, tmp_path / "foreign.ckpt")
    refused(r"foreign\.ckpt holds no content network", tmp_path / "foreign.ckpt")
    state = {f"generator.{k}": v for k, v in ContextEncoder(4, 8).state_dict().items()} | {"mean_colour": MEAN}
    state["generator.decoder.0.weight"] = torch.ones(5, 5, 4, 4)
    save_file(state, tmp_path / "other.safetensors")
    refused(r"other\.safetensors holds another network.*decoder\.0\.weight", tmp_path / "other.safetensors")
    (tmp_path / "text.png").write_text("hello")
    refused(r"text\.png cannot be read", tmp_path / "text.png")


def test_opencv_missing_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"OpenCV.*neural-patch-synthesis\[classical\]"):
        first_stage("telea")


def test_presets():
    default = Settings(**read_preset("default"))
    assert default == Settings()
    fast, best = (Settings(**read_preset(name)) for name in ("fast", "best"))
    cost = [s.rounds * s.iterations for s in (fast, default, best)]
    assert cost == sorted(set(cost))
    assert Settings(**read_preset("released")).content_layer == "relu4_2"
    with pytest.raises(UserError, match="no preset 'quick': choose one of best, default, fast"):
        read_preset("quick")


def test_bad_choices(inpainter, tmp_path):
    net = inpainter.weight_files["content"]
    for device in ("cuda:7", "cuda:x", "tpu"):
        with pytest.raises(UserError, match="There is no device"):
            Inpainter(net, device=device)
    with pytest.raises(UserError, match="max_side"):
        Inpainter(net, max_side=64)
    with pytest.raises(UserError, match="alpha"):
        Inpainter(net, alpha=-1)
    assert Inpainter(net, alpha=0.25).settings.alpha == 0.25
    with pytest.raises(UserError, match="dilate is -1"):
        inpainter.fill(picture(), disc(), dilate=-1)
    with pytest.raises(UserError, match=r"mask is 110 x 90 pixels but the photo is 110 x 91"):
        inpainter.fill(picture(91), disc())
    with pytest.raises(UserError, match="mask is empty"):
        inpainter.fill(picture(), disc() & False)
    with pytest.raises(UserError, match="whole photo"):
        inpainter.fill(picture(), disc(), dilate=200)
    with pytest.raises(UserError, match="not finite"):
        inpainter.fill(np.full((90, 110, 3), np.nan), disc())
    with pytest.raises(UserError, match="shape"):
        inpainter.fill(np.zeros((90, 110, 7), np.uint8), disc())


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_out_of_memory_says_what_to_lower(inpainter, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(inpainter, "_refine", fail)
    with pytest.raises(UserError, match="lower --max-side"):
        inpainter.fill(picture(), disc())


def test_importing_the_package_is_cheap():
    code = "import sys, inpaint; assert 'torch' not in sys.modules; from inpaint import Inpainter; assert Inpainter"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_metadata_reaches_the_image(inpainter, tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    Image.fromarray(picture()).save(tmp_path / "p.jpg", exif=exif, dpi=(300, 300))
    filled = inpainter.fill(tmp_path / "p.jpg", disc())
    assert filled.info["dpi"] == (300, 300)
    assert b"maker" in filled.info["exif"]
    assert read_photo(tmp_path / "p.jpg").size == filled.size[::-1]
