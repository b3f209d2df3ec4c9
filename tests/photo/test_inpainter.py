import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from inpaint import Inpainter
from inpaint.content.weights import StoredNetwork, save_network
from inpaint.errors import UserError
from inpaint.photo import inpainter as module
from inpaint.photo.canvas import Margins
from inpaint.photo.enlarge import enlarge
from inpaint.photo.files import read_photo, write_photo
from inpaint.photo.first_stage import VARIETY, Network, first_stage, smooth, varied
from inpaint.photo.photo import Photo
from inpaint.photo.windows import Window
from inpaint.refinement.stages import Filled, inpaint
from tests.content.helpers import tiny_generator

MEAN = torch.tensor([0.5, 0.4, 0.3])


def network_file(path, **options):
    """A small untrained content network, as the starter network is stored."""
    torch.manual_seed(0)
    generator = tiny_generator(**options)
    tensors = {name: t.half() if t.is_floating_point() else t for name, t in generator.state_dict().items()}
    save_network(StoredNetwork(generator.architecture, tensors, MEAN.view(3, 1, 1).half()), path)
    return path


@pytest.fixture(scope="module")
def inpainter(tmp_path_factory):
    """With a network that was never trained, and as little refinement as there can be."""
    made = Inpainter(network_file(tmp_path_factory.mktemp("weights") / "net.safetensors"), "instant", device="cpu")
    made.settings = replace(made.settings, gradient_scales=1, iterations=1)
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
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_any_picture_with_any_holes(inpainter, seed, height, width, channels, deep, dilate, feather, holes):
    """Outside nothing changes, not a bit; inside there are numbers (the refinement refuses others itself)."""
    rng = np.random.default_rng(seed)
    pixels = picture(height, width, channels, np.uint16 if deep else np.uint8)
    marked = np.zeros((height, width), dtype=bool)
    for _ in range(holes):
        top, left = rng.integers(0, height), rng.integers(0, width)
        marked[top : top + rng.integers(1, 50), left : left + rng.integers(1, 50)] = True
    photo = Photo(pixels, {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels])
    hole = enlarge(marked, dilate, feather).weights > 0
    if hole.all():
        with pytest.raises(UserError, match="whole photo"):
            inpainter.fill_photo(photo, marked, dilate=dilate, feather=feather)
        return
    filled, done, _ = inpainter.fill_photo(photo, marked, dilate=dilate, feather=feather)
    assert np.array_equal(filled.pixels[~hole], pixels[~hole])
    assert filled.pixels.dtype == pixels.dtype
    assert done
    for scale in (scale for hole in done for scale in hole.scales):
        assert (scale.after is None) == (scale.iterations == 0)
        assert scale.after is None or scale.after.total(inpainter.settings).isfinite().all()


def test_what_stands_in_the_hole_does_not_matter(inpainter):
    pixels, marked = picture(), disc()
    other = np.where((enlarge(marked, 8, 0).weights > 0)[..., None], 255 - pixels, pixels)
    first, second = (np.array(inpainter.fill(photo, marked, dilate=8, feather=0)) for photo in (pixels, other))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("content", ["telea", "starter"])
def test_a_constant_picture_is_filled_with_its_colour(content):
    """Also at a corner, and for two holes."""
    if content == "telea":
        pytest.importorskip("cv2")
    pixels = np.full((200, 220, 3), (180, 90, 40), dtype=np.uint8)
    marked = disc(200, 220) | disc(200, 220, 0, 219) | disc(200, 220, 150, 150)
    filled = Inpainter(content, "instant", device="cpu").fill(pixels, marked)
    assert np.abs(np.array(filled).astype(int) - pixels).max() <= 12


@pytest.mark.parametrize("kind", ["path", "image", "array", "float", "tensor", "bytes"])
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
        "bytes": (torch.from_numpy(pixels).permute(2, 0, 1), np.repeat(marked[..., None] * np.uint8(255), 3, 2)),
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


def test_variants_begin_with_the_own_seed(inpainter, monkeypatch):
    monkeypatch.setattr(inpainter, "seed", 1)
    first, second = inpainter.variants(picture(), disc(), 2)
    assert np.array_equal(np.array(first), np.array(inpainter.fill(picture(), disc())))
    inpainter.seed = 2
    assert np.array_equal(np.array(second), np.array(inpainter.fill(picture(), disc())))
    assert not np.array_equal(np.array(first), np.array(second))
    with pytest.raises(UserError, match="variants is 0, but has to be at least 1"):
        inpainter.variants(picture(), disc(), 0)
    with pytest.raises(UserError, match="mask marks nothing"):  # at once, not when the first is asked for
        inpainter.variants(picture(), disc() & False, 2)


