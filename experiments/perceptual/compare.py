"""Which distance orders fills as the eye does: `python -m experiments.perceptual.compare FOLDER`.

FOLDER holds pictures of the same names in `truth/`, `today/` (the fills that the others are compared with) and, as far
as there are any, `content/` (stage 1 alone), `voted/` (patch voting, then the refinement) and `alone/` (patch voting
alone); the hole is the box of what differs between `today/` and `truth/`. Of each picture pairs are made of which the
eye says without doubt which is better; the table says how many of them each candidate orders as the eye does. Those of
voting are shown in `pairs.jpg`.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from kornia.filters import gaussian_blur2d
from rich.progress import track
from torch import Tensor

from experiments.pictures import save_jpeg
from inpaint.classical.filling import fill
from inpaint.errors import UserError
from inpaint.evaluation.gallery import gallery
from inpaint.evaluation.metrics import measure
from inpaint.imaging.box import Box
from inpaint.imaging.pixels import Mask, Picture, composite, middle, resize
from inpaint.imaging.reading import read_picture, to_image
from inpaint.vgg import VGG, load_vgg

HERE = Path(__file__).parent
LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_2")
DEEP = LAYERS[2:]
BETTER = ("real_0013", "real_0018", "real_0023", "real_0025")  # Venice, forest, spoonbill, vulture: voted beats today
WORSE = ("real_0019", "real_0029", "001_im")  # stage, parrot, shop: voting alone is worse than today

Map = Float[Tensor, "channels rows columns"]
Maps = dict[str, Map]


def placed(ours: Map, true: Map) -> float:
    """The mean squared distance of features at the same places (LPIPS without learned weights, Zhang et al. 2018)."""
    return float((ours - true).square().sum(0).mean())


def nearby(ours: Map, true: Map) -> float:
    """The same to the best of the nine cells around each place, of both in the other."""

    def one_way(a: Map, b: Map) -> Tensor:
        around = F.unfold(F.pad(a[None], (1, 1, 1, 1), mode="replicate"), 3).view(len(a), 9, -1)
        return (2 - 2 * (around * b.flatten(1)[:, None]).sum(0).amax(0)).mean()

    return float(one_way(ours, true) + one_way(true, ours)) / 2


def anywhere(ours: Map, true: Map) -> float:
    """The same to the best of all cells of the hole, of both in the other."""
    likeness = ours.flatten(1).T @ true.flatten(1)
    return float((2 - 2 * likeness.amax(0)).mean() + (2 - 2 * likeness.amax(1)).mean()) / 2


def contextual(ours: Map, true: Map) -> float:
    """The contextual loss (Mechrez et al. 2018, equations 2 to 4, with h = 0.5)."""
    centre = true.flatten(1).mean(1, keepdim=True)
    a, b = (F.normalize(x.flatten(1) - centre, dim=0) for x in (ours, true))
    distance = (1 - a.T @ b).clamp(min=0)
    weight = ((1 - distance / (distance.amin(1, keepdim=True) + 1e-5)) / 0.5).softmax(1)
    return -float(weight.amax(0).mean().log())


def spread(ours: Map, true: Map) -> float:
    """The squared Wasserstein distance of the hole's features, channel by channel: `placed`, once each is sorted."""
    return float((ours.flatten(1).sort(1)[0] - true.flatten(1).sort(1)[0]).square().sum(0).mean())


def moments(ours: Map, true: Map) -> float:
    """The squared distance of the channels' means and standard deviations in the hole."""
    (m, s), (n, t) = ((x.flatten(1).mean(1), x.flatten(1).std(1)) for x in (ours, true))
    return float((m - n).square().sum() + (s - t).square().sum())


def both(ours: Map, true: Map) -> float:
    return placed(ours, true) + spread(ours, true)


Term = Callable[[Map, Map], float]
CHOSEN = "placed, relu3_3 and relu4_2"
CANDIDATES: dict[str, tuple[Term, tuple[str, ...], tuple[int, ...]]] = {  # of layers, at these parts of the size
    "placed, four layers": (placed, LAYERS, (1,)),
    CHOSEN: (placed, DEEP, (1,)),
    "placed, relu4_2": (placed, DEEP[1:], (1,)),
    "placed, four layers, half the size": (placed, LAYERS, (2,)),
    "placed, relu3_3 and relu4_2, half the size": (placed, DEEP, (2,)),
    "placed, relu3_3 and relu4_2, both sizes": (placed, DEEP, (1, 2)),
    "best of nine cells, relu3_3 and relu4_2": (nearby, DEEP, (1,)),
    "best of the hole both ways, relu4_2": (anywhere, DEEP[1:], (1,)),
    "best of the hole both ways, relu4_2, half the size": (anywhere, DEEP[1:], (2,)),
    "contextual, relu4_2": (contextual, DEEP[1:], (1,)),
    "distribution, relu3_3 and relu4_2": (spread, DEEP, (1,)),
    "means and deviations, four layers": (moments, LAYERS, (1,)),
    "placed and distribution, relu3_3 and relu4_2": (both, DEEP, (1,)),
    "placed and distribution, relu3_3 and relu4_2, half the size": (both, DEEP, (2,)),
}


