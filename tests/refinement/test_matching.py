import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inpaint.errors import UserError
from inpaint.imaging.box import Box
from inpaint.refinement.energy import target
from inpaint.refinement.matching import Colours, finer, geometry, make_bank, nearby, nearest


def random_case(seed: int, channels: int = 5, rows: int = 11, columns: int = 13, density: float = 0.06):
    """A feature map, another one to ask with, and a ragged hole in cells of one pixel."""
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand(1, rows, columns, generator=generator) < density).float()
    mask[0, rows // 2, columns // 2] = 1
    bank = torch.randn(channels, rows, columns, generator=generator).relu()
    asked = torch.randn(channels, rows, columns, generator=generator).relu()
    return mask, bank, asked


def searchable(seed: int):
    """A random case with all that a search takes; one without candidates is no example."""
    mask, features, asked = random_case(seed)
    where = geometry(mask, 1)
    assume(where.candidates.any())
    return features, asked, where, make_bank(features, where.candidates), Box.around(mask).grown(1, mask.shape[-2:])


def explicit(asked, bank, where, rule):
    """Every patch written out, in float64."""
    columns = where.queries.shape[1]

    def patch(f, r, c):
        return f[:, r - 1 : r + 2, c - 1 : c + 2].double()

    best = []
    for r, c in where.queries.nonzero().tolist():
        costs = []
        for y, x in where.candidates.nonzero().tolist():
            p, q = patch(asked, r, c), patch(bank, y, x)
            value = (p - q).pow(2).sum() if rule == "l2" else -(p * q).sum() / q.norm()
            costs.append((float(value), y * columns + x))
        best.append(min(costs)[1])
    return best


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), rule=st.sampled_from(["l2", "ncc"]), block=st.sampled_from([1, 4000, 2**26]))
def test_nearest_and_identity_against_explicit_patches(seed, rule, block):
    """Blocked or not, the matches are those of explicit patches, and so is the energy of the weighted cells."""
    features, asked, where, bank, box = searchable(seed)
    query, candidate = nearest(box.of(asked), box, where.queries, bank, rule, block_bytes=block)
    assert candidate.tolist() == explicit(asked, features, where, rule)

    aim = target(query, candidate, box, bank)
    mine = (aim.weight * (box.of(asked) - aim.wanted).pow(2)).sum() + aim.rest
    columns = asked.shape[-1]
    total = torch.zeros((), dtype=torch.float64)
    for i, j in zip(query.tolist(), candidate.tolist(), strict=True):
        (r, c), (y, x) = divmod(i, columns), divmod(j, columns)
        difference = asked[:, r - 1 : r + 2, c - 1 : c + 2] - features[:, y - 1 : y + 2, x - 1 : x + 2]
        total += difference.double().pow(2).sum()
    norms = [features[:, y - 1 : y + 2, x - 1 : x + 2].pow(2).sum() for y, x in where.candidates.nonzero().tolist()]
    expected = total / len(query) / torch.stack(norms).double().mean() if len(query) else total
    torch.testing.assert_close(mine.double(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", ["l2", "ncc"])
def test_a_copied_patch_is_found(rule):
    """A patch that stands elsewhere in the picture is its own nearest neighbour, at distance 0."""
    torch.manual_seed(1)
    features = torch.rand(4, 12, 12)
    mask = torch.zeros(1, 12, 12)
    mask[0, 3, 3] = 1
    asked = features.clone()
    asked[:, 2:5, 2:5] = features[:, 7:10, 8:11] * (1 if rule == "l2" else 3)  # ncc does not look at the strength
    where = geometry(mask, 1)
    box = Box.around(mask).grown(1, (12, 12))
    query, candidate = nearest(box.of(asked), box, where.queries, make_bank(features, where.candidates), rule)
    assert (query.tolist(), candidate.tolist()) == ([3 * 12 + 3], [8 * 12 + 9])


def test_a_tie_goes_to_the_first():
    features = torch.ones(2, 8, 8)
    mask = torch.zeros(1, 8, 8)
    mask[0, 5, 5] = 1
    where = geometry(mask, 1)
    for rule in ("l2", "ncc"):
        _, candidate = nearest(
            Box(4, 4, 7, 7).of(features), Box(4, 4, 7, 7), where.queries, make_bank(features, where.candidates), rule
        )
        assert candidate.tolist() == [9]


def test_geometry():
    """A cell is in the hole with one pixel of it; patches lie inside the map; candidates are clear of the hole."""
    mask = torch.zeros(1, 33, 32)  # the last row is in no cell
    mask[0, 15, 16] = 1
    mask[0, 32, 0] = 1
    where = geometry(mask, 4)
    assert where.queries.nonzero().tolist() == [[3, 4]]
    assert where.candidates.sum() == 6 * 6 - 9
    assert not where.candidates[2:5, 3:6].any()
    assert not where.candidates[0].any()


def test_a_hole_that_leaves_no_candidate():
    mask = torch.ones(1, 32, 32)
    mask[0, :8] = 0
    with pytest.raises(UserError, match=r"no patch to learn from in a picture of 32 x 32 .* 12 x 12"):
        geometry(mask, 4)
    with pytest.raises(UserError, match=r"of 4 x 4 pixels: .* 24 x 24"):  # no cell at all
        geometry(torch.zeros(1, 4, 4), 8)


@pytest.mark.parametrize("rule", ["l2", "ncc"])
def test_nearby_finds_a_shifted_copy_from_one_right_neighbour(rule):
    """What the hole holds is the map moved by two cells; one match is known, its neighbour is found from it."""
    mask, features, _ = random_case(3, rows=20, columns=20, density=0)
    where = geometry(mask, 1)
    bank = make_bank(features, where.candidates)
    box = Box.around(mask).grown(2, mask.shape[-2:])
    asked = features.roll((-4, 3), (1, 2))  # the patch at (r, c) is the one at (r + 4, c - 3)
    query = where.queries.flatten().nonzero().flatten()
    guess = torch.full((20, 20), -1)
    guess[9, 10] = (9 + 4) * 20 + 10 - 3  # the neighbour above
    found = nearby(box.of(asked), box, query, guess, bank, rule)
    assert found.tolist() == (query + 4 * 20 - 3).tolist()


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), rule=st.sampled_from(["l2", "ncc"]))
def test_nearby_is_never_worse_than_the_guess_and_keeps_to_candidates(seed, rule):
    _, asked, where, bank, box = searchable(seed)
    query, best = nearest(box.of(asked), box, where.queries, bank, rule)
    guess = torch.full_like(where.queries, -1, dtype=torch.long)
    guess.view(-1)[query] = best
    assert nearby(box.of(asked), box, query, guess, bank, rule).tolist() == best.tolist()  # the best stays the best
    guess.view(-1)[query] = torch.randint(0, guess.numel(), query.shape, generator=torch.Generator().manual_seed(seed))
    assert where.candidates.flatten()[nearby(box.of(asked), box, query, guess, bank, rule)].all()