def test_another_seed_adds_what_the_surroundings_have():
    """Waves of a sea under a sky: grey as they are and of their own strength; on a flat picture nothing."""
    torch.manual_seed(0)
    mask, flat = torch.zeros(1, 128, 128), torch.full((3, 128, 128), 0.4)
    mask[:, 48:96, 32:96] = 1
    waves = flat + 0.1 * torch.randn(1, 128, 128)
    under_a_sky = waves.clone()
    under_a_sky[:, :8] = torch.tensor([0.5, 0.8, 0.9]).view(3, 1, 1)

    def added(picture, seed):
        return varied(lambda *_: flat, seed)(picture, mask) - flat

    torch.testing.assert_close(added(flat, 1), torch.zeros_like(flat), atol=1e-5, rtol=0)
    grey = added(waves, 1)
    torch.testing.assert_close(grey, grey[:1].expand(3, -1, -1), atol=2e-4, rtol=0)
    assert 0.03 < grey.std() < VARIETY * 0.1
    for seed in (1, 2, 3):
        assert (added(under_a_sky, seed).abs().mean((1, 2)) < 1.5 * added(waves, seed).abs().mean((1, 2))).all()
    assert torch.equal(grey, added(waves, 1))
    assert not torch.equal(grey, added(waves, 2))


def test_large_windows_are_worked_on_at_max_side(inpainter):
    pixels, marked = picture(300, 320), disc(300, 320, 150, 160, 60)
    inpainter.max_side = 128
    filled, (hole,), _ = inpainter.fill_photo(Photo(pixels, "RGB"), marked, dilate=8, feather=4)
    inpainter.max_side = 2048
    assert hole.window.side > 256
    assert hole.working_side == 128
    outside = enlarge(marked, 8, 4).weights == 0
    assert np.array_equal(filled.pixels[outside], pixels[outside])


def test_progress_and_intermediates(inpainter, tmp_path, monkeypatch):
    monkeypatch.setattr(
        inpainter, "settings", replace(inpainter.settings, rounds=3, gradient_scales=None, voting_scales=0)
    )
    steps = []
    marked = disc(radius=9) | disc(y=5, x=100, radius=3)
    _, holes, _ = inpainter.fill_photo(
        Photo(picture(), "RGB"), marked, dilate=2, feather=0, on_progress=steps.append, intermediates=tmp_path
    )
    assert len(holes) == 2
    assert steps == sorted(steps)
    assert steps[-1] == 1
    told = 3 * (1 + inpainter.settings.iterations + 1)  # each round's matches and evaluations of the energy
    assert len(set(steps)) == 2 + told * sum(len(hole.scales) for hole in holes)  # and both first stages
    for folder in ("hole_001", "hole_002"):
        assert {"input.png", "prediction.png", "filled.png"} < {path.name for path in (tmp_path / folder).iterdir()}


def test_near_specks_are_filled_together_and_see_no_other_hole(inpainter, monkeypatch):
    """They match only what is finer than themselves, at their own scale, without a gradient; a thick hole sees all."""
    marked = disc(300, 500, 100, 430, 40)
    for x in (30, 80, 130, 230):
        marked |= disc(300, 500, 60, x, 2)
    calls = []

    def watched(picture, mask, first_stage, vgg, settings, **rest):
        size = int(rest["real"].of(mask).sum())
        calls.append((size, settings.layers, settings.gradient_scales, rest["most_scales"] == 1))
        return inpaint(picture, mask, first_stage, vgg, settings, **rest)

    monkeypatch.setattr(module, "inpaint", watched)
    monkeypatch.setattr(inpainter, "settings", replace(inpainter.settings, layers=("relu3_1", "relu4_1")))
    photo = Photo(picture(300, 500), "RGB")
    filled, holes, _ = inpainter.fill_photo(photo, marked, dilate=0, feather=1)
    speck = int(disc(300, 500, 60, 30, 2).sum())
    assert len(holes) == len(calls) == 3
    assert calls[0][0] >= int(disc(300, 500, 100, 430, 40).sum())
    assert calls[0][1:] == (("relu3_1", "relu4_1"), 1, False)
    assert calls[1:] == [(3 * speck, ("relu3_1",), 0, True), (speck, ("relu3_1",), 0, True)]
    outside = enlarge(marked, 0, 1).weights == 0
    assert np.array_equal(filled.pixels[outside], photo.pixels[outside])


