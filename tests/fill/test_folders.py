"""Plans of folder runs: which photo, which mask, which target; by names alone, so that files are empty."""

import os
import unicodedata
from pathlib import Path

import pytest

from inpaint.data.pairs import Masks
from inpaint.errors import UserError
from inpaint.fill import folders
from inpaint.fill.jobs import ITSELF, Options, find_jobs, not_searched
from inpaint.photo.masks import ALPHA

OPTIONS = {"boxes": [], "invert": False, "dilate": None, "feather": None, "overwrite": False, "intermediates": None}


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def plan(photo, mask, output=None, **options):
    return find_jobs(Path(photo), Path(mask), output and Path(output), Options(**OPTIONS | options))


def masks_of(jobs, masks="masks"):
    """The photos' names, and those of their masks."""
    return {str(job.photo.name): job.mask and str(job.mask.relative_to(masks)) for job in jobs}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


CAFE = "Café.jpg"


@pytest.mark.parametrize(
    "mask",
    ["photo1.jpg", "photo1.png", "PHOTO1.PNG", "photo1_mask.png", "Photo1_Mask.tiff", "photo1-mask.bmp",
     "photo1.jpg.png", "photo1.JPG.webp"],
)  # fmt: skip
def test_what_the_mask_of_a_photo_may_be_called(here, mask):
    touch(here, "photos/photo1.jpg", f"masks/{mask}", "masks/photo10.png", "masks/photo1_masks.png")
    assert masks_of(plan("photos", "masks")) == {"photo1.jpg": mask}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_may_be_put_together_or_not(here, form):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    touch(here, f"photos/{unicodedata.normalize(form, CAFE)}", f"masks/{unicodedata.normalize(other, 'CAFÉ_mask.png')}")
    (job,) = plan("photos", "masks")
    assert job.mask.exists()


def test_the_most_exact_name_is_taken():
    names = ["a.jpg", "a.png", "A.png", "a_mask.png", "a-mask.png", "a.jpg.png"]
    for number, expected in enumerate(["a.jpg", "a.png", "A.png", "a_mask.png", "a-mask.png", "a.jpg.png"]):
        assert Masks(Path("m"), names[number:], ["a.jpg"], False).of("a.jpg") == Path("m", expected)


def test_which_of_two_cannot_be_told(here):
    touch(here, "photos/a.jpg", "photos/b.jpg", "masks/a.bmp", "masks/a.png", "masks/b.png")
    first, second = plan("photos", "masks")
    assert first.fault == f"a.bmp and a.png in masks{os.sep} could each be the mask of a.jpg: rename one."
    assert (second.fault, second.mask) == ("", Path("masks/b.png"))


def test_a_missing_mask_says_what_was_looked_for(here):
    touch(here, "photos/photo2.jpg", "masks/other.png")
    (job,) = plan("photos", "masks")
    assert job.fault == (
        "no mask for photo2.jpg: looked for photo2.png, photo2_mask.png, photo2-mask.png, photo2.jpg.png in "
        f"masks{os.sep} (any picture format, upper or lower case)."
    )


def test_the_mask_of_another_photo_is_not_taken(here):
    touch(here, "photos/A.jpg", "photos/a.jpg", "photos/a_mask.jpg", "masks/a_mask.png")
    assert masks_of(plan("photos", "masks")) == {"A.jpg": None, "a.jpg": None, "a_mask.jpg": "a_mask.png"}
    touch(here, "masks/a.png")
    assert masks_of(plan("photos", "masks")) == {"A.jpg": None, "a.jpg": "a.png", "a_mask.jpg": "a_mask.png"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("a.jpg a_mask.png b.png b-MASK.png", {"a.jpg": "a_mask.png", "b.png": "b-MASK.png"}),
        ("a.jpg a.jpg.png", {"a.jpg": "a.jpg.png"}),
        ("a.jpg a.png B.HEIC b.bmp", {"a.jpg": "a.png", "B.HEIC": "b.bmp"}),  # beside what a camera writes
        ("a.jpg a.png a_mask.png", {"a.jpg": "a_mask.png", "a.png": "a_mask.png"}),
        ("a.jpg a.jpeg", {"a.jpg": None, "a.jpeg": None}),
        ("a.tif a.png", {"a.tif": None, "a.png": None}),
        ("my_mask.jpg", {"my_mask.jpg": None}),  # the mask of nothing
    ],
)
def test_masks_may_lie_among_the_photos(here, names, expected):
    touch(here / "photos", *names.split())
    assert masks_of(plan("photos", "photos/../photos", "out"), "photos/../photos") == expected


