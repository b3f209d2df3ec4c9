import pytest
import torch

from inpaint.evaluation.gallery import GAP, HEADING, LINE, gallery


def colour(red: float, green: float, blue: float, size: tuple[int, int] = (32, 32)) -> torch.Tensor:
    return torch.tensor([red, green, blue], dtype=torch.float32)[:, None, None].expand(3, *size)


def test_tiles_stand_in_rows_and_columns_under_headings() -> None:
    rows = [[colour(1, 0, 0), colour(0, 1, 0)], [colour(0, 0, 1), colour(0, 0, 0)]]
    shown = gallery(rows, ["left", "right"], side=64)
    assert shown.shape == (3, HEADING + 2 * (64 + GAP), 2 * 64 + GAP)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            top, left = HEADING + y * (64 + GAP), x * (64 + GAP)
            tile = shown[:, top : top + 64, left : left + 64]
            assert torch.allclose(tile, picture[:, :1, :1].expand_as(tile))
    assert (shown[:, :, 64 : 64 + GAP][:, HEADING:] == 1).all()


def test_every_heading_is_written_over_its_column() -> None:
    line = gallery([[colour(0, 0, 0)] * 2], ["input", ""], side=64)[:, :HEADING]
    assert (line[:, :, :64] < 0.5).any()
    assert (line[:, :, 64:] == 1).all()


@pytest.mark.parametrize(
    ("heading", "lines"),
    [("alpha 0.2", 1), ("alpha 0.2, rule ncc, scales 3", 3), ("alpha_0.2,rule_ncc,scales_3", 3), ("", 1)],
)
def test_a_long_heading_is_broken_into_lines_and_stays_over_its_tile(heading: str, lines: int) -> None:
    shown = gallery([[colour(0, 0, 0)] * 3], ["", heading, ""], side=72)
    top = HEADING + (lines - 1) * LINE
    assert shown.shape == (3, top + 72 + GAP, 3 * 76 - GAP)
    assert (shown[:, :top, :72] == 1).all()
    assert (shown[:, :top, 152:] == 1).all()
    dark = (shown[0, :top] < 0.5).any(1)
    assert not dark[0]
    assert not dark[-1]


def test_shape_is_kept() -> None:
    tile = gallery([[colour(0, 0, 0, (16, 32))]], ["wide"], side=64)[:, HEADING : HEADING + 64]
    dark = tile[0] < 0.5
    assert dark.any(dim=1).sum() == 32
    assert dark.any(dim=0).sum() == 64
    assert not dark[:16].any()
    assert not dark[48:].any()


def test_values_are_clamped_and_gradients_left_behind() -> None:
    shown = gallery([[(colour(2, -1, 0.5)).clone().requires_grad_()]], [""], side=32)
    assert not shown.requires_grad
    assert shown.min() == 0
    assert shown.max() == 1


@pytest.mark.parametrize("rows", [[], [[colour(0, 0, 0)]]])
def test_rows_have_one_picture_a_heading(rows: list[list[torch.Tensor]]) -> None:
    with pytest.raises(ValueError, match="2 pictures"):
        gallery(rows, ["left", "right"])