def test_specks_begin_with_the_shades_around_them():
    """Their first stage carries a slope on exactly, and what a larger hole holds beside them does not matter."""
    slope = torch.linspace(0, 1, 256).expand(3, 256, 256)
    specks = torch.from_numpy(disc(256, 256, 60, 60, 5) | disc(256, 256, 90, 120, 4)).float()[None]
    large = torch.from_numpy(disc(256, 256, 170, 170, 50)).float()[None]
    filled = smooth(torch.where(specks + large > 0, 9.0, slope), specks + large)
    torch.testing.assert_close(filled * (1 - large), slope * (1 - large), atol=0.01, rtol=0)


def test_what_the_fill_fades_into_is_the_photo(inpainter, monkeypatch):
    """Not what the first stage filled a speck with before."""
    white = Filled(*(torch.ones(3, 128, 128) for _ in range(3)), 0, [], torch.zeros(1, 128, 128), False)
    monkeypatch.setattr(inpainter, "first_stage", lambda picture, mask: torch.ones_like(picture))
    monkeypatch.setattr(module, "inpaint", lambda *_, **__: white)
    marked = disc(radius=2)
    photo = picture(channels=1) // 2
    filled, _, _ = inpainter.fill_photo(Photo(photo, "L"), marked, dilate=0, feather=4)
    weights = enlarge(marked, 0, 4).weights
    assert ((weights > 0) & (weights < 255)).any()
    share = weights[..., None] / 255
    assert np.array_equal(filled.pixels, (share * 255 + (1 - share) * photo).round())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_the_ring_has_one_colour_so_has_the_fill(inpainter, dtype):
    """A page, a screenshot, each to the bit: without a network, and whatever stands in the hole or further away."""
    page = picture(dtype=dtype)
    page[20:70, 30:80] = np.iinfo(dtype).max - np.arange(3, dtype=dtype)
    marked = disc(radius=8)
    dirty = np.where(disc(radius=10)[..., None], picture(dtype=dtype), page)
    filled, (hole,), _ = inpainter.fill_photo(Photo(dirty, "RGB"), marked, dilate=2, feather=2)
    assert np.array_equal(filled.pixels, page)
    assert hole.flat
    assert hole.to_json()["scales"] == []


def test_a_drawing_of_few_colours_gets_no_others(inpainter):
    """A screenshot of two colours, with the hole across their border."""
    drawing = np.where(np.arange(110)[:, None] < 55, [[10, 20, 30]], [[200, 210, 220]]).astype(np.uint8)
    drawing = np.broadcast_to(drawing, (90, 110, 3)).copy()
    filled, _, _ = inpainter.fill_photo(Photo(drawing, "RGB"), disc(radius=8))
    assert {tuple(colour) for colour in filled.pixels.reshape(-1, 3).tolist()} == {(10, 20, 30), (200, 210, 220)}


def test_what_was_erased_becomes_as_opaque_as_its_surroundings(inpainter):
    pixels = picture(channels=4)
    pixels[..., 3] = np.where(np.arange(110) < 55, 255, 128)
    erased = disc(y=45, x=25) | disc(y=45, x=85)
    pixels[erased, 3] = 0
    expected = np.broadcast_to(np.where(np.arange(110) < 55, 255, 128), (90, 110))
    filled, _, _ = inpainter.fill_photo(Photo(pixels, "RGBA"), erased, dilate=0, feather=0)
    assert np.array_equal(filled.pixels[..., 3], expected)
    assert np.array_equal(np.array(inpainter.fill(Photo(pixels, "RGBA").to_image(), "alpha"))[45, 20:30, 3], [255] * 10)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_enlarged_canvas_keeps_the_photo_bit_by_bit(inpainter, mode):
    pixels = picture(64, 80, len(mode))
    photo = Photo(pixels, mode)
    filled, (hole,), mask = inpainter.fill_photo(photo, None, margins=Margins.parse("10,0,25%,5"))
    assert mask is None
    assert filled.pixels.shape == (69, 110, len(mode))
    assert np.array_equal(filled.pixels[:64, 10:90], pixels)
    assert hole.box == (0, 0, 110, 69)
    marked = disc(64, 80, 30, 40, 3)
    both = inpainter.fill_photo(photo, marked, dilate=0, feather=0, margins=Margins.parse("10,0,25%,5"))
    assert np.array_equal(both.photo.pixels[:64, 10:90][~marked], pixels[~marked])
    assert len(both.holes) == 2
    image = inpainter.fill(pixels if mode != "L" else pixels[..., 0], expand="0,0,0,50%")
    assert image.size == (80, 96)


