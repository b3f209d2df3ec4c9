import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from inpaint.errors import UserError
from inpaint.imaging.marked import understood
from inpaint.photo.files import write_photo
from inpaint.photo.masks import ALPHA, as_mask, mask_from_boxes, read_values
from inpaint.photo.photo import Photo

SIZE = (40, 60)  # height, width
RING = (20, 10, 44, 30)


def marks(mask: object) -> np.ndarray:
    return understood(read_values(mask))  # type: ignore[arg-type]


def ellipse(mode: str, background: object, colour: object, scale: int = 1) -> Image.Image:
    """An ellipse on a background; with `scale`, drawn larger and made smaller, so that its edge is soft."""
    picture = Image.new(mode, (SIZE[1] * scale, SIZE[0] * scale), background)
    ImageDraw.Draw(picture).ellipse([side * scale for side in RING], fill=colour)
    return picture.resize(SIZE[::-1], Image.Resampling.BOX) if scale > 1 else picture


MARKED = np.asarray(ellipse("L", 0, 255)) > 0
HALF = np.indices(SIZE)[1] >= 30  # the right one


def palette(*colours: tuple[int, int, int]) -> Image.Image:
    picture = Image.fromarray(MARKED.astype(np.uint8), "P")
    picture.putpalette([part for colour in colours for part in colour])
    return picture


def with_clear_corners(picture: Image.Image) -> Image.Image:
    """As a screenshot, or a card, is cut out: opaque but for its rounded corners."""
    picture = picture.convert("RGBA")
    alpha = Image.new("L", picture.size, 0)
    ImageDraw.Draw(alpha).rounded_rectangle((0, 0, SIZE[1] - 1, SIZE[0] - 1), radius=8, fill=255)
    picture.putalpha(alpha)
    return picture


def with_a_smudge(picture: Image.Image) -> Image.Image:
    picture = picture.convert("RGBA")
    picture.putpixel((3, 3), (*picture.getpixel((3, 3))[:3], 200))  # type: ignore[index]
    return picture


def painted_on_clear(colour: tuple[int, int, int]) -> Image.Image:
    picture = Image.new("RGBA", SIZE[::-1], (255, 255, 255, 0))
    ImageDraw.Draw(picture).ellipse(RING, fill=(*colour, 255))
    return picture


def masks() -> dict[str, Image.Image]:
    white = Image.fromarray(np.where(HALF, 255, 0).astype(np.uint8))
    clear = Image.new("RGBA", white.size, "black")
    clear.putalpha(white)
    palette = Image.fromarray(HALF.astype(np.uint8), "P")
    palette.putpalette([10, 0, 0, 200, 200, 200])
    deep = Image.fromarray(np.where(HALF, 40000, 20000).astype(np.uint16))
    grey = Image.fromarray(np.where(HALF, 128, 127).astype(np.uint8))
    return {
        "grey": white,
        "rgb": white.convert("RGB"),
        "bits": white.convert("1"),
        "alpha": clear,
        "opaque": white.convert("RGBA"),
        "palette": palette,
        "deep": deep,
        "threshold": grey,
    }


@pytest.mark.parametrize("kind", sorted(masks()))
@pytest.mark.parametrize("invert", [False, True])
def test_masks_of_any_kind(tmp_path, kind, invert):
    masks()[kind].save(tmp_path / "mask.png")
    assert np.array_equal(as_mask(tmp_path / "mask.png", SIZE, invert), HALF ^ invert)
    assert np.array_equal(marks(masks()[kind]), HALF)


def test_a_turned_mask_is_seen_upright(tmp_path):
    tags = Image.Exif()
    tags[0x0112] = 6
    masks()["grey"].rotate(90, expand=True).save(tmp_path / "mask.jpg", exif=tags, quality=95)
    assert np.array_equal(as_mask(tmp_path / "mask.jpg", SIZE), HALF)
    with Image.open(tmp_path / "mask.jpg") as image:
        assert np.array_equal(marks(image), HALF)


@pytest.mark.parametrize(
    "array",
    [
        HALF,
        HALF.astype(np.uint8),
        HALF * np.uint8(255),
        HALF * 1.0,
        HALF * np.uint16(65535),
        torch.from_numpy(HALF)[None].float(),
        torch.from_numpy(HALF)[None, None].to(torch.uint8) * 255,
        (HALF * 255).astype(np.int64),
        np.repeat(HALF[..., None] * np.uint8(255), 3, axis=2),  # as OpenCV reads a mask
        HALF[None] * 1.0,
        HALF[..., None],
        torch.from_numpy(HALF).expand(3, -1, -1).to(torch.bfloat16),
        HALF.tolist(),
    ],
)
def test_masks_of_any_array(array):
    assert np.array_equal(marks(array), HALF)


