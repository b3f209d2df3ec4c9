"""The manual's pictures: every part of the program draws what it says, here of a tiny photograph."""

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.examples import square_hole
from experiments.manual import enlarged, kinds, masks, problems, pyramid, sheets
from experiments.manual.sheets import Tile, Workshop
from inpaint.errors import UserError
from inpaint.imaging.pixels import resize
from inpaint.photo.enlarge import enlarge
from inpaint.refinement.settings import preset
from inpaint.vgg import load_vgg

SIDE = 128  # pixels of a photograph's longer side


@pytest.fixture
def shop(tmp_path):
    """Photographs of coloured squares, and a filler that paints what is marked grey, and keeps what it was given."""
    photos = tmp_path / "photos"
    photos.mkdir()
    squares = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8))
    for name in (sheets.FIG, sheets.WINE):
        squares.resize((640, 433), Image.Resampling.BICUBIC).save(photos / name)
    calls = []

    def variants(photo, mask, number, **options):
        calls.append((sheets.marked_of(mask), number, options))
        pixels = np.array(photo)
        pixels[sheets.marked_of(mask)] = 128
        return iter([Image.fromarray(pixels)] * number)

    return Workshop(photos, variants, tmp_path / "kept"), calls


@pytest.fixture
def drawn(monkeypatch):
    """The rows of tiles of every sheet."""
    rows = []
    for module in (masks, kinds, enlarged, pyramid, problems):

        def keep(its_rows, width, height):
            rows.extend(its_rows)
            return sheets.sheet(its_rows, width, height)

        monkeypatch.setattr(module, "sheet", keep)
    return rows


def test_four_masks_are_shown_as_they_are_used(shop, drawn):
    shop, calls = shop
    masks.draw(shop, SIDE)
    above, below = drawn
    photo = shop.photo(sheets.FIG, SIDE)
    assert len(above) == len(below) == len(calls) == 4
    for tile, result, (marked, number, _) in zip(above, below, calls, strict=True):
        assert (np.asarray(tile.picture) == np.asarray(sheets.tinted(photo, marked))).all()
        assert (np.asarray(result.picture)[marked] == 128).all()
        assert number == 1
    good, tight, shadow, large = (marked.sum() for marked, _, _ in calls)
    assert tight < shadow < good < large
    assert [options for _, _, options in calls] == [{}, {"dilate": 0, "feather": 0}, {}, {}]
    assert "--dilate 0" in above[1].caption


def test_what_was_filled_is_kept_for_the_command(shop, capsys):
    shop, calls = shop
    photo = shop.photo(sheets.FIG, SIDE)
    mask = sheets.box(100, 100, 300, 300, photo.size)
    assert len(shop.fill("one", photo, mask, 2, dilate=3)) == 2
    folder = shop.folder
    assert f"{folder / 'one.png'} --mask {folder / 'one_mask.png'} --dilate 3 --variants 2" in capsys.readouterr().out
    assert (np.array(Image.open(folder / "one.png")) == np.array(photo)).all()
    assert (sheets.marked_of(Image.open(folder / "one_mask.png")) == calls[0][0]).all()


def test_a_missing_photograph_is_named(shop):
    with pytest.raises(UserError, match=r"there is no .*nowhere\.jpg"):
        shop[0].photo("nowhere.jpg")


def test_every_kind_of_mask_file_is_understood_but_one(shop, drawn):
    shop, _ = shop
    kinds.draw(shop, 200)
    captions = [tile.caption for row in drawn for tile in row]
    assert len(captions) == 18
    assert captions[1::2].count("is refused") == 1
    assert captions[captions.index("is refused") - 1] == "green painted into the photo"
    photo = shop.photo(sheets.FIG, 200)
    marked = sheets.marked_of(sheets.polygon(sheets.FIG_AND_SHADOW, photo.size))
    expected = np.asarray(sheets.tinted(photo, enlarge(marked).weights > 0)).astype(int)
    pictures = [tile.picture for row in drawn for tile in row][1::2]
    for caption, picture in list(zip(captions[::2], pictures, strict=True))[:7]:
        differs = (np.asarray(picture) != expected).any(-1).mean()
        assert differs < (0.02 if "soft" in caption else 1e-9), caption