def test_a_canvas_too_large_for_one_window_is_filled_at_full_size(inpainter):
    """As sharp as the photo, though the whole was filled at less than half of its size first."""
    pixels = picture(100, 600)

    def steps(max_side):
        inpainter.max_side = max_side
        filled, holes, _ = inpainter.fill_photo(Photo(pixels, "RGB"), None, margins=Margins.parse("40,0,0,0"))
        inpainter.max_side = 2048
        assert np.array_equal(filled.pixels[:, 40:], pixels)
        return len(holes), np.abs(np.diff(filled.pixels[:, :40].astype(float), axis=0)).mean()

    (one, small), (two, strips), (_, whole) = steps(128), steps(256), steps(2048)
    assert (one, two) == (2, 2)
    assert strips > 0.7 * whole > 3 * small


def test_holes_are_counted_on_the_canvas_and_a_given_picture_has_none(inpainter, tmp_path):
    photo = Photo(picture(64, 80), "RGB")
    _, (hole, canvas), _ = inpainter.fill_photo(
        photo, disc(64, 80, 30, 40, 3), dilate=0, feather=0, margins=Margins.parse("10,5,0,0")
    )
    assert hole.box.left == 40 - 3 + 10
    assert hole.box.top == 30 - 3 + 5
    assert canvas.box == (0, 0, 90, 69)
    write_photo(photo, tmp_path / "start.png")
    with pytest.raises(UserError, match="cannot be used with --expand"):
        Inpainter(tmp_path / "start.png", "instant", device="cpu").fill(picture(64, 80), expand="9,0,0,0")


def test_bad_margins(inpainter):
    for text in ("1,2,3", "1,2,3,-4", "a,0,0,0", "10%%,0,0,0", "1e3,0,0,0", "", "9" * 400 + "%,0,0,0", (1, 2, 3, 4)):
        with pytest.raises(UserError, match=r"is not LEFT,TOP,RIGHT,BOTTOM"):
            Margins.parse(text)
    with pytest.raises(UserError, match="adds nothing"):
        inpainter.fill(picture(), expand="0,0%,0,0")
    with pytest.raises(UserError, match=r"would have 20110 x 20090 pixels, more than"):
        inpainter.fill(picture(), expand="0,0,20000,20000")
    with pytest.raises(UserError, match="Nothing says what to fill"):
        inpainter.fill(picture())


def test_the_network_fills_thin_holes_smoothly():
    made = first_stage("starter")
    mask = torch.zeros(1, 128, 128)
    mask[..., 60:68, 50:90] = 1
    slope = torch.linspace(0, 1, 128).expand(3, 128, 128)
    with torch.no_grad():
        filled = made(torch.where(mask > 0, 9.0, slope), mask)
    torch.testing.assert_close(filled, slope, atol=0.04, rtol=0)


def test_a_given_picture_is_the_start(tmp_path):
    write_photo(Photo(np.full_like(picture(), 77), "RGB"), tmp_path / "start.png")
    made = first_stage(tmp_path / "start.png")
    window = Window(0, -9, 128)
    start = made.part(window, (90, 110))(torch.zeros(3, 128, 128), torch.ones(1, 128, 128))
    torch.testing.assert_close(start, torch.full_like(start, 77 / 255))
    with pytest.raises(UserError, match=r"start\.png is 110 x 90 pixels but the photo is 111 x 90"):
        made.part(window, (90, 111))


@pytest.mark.parametrize(
    "options",
    [
        {"middle": "channel_wise"},
        {"encoder_activation": "relu"},
        {"residual": True},
        {"residual": True, "perceptual": True},
    ],
)
def test_networks_are_built_as_their_files_say(tmp_path, options):
    made = Network(network_file(tmp_path / "net.safetensors", **options))
    assert made.generator.architecture == tiny_generator(**options).architecture
    assert ("content_vgg" in made.weight_files) == options.get("perceptual", False)
    torch.testing.assert_close(made.mean_colour.flatten(), MEAN, atol=1e-3, rtol=0)
    assert not made.generator.training
    state = {f"generator.{k}": v for k, v in made.generator.state_dict().items()} | {"mean_colour": made.mean_colour}
    checkpoint = {
        "state_dict": state | {"discriminator.x": torch.ones(1)},
        "architecture": {"generator": made.generator.architecture, "discriminator": None},
        "epoch": 3,
    }
    torch.save(checkpoint, tmp_path / "last.ckpt")
    again = first_stage(tmp_path / "last.ckpt")
    x, mask = torch.rand(1, 3, 128, 128), torch.zeros(1, 1, 128, 128)
    mask[..., 40:80, 50:90] = 1
    assert torch.equal(again.generator(x, mask), made.generator(x, mask))