def test_bad_masks(tmp_path):
    masks()["grey"].save(tmp_path / "mask.png")
    with pytest.raises(UserError, match=r"mask\.png is 60 x 40 pixels, but the photo, shown upright, is 61 x 40"):
        as_mask(tmp_path / "mask.png", (40, 61))
    Image.new("L", SIZE[::-1], 0).save(tmp_path / "empty.png")
    with pytest.raises(UserError, match=r"empty\.png marks nothing"):
        as_mask(tmp_path / "empty.png", SIZE)
    with pytest.raises(UserError, match=r"empty\.png marks the whole photo"):
        as_mask(tmp_path / "empty.png", SIZE, invert=True)
    with pytest.raises(UserError, match="shape"):
        marks(np.ones((4, 5, 2)))
    with pytest.raises(UserError, match="The mask is a NoneType"):
        marks(None)
    assert marks(np.ones((1, 3))).shape == (1, 3)  # a picture of one row


def test_a_mask_and_boxes_together_are_checked(tmp_path):
    """Each sentence names what is wrong; what only both do is not laid at the mask's door."""
    masks()["grey"].save(tmp_path / "mask.png")
    both = as_mask(tmp_path / "mask.png", SIZE, boxes=[(0, 0, 1, 1)])
    assert both[0, 0]
    assert np.array_equal(both[:, 1:], HALF[:, 1:])
    assert as_mask(None, SIZE, boxes=[(0, 0, 1, 1)]).sum() == 1
    Image.new("L", SIZE[::-1], 0).save(tmp_path / "empty.png")
    with pytest.raises(UserError, match=r"empty\.png marks nothing"):
        as_mask(tmp_path / "empty.png", SIZE, boxes=[(0, 0, 1, 1)])
    with pytest.raises(UserError, match=r"^--box marks the whole photo"):
        as_mask(None, SIZE, boxes=[(0, 0, 60, 40)])
    with pytest.raises(UserError, match=r"mask\.png with --box marks the whole photo"):
        as_mask(tmp_path / "mask.png", SIZE, boxes=[(0, 0, 30, 40)])


def test_boxes():
    marked = mask_from_boxes([(30, 0, 60, 40), (0, 0, 1, 1)], SIZE)
    assert np.array_equal(marked[:, 1:], HALF[:, 1:])
    assert marked[:, 0].tolist() == [True] + [False] * 39
    for box in ((500, 500, 600, 600), (-1, 0, 5, 5), (0, 0, 61, 5)):
        with pytest.raises(UserError, match="outside the photo, which is 60 x 40"):
            mask_from_boxes([box], SIZE)
    with pytest.raises(UserError, match="5,5,5,9 is empty"):
        mask_from_boxes([(5, 5, 5, 9)], SIZE)


@pytest.mark.parametrize(
    "mask",
    [
        ellipse("L", 0, 1),
        ellipse("L", 0, 40),
        ellipse("L", 100, 120),
        ellipse("RGB", "black", "red"),
        ellipse("RGB", "black", "blue"),
        ellipse("RGB", "navy", "yellow"),
        palette((0, 0, 0), (128, 0, 0)),
        palette((0, 0, 0), (1, 1, 1)),
        palette((0, 0, 0), (0, 0, 0)),  # indices alone tell them apart
        Image.fromarray(MARKED.astype(np.uint16)),
        Image.fromarray(MARKED.astype(np.uint16) * 255),
        Image.fromarray(MARKED.astype(np.int32) * 255),
        Image.fromarray(MARKED.astype(np.float32)),
        Image.fromarray(MARKED.astype(np.float32) * 255),
        with_clear_corners(ellipse("L", 0, 255)),
        with_clear_corners(ellipse("RGB", "black", "red")),
        with_a_smudge(ellipse("L", 0, 255)),
        painted_on_clear((255, 255, 255)),
        painted_on_clear((0, 0, 0)),
        painted_on_clear((255, 0, 0)),
    ],
)
def test_any_mask_of_two_values_is_a_mask(mask):
    assert np.array_equal(marks(mask), MARKED)
    assert np.array_equal(as_mask(mask, SIZE, invert=True), ~MARKED)


@pytest.mark.parametrize(
    "mask",
    [
        ellipse("L", 0, 255, 4),
        ellipse("L", 0, 60, 4),
        ellipse("RGB", "black", "red", 4),
        Image.fromarray((np.asarray(ellipse("L", 0, 255, 4)) / 255).astype(np.float32)),
        with_a_smudge(ellipse("L", 0, 255, 4)),
    ],
)
def test_soft_edges_are_marked_where_they_are_more_than_half(mask):
    assert np.array_equal(marks(mask), np.asarray(ellipse("L", 0, 255, 4)) >= 128)


@pytest.mark.parametrize("colour", ["white", "red"])
def test_a_jpeg_is_a_mask(tmp_path, colour):
    ellipse("RGB", "black", colour).save(tmp_path / "mask.jpg", quality=90)
    found = as_mask(tmp_path / "mask.jpg", SIZE)
    assert (found != MARKED).mean() < 0.02