def test_what_is_said_to_be_looked_for_among_the_photos_is_true(here):
    touch(here, "photos/a.png")
    (job,) = plan("photos", "photos")
    assert job.fault.startswith(f"no mask for a.png: looked for a_mask.png, a-mask.png, a.png.png in photos{os.sep} (")


def test_folders_inside_are_taken_where_asked(here):
    photos = ["a.jpg", "sub/a.JPG", "sub/deep/b.heic", "empty/notes.txt", ".hidden/c.jpg"]
    touch(here / "photos", *photos)
    touch(here, "masks/a.png", "masks/sub/a_mask.png", "masks/SUB/deep/b.png")
    assert [str(job.photo) for job in plan("photos", "masks")] == ["photos/a.jpg"]
    jobs = plan("photos", "masks", recursive=True, intermediates=Path("steps"), variants=2)
    assert [str(job.target) for job in jobs[::2]] == [
        "photos_filled/a_1.jpg", "photos_filled/sub/a_1.JPG", "photos_filled/sub/deep/b_1.png"
    ]  # fmt: skip
    assert [str(job.mask) for job in jobs[::2]] == ["masks/a.png", "masks/sub/a_mask.png", "masks/SUB/deep/b.png"]
    options = Options(**OPTIONS | {"intermediates": Path("steps")})
    assert options.intermediates_of(jobs[3]) == Path("steps/sub/a_2")


def test_a_second_run_takes_no_results_for_photos(here):
    touch(here, "photos/a.jpg", "photos/sub/b.jpg", "photos/masks/a.png", "photos/masks/sub/b.png")
    touch(here, "photos/out/a.jpg", "photos/masks/out/b.jpg", "photos/steps/a/hole_001/input.png")
    (here / "link").symlink_to(here / "photos" / "out")
    options = Options(**OPTIONS | {"recursive": True, "intermediates": here / "photos" / "steps"})
    jobs = find_jobs(Path("photos"), Path("photos/masks"), Path("link"), options)
    assert masks_of(jobs, "photos/masks") == {"a.jpg": "a.png", "b.jpg": "sub/b.png"}
    besides = not_searched(Path("photos"), Path("photos/masks"), Path("link"), options)
    assert folders.left_out(Path("photos"), False, besides).startswith("Left out: sub/ (1 picture")
    jobs = find_jobs(Path("photos"), Path("photos"), Path("photos/out"), options)  # nor for masks
    assert "photos/out" not in {str(job.photo.parent) for job in jobs}


def test_what_is_left_out_is_named(here):
    touch(here, "p/a.jpg", "p/notes.txt", "p/movie.mov", "p/.DS_Store", "p/.git/a.png", "p/docs/b.txt", "p/one/a.png")
    touch(here, "p/out/a.jpg", *(f"p/sub/{n}/{n}.HEIC" for n in range(12)))
    besides = {os.path.realpath("p/out")}
    assert folders.left_out(Path("p"), False, besides) == (
        "Left out: movie.mov, notes.txt, one/ (1 picture: --recursive takes it), "
        "sub/ (12 pictures: --recursive takes them)"
    )
    assert folders.left_out(Path("p"), True, besides) == "Left out: docs/b.txt, movie.mov, notes.txt"
    assert folders.left_out(Path("p/one"), False, set()) == ""


def test_many_names_that_are_left_out_are_counted(here, monkeypatch):
    touch(here / "p", *(f"{n}.txt" for n in range(9)), *(f"s{n}/{m}.jpg" for n in range(8) for m in range(2)))
    said = folders.left_out(Path("p"), False, set())
    assert said.startswith("Left out: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 4 more files, s0/ (2 pictures: ")
    assert said.endswith("s4/ (2 pictures: --recursive takes them), 3 more folder(s)")
    monkeypatch.setattr(folders, "LOOKED_AT", 3)  # a tree may be huge
    said = folders.left_out(Path("p"), False, set())
    assert said.endswith(
        "s0/ (2 pictures: --recursive takes them), s1/ (1 picture or more: --recursive takes them), 6 more folder(s)"
    )