class Pickled:
    def __reduce__(self):
        return exec, ("raise SystemExit('code ran')",)


def test_bad_first_stages(tmp_path):
    def refused(match: str, content: object) -> None:
        with pytest.raises(UserError, match=match):
            first_stage(content)

    refused("no first stage 'magic': choose starter, telea", "magic")
    torch.save({"state_dict": {"x": Pickled()}}, tmp_path / "code.ckpt")
    refused(
        r"code\.ckpt cannot be read as a checkpoint of tensors: .* plain values, which could run code\.$",
        tmp_path / "code.ckpt",
    )
    (tmp_path / "text.safetensors").write_text("hello")
    refused(r"text\.safetensors cannot be read as a checkpoint", tmp_path / "text.safetensors")
    torch.save({"state_dict": {"layer.weight": torch.ones(3)}}, tmp_path / "foreign.ckpt")
    refused(r"foreign\.ckpt holds no content network", tmp_path / "foreign.ckpt")
    generator = tiny_generator()
    for name in ("decoder.0.0.weight", "joins.1.add.weight"):
        tensors = generator.state_dict() | {name: torch.ones(5, 5, 4, 4)}
        save_network(StoredNetwork(generator.architecture, tensors, MEAN), tmp_path / "other.safetensors")
        refused(rf"other\.safetensors is damaged.*{name}", tmp_path / "other.safetensors")
    (tmp_path / "text.png").write_text("hello")
    refused(r"text\.png is not a picture", tmp_path / "text.png")
    Image.fromarray(picture()).save(tmp_path / "large.png")
    with pytest.raises(UserError, match=r"large\.png declares 110 x 90 pixels.*--max-pixels"):
        first_stage(tmp_path / "large.png", max_pixels=9899)
    assert first_stage(tmp_path / "large.png", max_pixels=9900).pixels.shape == (90, 110, 3)


def test_opencv_missing_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"OpenCV.*neural-patch-synthesis\[classical\]"):
        first_stage("telea")


def test_bad_choices(inpainter, tmp_path):
    net = inpainter.weight_files["content"]
    for device in ("cuda:7", "cuda:x", "tpu", "cpu:", "mps:", "cuda:", "cpu:0", "cuda:\N{ARABIC-INDIC DIGIT ONE}", ""):
        with pytest.raises(UserError, match="There is no device"):
            Inpainter(net, device=device)
    with pytest.raises(UserError, match="max_side"):
        Inpainter(net, max_side=64)
    with pytest.raises(UserError, match="alpha"):
        Inpainter(net, alpha=-1)
    assert Inpainter(net, alpha=0.25).settings.alpha == 0.25
    with pytest.raises(UserError, match="dilate is -1"):
        inpainter.fill(picture(), disc(), dilate=-1)
    with pytest.raises(UserError, match=r"mask is 110 x 90 pixels, but the photo, shown upright, is 110 x 91"):
        inpainter.fill(picture(91), disc())
    with pytest.raises(UserError, match="mask marks nothing"):
        inpainter.fill(picture(), disc() & False)
    with pytest.raises(UserError, match="whole photo"):
        inpainter.fill(picture(), disc(), dilate=200)
    with pytest.raises(UserError, match="not finite"):
        inpainter.fill(np.full((90, 110, 3), np.nan), disc())
    with pytest.raises(UserError, match=r"floats go up to 255, but have to lie in \[0, 1\]"):
        inpainter.fill(np.full((90, 110, 3), 255.0), disc())
    with pytest.raises(UserError, match="shape"):
        inpainter.fill(np.zeros((90, 110, 7), np.uint8), disc())
    with pytest.raises(UserError, match="The photo is a list"):
        inpainter.fill(picture().tolist(), disc())
    with pytest.raises(UserError, match="values are int64"):
        inpainter.fill(picture().astype(np.int64), disc())
    with pytest.raises(UserError, match="seed is -1"):
        Inpainter(net, seed=-1)
    with pytest.raises(UserError, match="alpha is inf"):
        Inpainter(net, alpha=float("inf"))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_out_of_memory_says_what_to_lower(inpainter, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(module, "inpaint", fail)
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