def test_what_is_thicker_is_enlarged_by_more(shop, drawn):
    shop, calls = shop
    enlarged.draw(shop, 640)
    assert [len(row) for row in drawn] == [5, 5, 5]
    by = [int(row[2].caption.split()[2]) for row in drawn]
    assert by[0] > by[1] >= by[2] == 1
    (marked, _, _), *others = calls
    assert not others
    together = np.any([sheets.marked_of(thing.mask) for thing in enlarged.things((640, 433))], axis=0)
    assert (marked == together).all()


def test_each_colour_of_an_enlarged_mask_has_its_meaning():
    photo = Image.new("RGB", (128, 128))
    mask = Image.new("L", (128, 128))
    mask.paste(255, (40, 40, 80, 80))
    used = enlarge(sheets.marked_of(mask), dilate=4, feather=3)
    pixels = np.asarray(enlarged.coloured(photo, mask, used))
    colours = [pixels[60, x].tolist() for x in (60, 82, 85, 100)]
    parts = ((sheets.BLUE, 0.6), (enlarged.ORANGE, 0.85), (enlarged.YELLOW, 0.85))
    expected = [[int(part * value) for value in colour] for colour, part in parts]
    assert colours == [*expected, [0, 0, 0]]


def test_a_fill_is_watched_without_being_changed(monkeypatch):
    monkeypatch.setattr(pyramid, "VOTES", (1, 2))
    torch.manual_seed(0)
    case = (torch.rand(3, 128, 128), square_hole(128, 32))
    settings = preset(scales=2, voting_rounds=2, iterations=4)

    def content(picture, mask):
        return resize(torch.full((3, 1, 1), 0.5), (128, 128))

    vgg = load_vgg().on("cpu")
    filled, votes, scales = pyramid.grown(case, content, vgg, settings)
    assert [vote.shape[-1] for vote in votes] == [64] * len(pyramid.VOTES)
    assert [len(scale) for scale in scales] == [settings.iterations + 2] * 2
    assert (filled.refined == pyramid.inpaint(*case, content, vgg, settings).refined).all()
    rows = pyramid.rows_of(case, filled, votes, scales)
    assert [len(row) for row in rows] == [5, 7]
    assert [tile.caption.strip() for tile in rows[-1][-2:]] == ["result", "truth"]
    assert rows[1][0].caption.startswith("128 pixels")


def test_five_problems_are_mended(shop, drawn):
    shop, calls = shop
    problems.draw(shop, SIDE)
    assert [len(row) for row in drawn] == [4] * 5
    assert [row[0].caption[:2] for row in drawn] == ["1.", "2.", "3.", "4.", "5."]
    assert len(calls) == 9
    assert [number for _, number, _ in calls] == [1, 1, 3, 1, 1, 1, 1, 1, 1]
    shares = [marked.mean() for marked, _, _ in calls]
    assert shares[0] < shares[1]  # the whole object instead of a part
    assert shares[3] > 3 * shares[4]  # more photograph around what is marked
    assert shares[5] > shares[6]  # the scratch instead of a box
    assert shares[7] == shares[8]
    assert calls[8][2] == {"dilate": 5}  # of 24 in a photograph of 640 pixels


def test_a_sheet_has_room_for_its_tiles():
    tile = Tile("one\ntwo", Image.new("RGB", (30, 20), "red"))
    picture = sheets.sheet([[tile, tile], [tile._replace(caption="one")]], 60, 40)
    assert picture.size == (2 * 60 + sheets.GAP, 2 * 40 + sheets.GAP + 3 * sheets.LINE + 8)
    assert np.asarray(picture)[2 * sheets.LINE + 24, 30].tolist() == [255, 0, 0]
    with pytest.raises(ValueError, match="rows of tiles"):
        sheets.sheet([], 60, 40)