@torch.no_grad()
def features(vgg: VGG, picture: Picture, hole: Box, part: int) -> Maps:
    """The features in the hole, each cell's divided by their norm, of the picture at a part of its size."""
    height, width = (side // part for side in picture.shape[-2:])
    inner = Box(*(side // part // 8 * 8 for side in hole[:2]), *(-(-side // part // 8) * 8 for side in hole[2:]))
    box = inner.grown(40, (height, width))
    found = vgg(box.of(resize(picture, (height, width)))[None], LAYERS)
    cells = {layer: inner.within(box).scaled(1 / vgg.strides[layer]) for layer in LAYERS}
    return {layer: F.normalize(cells[layer].of(phi[0]), dim=0) for layer, phi in found.items()}


def variants(folder: Path, name: str, truth: Picture, mask: Mask) -> dict[str, Picture]:
    """All fills of a picture: those in the folder, those that are made of them, and Telea's."""
    made = {"today": read_picture(folder / "today" / name)}
    for kind in ("content", "voted", "alone"):
        if (folder / kind / name).exists():
            made[kind] = read_picture(folder / kind / name)
    today, generator = made["today"], torch.Generator().manual_seed(0)
    made["blurred"] = composite(today, blurred(today, 2), mask)
    made["tinted"] = today + mask * torch.tensor([0, -0.06, 0.06]).view(3, 1, 1)
    made["seam"] = today + 0.06 * mask
    made["noise"] = today + 0.06 * mask * torch.randn(today.shape, generator=generator)
    made["patch"] = today.clone()
    left, top, right, bottom = Box.around(mask)
    y, x = (top + bottom) // 2, (left + right) // 2
    made["patch"][:, y - 24 : y + 24, x - 24 : x + 24] = today[:, 40:88, 40:88]
    made["truth moved"] = composite(truth, truth.roll((0, 4), (1, 2)), mask)
    made["truth blurred"] = composite(truth, blurred(truth, 3), mask)
    try:
        made["Telea"] = fill(truth * (1 - mask), mask, "telea")
    except UserError as error:
        print(error)
    return {key: picture.clamp(0, 1) for key, picture in made.items()}


def blurred(picture: Picture, sigma: float) -> Picture:
    side = int(6 * sigma) + 1
    return gaussian_blur2d(picture[None], (side, side), (sigma, sigma), "reflect")[0]


def pairs(name: str) -> Iterator[tuple[str, str, str]]:
    """What the eye says of a picture: kind of pair, the better fill, the worse one."""
    for kind in ("blurred", "tinted", "seam", "noise", "patch", "content", "Telea"):
        yield kind, "today", kind
    yield "moved", "truth moved", "truth blurred"
    yield "moved", "truth moved", "today"
    if name.endswith(BETTER):
        yield "voted", "voted", "today"
    if name.endswith(WORSE):
        yield "alone", "today", "alone"


def draw(folder: Path, names: list[str]) -> None:
    """Writes pairs.jpg: the surroundings of the hole in the pictures whose fills by voting are part of a pair."""
    kinds, rows = ("today", "voted", "alone", "truth"), []
    for name in names:
        if Path(name).stem.endswith(BETTER + WORSE) and all((folder / kind / name).exists() for kind in kinds):
            rows.append([middle(read_picture(folder / kind / name)) for kind in kinds])
    if rows:
        headings = ("today", "voting, refined", "voting alone", "truth")
        save_jpeg(to_image(gallery(rows, headings, side=120)), HERE / "pairs.jpg", most=80_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    names = sorted(path.name for path in (folder / "today").glob("*.png"))
    if not names:
        print(f"skipped, for {folder / 'today'} holds no *.png")
        return
    draw(folder, names)
    vgg, agree = load_vgg().on("cpu", "float32"), dict[tuple[str, str], list[bool]]()
    chosen: dict[str, list[float]] = {}
    for name in track(names, "pictures"):
        truth = read_picture(folder / "truth" / name)
        different = (read_picture(folder / "today" / name) != truth).any(0, keepdim=True)
        hole = Box.around(different.float())
        mask = torch.zeros_like(truth[:1])
        hole.of(mask).fill_(1)
        true = {part: features(vgg, truth, hole, part) for part in (1, 2)}
        values: dict[str, dict[str, float]] = {}
        for fill_name, picture in variants(folder, name, truth, mask).items():
            ours = {part: features(vgg, picture, hole, part) for part in (1, 2)}
            errors = measure(picture, truth, mask)["hole"]
            values[fill_name] = {"PSNR": -errors["psnr"], "SSIM": -errors["ssim"], "L1": errors["l1"]} | {
                candidate: sum(term(ours[part][layer], true[part][layer]) for part in parts for layer in layers)
                for candidate, (term, layers, parts) in CANDIDATES.items()
            }
            chosen.setdefault(fill_name, []).append(values[fill_name][CHOSEN])
        for kind, better, worse in pairs(Path(name).stem):
            if better in values and worse in values:
                for candidate, value in values[better].items():
                    agree.setdefault((candidate, kind), []).append(value < values[worse][candidate])
    kinds = list(dict.fromkeys(kind for _, kind in agree))
    print(f"| candidate | {' | '.join(kinds)} | mean |\n{'| --- ' * (len(kinds) + 2)}|")
    for candidate in dict.fromkeys(candidate for candidate, _ in agree):
        right = [agree[candidate, kind] for kind in kinds]
        mean = sum(sum(row) / len(row) for row in right) / len(kinds)
        print(f"| {candidate} | {' | '.join(f'{sum(row)} of {len(row)}' for row in right)} | {mean:.0%} |")
    print(f"\nMeans of `{CHOSEN}`: {', '.join(f'{k} {sum(v) / len(v):.3f} ({len(v)})' for k, v in chosen.items())}.")


if __name__ == "__main__":
    main()