def test_a_folder_of_no_photos_says_what_it_holds(here):
    touch(here, "p/notes.txt", "p/sub/a.jpg")
    with pytest.raises(UserError) as error:
        plan("p", "alpha")
    assert str(error.value) == (
        "p holds no pictures that could be filled (Left out: notes.txt, sub/ (1 picture: --recursive takes it))."
    )


def test_recursive_is_about_folders(here):
    touch(here, "a.jpg")
    with pytest.raises(UserError, match=r"--recursive needs a folder of photos, and a\.jpg is no folder"):
        plan("a.jpg", "alpha", recursive=True)


def test_words_for_masks(here):
    touch(here, "photos/a.png", "photos/b.png", "photos/link.png.txt")
    (here / "list.csv").write_text("photos/a.png,alpha\nphotos/b.png,itself\n")
    assert [job.mask for job in plan("photos/a.png", ALPHA)] == [ALPHA]
    assert [job.mask for job in plan("photos/a.png", ITSELF)] == [Path("photos/a.png")]
    assert [job.mask for job in plan("photos/a.png", here / "photos" / "a.png")] == [Path("photos/a.png")]
    assert [job.mask for job in plan("photos", ALPHA)] == [ALPHA, ALPHA]
    assert [job.mask for job in plan("photos", ITSELF)] == [Path("photos/a.png"), Path("photos/b.png")]
    listed = find_jobs(Path("list.csv"), None, None, Options(**OPTIONS))
    assert [job.mask for job in listed] == [ALPHA, here / "photos" / "b.png"]


def test_a_file_that_is_called_like_a_word_comes_first(here):
    touch(here, "photos/a.png", "alpha", "itself/a.png")
    (here / "list.csv").write_text("photos/a.png,alpha\n")
    assert [job.mask for job in plan("photos/a.png", ALPHA)] == [here / "alpha"]
    assert [job.mask for job in plan("photos", ITSELF)] == [here / "itself" / "a.png"]
    assert [job.mask for job in find_jobs(Path("list.csv"), None, None, Options(**OPTIONS))] == [here / "alpha"]
    assert here / "alpha" != ALPHA


def test_a_link_among_the_photos_that_leads_nowhere_costs_no_run(here):
    touch(here, "photos/a.png", "mask.png")
    (here / "photos" / "gone.png").symlink_to("nowhere.png")
    (here / "photos" / "same.png").symlink_to(here / "mask.png")
    assert [job.photo.name for job in plan("photos", "mask.png")] == ["a.png", "gone.png"]


LONG = "é" * 123 + "ab"  # 248 bytes


@pytest.mark.parametrize("suffix", [".jpg", ".jp2"])
@pytest.mark.parametrize("variants", [1, 12])
def test_results_of_the_longest_names_can_be_written(here, suffix, variants):
    name = LONG + "c" * (7 - len(suffix)) + suffix
    touch(here, f"photos/{name}")
    options = {"variants": variants, "intermediates": Path("steps")}
    written = {".jpg": ".jpg", ".jp2": ".png"}[suffix]
    for photo in ("photos", f"photos/{name}"):
        jobs = plan(photo, ALPHA, **options)
        for job in jobs:
            touch(here, job.target)
            (here / Options(**OPTIONS | options).intermediates_of(job)).mkdir(parents=True, exist_ok=True)
            assert job.target.suffix == written
            assert job.target.name.startswith("é" * 100)
        assert len({job.target for job in jobs}) == variants


def test_a_link_to_photo_or_mask_is_no_target(here):
    touch(here, "a.png", "m.png")
    for link, end in (("l.png", "a.png"), ("k.png", "m.png"), ("chain.png", "l.png"), ("folder", ".")):
        (here / link).symlink_to(end)
    for output, what in (
        ("l.png", "photo, a.png"), ("k.png", "mask, m.png"), ("chain.png", "photo, a.png"),
        ("folder/a.png", "photo, a.png"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=f"^{output} is a link to the {what}: give another name with -o"):
            plan("a.png", "m.png", output, overwrite=True)
    assert plan("a.png", "m.png", "a.png", overwrite=True)  # who names the photo means it
    assert plan("l.png", "m.png", "l.png", overwrite=True)
    (here / "out_1.png").symlink_to("chain.png")
    with pytest.raises(UserError, match=r"the result of a.png would replace out_1.png, one of"):
        plan("a.png", "m.png", "out.png", overwrite=True, variants=2)