def test_one_clear_pixel_does_not_mark_a_photo():
    mask = ellipse("L", 0, 255).convert("RGBA")
    mask.putpixel((0, 0), (0, 0, 0, 0))
    assert np.array_equal(marks(mask), MARKED)


@pytest.mark.parametrize(
    ("array", "marked"),
    [
        (MARKED * np.uint16(255), MARKED),
        (MARKED.astype(np.int64) * 7, MARKED),
        (MARKED * 0.25, MARKED),
        (np.where(MARKED, [0.7], [0.2]) + np.linspace(0, 0.1, SIZE[1]), MARKED),  # shares, of a network that segments
        (np.repeat(MARKED[..., None] * np.uint8(200), 3, axis=2), MARKED),
        (MARKED[..., None] * np.array([0, 0, 255], dtype=np.uint8), MARKED),
    ],
)
def test_arrays_of_two_values(array, marked):
    assert np.array_equal(marks(array), marked)


def test_what_cannot_be_understood_says_what_was_found(tmp_path):
    labels = Image.fromarray((np.indices(SIZE).sum(0) % 4).astype(np.uint8))
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    two = painted_on_clear((255, 0, 0))
    ImageDraw.Draw(two).rectangle((0, 0, 5, 5), fill=(0, 160, 0, 255))
    erased = Image.fromarray(noise).convert("RGBA")
    erased.putalpha(Image.fromarray(np.where(MARKED, 0, 255).astype(np.uint8)))
    for mask, match in [
        (labels, "labels.png cannot be understood as a mask, because it holds 4 values from 0 to 3: paint"),
        (Image.fromarray(noise), "holds 2400 colours, as a photo does"),
        (two, "holds 2 colours, #ff0000 and #00a000 in what is opaque|holds 2 colours, #00a000 and #ff0000"),
        (erased, "colours in what is opaque"),
        (
            Image.new("L", SIZE[::-1], 0),
            r"marks nothing, because it holds one value, 0: paint what is to be removed white",
        ),
        (Image.new("L", SIZE[::-1], 255), r"marks the whole photo, because it holds one value, 255"),
        (Image.new("RGBA", SIZE[::-1], (255, 255, 255, 0)), "marks nothing, because it holds nothing that is opaque"),
    ]:
        mask.save(tmp_path / "labels.png")
        with pytest.raises(UserError, match=match):
            as_mask(tmp_path / "labels.png", SIZE)
    with pytest.raises(UserError, match="not finite"):
        as_mask(np.full(SIZE, np.nan), SIZE)


def test_nearly_one_colour_on_clear_is_one():
    """Two whites, two reds: a resampled stroke, of which nothing may be lost."""
    for first, second in [((255, 255, 255), (254, 254, 254)), ((255, 0, 0), (254, 0, 0))]:
        mask = painted_on_clear(first)
        mask.putpixel((25, 20), (*second, 255))
        assert np.array_equal(marks(mask), MARKED)


@pytest.mark.parametrize("top", [1, 255, 65535])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colour_masks_of_16_bits(tmp_path, top, mode):
    """Whatever part of the 16 bits they use, of which Pillow keeps the upper 8."""
    pixels = np.zeros((*SIZE, len(mode)), dtype=np.uint16)
    pixels[MARKED] = top
    pixels[..., len(mode.removesuffix("A")) :] = 65535
    write_photo(Photo(pixels, mode), tmp_path / "mask.png")
    assert np.array_equal(as_mask(tmp_path / "mask.png", SIZE), MARKED)


def test_labels_of_many_classes_are_no_mask():
    labels = (np.indices(SIZE).sum(0) % 21).astype(np.uint8)
    with pytest.raises(UserError, match="holds 21 values from 0 to 20"):
        as_mask(labels, SIZE)


def test_odd_arrays(tmp_path):
    with pytest.raises(UserError, match="The mask is a list"):
        marks([[1, 2], [3]])
    assert marks(np.ones((1, 7, 3))).shape == (1, 7)
    with pytest.raises(UserError, match=r"has the shape \(4, 5, 4\): give rows and columns, and 1 or 3 channels"):
        marks(np.ones((4, 5, 4)))
    Image.fromarray(np.full(SIZE, np.nan, np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(UserError, match="not finite"):
        as_mask(tmp_path / "nan.tif", SIZE)


def test_the_photos_own_transparency_is_a_mask():
    alpha = np.where(MARKED, 0, 255).astype(np.uint8)
    alpha[0, 0] = 254  # a soft eraser
    expected = MARKED.copy()
    expected[0, 0] = True
    assert np.array_equal(as_mask(ALPHA, SIZE, alpha=alpha), expected)
    assert np.array_equal(as_mask("alpha", SIZE, invert=True, alpha=alpha), ~expected)
    with pytest.raises(UserError, match="has no transparency"):
        as_mask(ALPHA, SIZE)
    with pytest.raises(UserError, match="the same opacity everywhere, which marks nothing"):
        as_mask(ALPHA, SIZE, alpha=np.full(SIZE, 200, np.uint8))