def test_colours_are_as_strong_as_the_features_times_their_weight():
    """Mean colours of cells, about the picture's mean; their root mean square is the weight times the features'."""
    picture = torch.full((3, 8, 8), 0.25)
    picture[..., 4:] = 0.75
    features = torch.full((5, 4, 4), 2.0)
    colours = Colours.beside(features, picture, 2, 0.3)
    found = colours.of(picture)
    assert found.shape == (3, 4, 4)
    assert (found[..., :2] < 0).all()
    torch.testing.assert_close(found[..., 2:], -found[..., :2])
    torch.testing.assert_close(found.pow(2).sum(0).mean().sqrt(), 0.3 * features.pow(2).sum(0).mean().sqrt())
    assert not colours.of(torch.full((3, 8, 8), 0.5)).any()
    assert not Colours.beside(features, picture, 2, 0).of(picture).any()
    assert not Colours.beside(features, torch.ones(3, 8, 8), 2, 0.3).of(torch.ones(3, 8, 8)).any()  # flat


@pytest.mark.parametrize(("rows", "columns"), [(6, 8), (7, 8), (6, 9), (7, 9)])
def test_finer_matches_move_with_their_cells(rows, columns):
    """Also where the next scale's map has a row or a column that the one before is too small for."""
    match = torch.full((3, 4), -1)
    match[1, 2] = 2 * 4 + 3  # cell (1, 2) to cell (2, 3)
    match[1, 1] = 1 * 4 + 1
    found = finer(match, (rows, columns))
    assert found.shape == (rows, columns)
    for y in range(rows):
        for x in range(columns):
            part_y, part_x = 1, min(max(x // 2, 1), 2)  # of the inner cells
            coarse = int(match[part_y, part_x])
            to_y, to_x = 2 * (coarse // 4) + y - 2 * part_y, 2 * (coarse % 4) + x - 2 * part_x
            assert found[y, x] == (to_y * columns + to_x if 0 <= to_y < rows and 0 <= to_x < columns else -1)


def test_finer_matches_reach_the_queries_at_the_maps_border():
    """16 rows become 33: the queries of row 31 lie in a cell of the border, which had no match of its own."""
    match = torch.full((16, 8), -1)
    match[14, 3] = 14 * 8 + 5
    found = finer(match, (33, 16))
    assert found[31, 6] == 31 * 16 + 10
    assert found[29, 7] == 29 * 16 + 11
