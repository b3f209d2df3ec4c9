"""`make bench`: the refinement's speed and memory as ratios, each measured in one run on this machine.

    python -m experiments.speed.bench [--parts energy,pyramid,growth,memory,fill,peers,where,gpu] [--reference FOLDER]

The baseline is a direct port of the published code (whole-picture float32 passes, a match at every iteration, torch's
L-BFGS), `direct_port.py` in the reference folder; parts that need it are skipped, by name, where it is not. So are
the other programs that `peers` compares with.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from experiments.examples import authors_case, problem
from experiments.gmic import Gmic, gmic_version
from inpaint.classical.filling import filler
from inpaint.errors import UserError
from inpaint.imaging.pixels import composite, resize, resize_masked
from inpaint.imaging.reading import write_picture
from inpaint.photo.inpainter import Inpainter
from inpaint.refinement.features import HoleFeatures
from inpaint.refinement.optimise import LBFGS
from inpaint.refinement.pyramid import refine
from inpaint.refinement.scale import Scale, ScaleReport
from inpaint.refinement.settings import preset
from inpaint.refinement.stages import inpaint
from inpaint.runs.provenance import peak_memory
from inpaint.vgg import VGG, load_vgg

REFERENCE = Path("../shared/reference")
EXAMPLES = Path("../shared/data/authors_examples")
PRESETS = ("instant", "default")  # that people wait for: `pyramid`, `fill` and `peers` measure each
RUNS, SHORT = 5, 20.0  # how often what takes less than so many seconds is measured: the median is told
SAME = preset(alpha=1.0, beta=1e-3, colour=0)  # the direct port's own weights, for the time to the same energy
EVERY = 4  # iterations between matchings: of 1, 2, 3, 4, 5, 6, 8 and 10 the quickest to a low energy
PARTS = ("energy", "pyramid", "growth", "memory", "fill", "peers", "where", "gpu")


def seconds(function: Any) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def median_run(run: Callable[[], Any], seconds_of: Callable[[Any], float]) -> Any:
    """What the run of the median seconds gave."""
    runs = [run()]
    while len(runs) < RUNS and seconds_of(runs[0]) < SHORT:
        runs.append(run())
    return sorted(runs, key=seconds_of)[len(runs) // 2]


def peak_gib() -> float:
    """The most memory that this process held, in GiB."""
    return (peak_memory() or 0) / 2**30


def load_port(folder: Path) -> Any:
    if not (folder / "direct_port.py").is_file():
        print(f"skipped, for there is no direct port in {folder}: energy, and its part of gpu")
        return None
    sys.path.insert(0, str(folder))
    import direct_port  # type: ignore[import-not-found]

    return direct_port


def port_scale(port: Any, known: Tensor, m: Tensor, target: Tensor, iterations: int) -> tuple[float, float, Any]:
    """One scale of the direct port: its seconds, its last energy, and its energy as a function of a picture."""
    banks = port.bank(target, m)
    x = target.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [x], max_iter=iterations, max_eval=iterations, history_size=10, tolerance_grad=0, tolerance_change=0
    )

    def energy(y: Tensor) -> Tensor:
        content, tv = port.content_energy(y, target, m), port.tv_energy(y, m)
        return content + SAME.alpha * port.texture(y, banks, SAME.rule) + SAME.beta * tv

    def closure() -> Tensor:
        optimiser.zero_grad()
        e = energy(known * (1 - m) + x * m)
        e.backward()
        return e

    taken = seconds(lambda: optimiser.step(closure))
    with torch.no_grad():
        return taken, float(energy(known * (1 - m) + x.clamp(0, 1) * m)), energy


def our_time_to(
    goal: float, energy: Any, vgg: VGG, known: Tensor, m: Tensor, target: Tensor
) -> tuple[float, int, float]:
    """Seconds and iterations until our energy, by the port's own function, is the port's last one; and that energy.

    The port's function is slow, and not timed: it looks at the state after 4, 8, 16 ... iterations until the goal is
    reached, then halves the last interval.
    """
    began = time.perf_counter()
    scale = Scale(vgg, known, m[None], target, SAME)
    optimiser, shape = LBFGS(scale.pixels.flatten()), scale.pixels.shape
    states = [(time.perf_counter() - began, optimiser.x)]  # after 0, 4, 8, ... iterations

    def total(flat: Tensor) -> tuple[Tensor, Tensor]:
        x = flat.detach().requires_grad_()
        e = scale.energies(x.view(shape)).total(SAME)
        (gradient,) = torch.autograd.grad(e, x)
        return e.detach(), gradient

    def reached(state: int) -> float:
        with torch.no_grad():
            return float(energy(scale.picture(states[state][1].view(shape).clamp(0, 1))))

    low, high = 0, 1
    while True:
        while len(states) <= high:
            began = time.perf_counter()
            scale.match(optimiser.x.view(shape))
            optimiser.minimise(total, EVERY)
            states.append((states[-1][0] + time.perf_counter() - began, optimiser.x))
        last = reached(high)
        if last <= goal or high >= 64:
            break
        low, high = high, 2 * high
    while last <= goal and high - low > 1:
        middle = (low + high) // 2
        if (e := reached(middle)) <= goal:
            high, last = middle, e
        else:
            low = middle
    return states[high][0], EVERY * high, last


def energy(port: Any, iterations: int) -> list[float]:
    """Time to the same energy, scale by scale; returns the port's seconds."""
    print(f"Time to the energy of the direct port's {iterations} iterations (its own energy function)")
    x, mask, prediction = problem()
    vgg, current, taken = load_vgg().on("cpu"), prediction, []
    for size in (128, 256, 512):
        known, m = resize_masked(x, mask, (size, size)) if size < 512 else (x, mask)
        target = composite(known, resize(current, (size, size)).clamp(0, 1), m)
        theirs, goal, function = port_scale(port, known, m[0], target, iterations)
        ours, needed, reached = our_time_to(goal, function, vgg, known, m[0], target)
        ratio = f"{theirs / ours:.1f} times" if reached <= goal else f"not reached, {reached:.4f}"
        print(f"  {size:4d}: port {theirs:7.1f} s to {goal:.4f}, ours {ours:6.2f} s ({needed} iterations): {ratio}")
        taken.append(theirs)
        current, _ = refine(known, m, target, vgg, preset(scales=1))
    return taken


def pyramid(port_seconds: list[float]) -> None:
    """All scales of a preset against the port's three."""
    x, mask, prediction = problem()
    vgg = load_vgg().on("cpu")

    def total(scales: list[ScaleReport]) -> float:
        return sum(scale.seconds for scale in scales)

    print(f"The whole pyramid, the median of {RUNS} runs where one takes less than {SHORT:.0f} s")
    for name in PRESETS:
        scales = median_run(lambda n=name: inpaint(x, mask, lambda *_: prediction, vgg, preset(n)).scales, total)  # type: ignore[misc]
        each = ", ".join(f"{scale.size[0]}: {scale.seconds:.2f} s" for scale in scales)
        print(f"  {name}: {total(scales):.2f} s ({each})")
        if port_seconds:
            theirs = sum(port_seconds)
            print(f"    direct port {theirs:.0f} s: {theirs / total(scales):.0f} times")


def growth() -> None:
    """Cost grows with the hole, not with the picture."""
    vgg = load_vgg().on("cpu")

    def timed(hole: int, picture: int, scales: int) -> float:
        x, mask, prediction = problem(picture, hole)
        return seconds(lambda: inpaint(x, mask, lambda *_: prediction, vgg, preset(scales=scales)))

    print("The same 256 hole in larger pictures")
    times = {picture: timed(256, picture, 3) for picture in (512, 1024, 2048, 4096)}
    for picture, taken in times.items():
        print(f"  {picture:4d}: {taken:6.2f} s, {taken / times[512]:.2f} times the first")
    print("Twice the hole, in a picture of 2048")
    times = {hole: timed(hole, 2048, scales) for hole, scales in ((128, 2), (256, 3), (512, 4))}
    for hole, taken in times.items():
        print(f"  {hole:4d}: {taken:6.2f} s, {taken / times.get(hole // 2, taken):.2f} times the one before")


MEMORY = """
from experiments.examples import problem
from experiments.speed.bench import peak_gib as peak
from inpaint.refinement.settings import preset
from inpaint.refinement.stages import inpaint
from inpaint.vgg import load_vgg
imports = peak()
vgg = load_vgg().on("cpu")
x, mask, prediction = problem({picture}, {hole})
x, mask = x[:, :{height}], mask[:, {top} : {top} + {height}]
inpaint(x, mask, lambda *_: prediction, vgg, preset(scales={scales}))
print(f"  {{x.shape[-1]}} x {{x.shape[-2]}}, hole {hole}: {{peak():.2f}} GiB resident at most, "
      f"{{peak() - imports:.2f}} above the imports")
"""


def memory() -> None:
    """Peak resident memory, each in a process of its own."""
    print("Memory")
    for hole, picture, height, scales in ((256, 512, 512, 3), (512, 4096, 3072, 4)):
        code = MEMORY.format(hole=hole, picture=picture, height=height, top=(picture - height) // 2, scales=scales)
        sys.stdout.flush()
        subprocess.run([sys.executable, "-c", code], check=True)


def fill() -> None:
    """The command that people use, start-up, reading and writing included, in a process of its own."""
    print("python -m inpaint.fill, a JPEG of 4096 x 3072, as many runs as of the pyramid")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_picture(problem(4096)[0][:, :3072], folder / "photo.jpg")
        for side, name in product((100, 512), PRESETS):
            box = f"2000,1500,{2000 + side},{1500 + side}"
            options = ["--box", box, "--preset", name, "--report", str(folder / "report.json"), "--overwrite"]
            command = [sys.executable, "-m", "inpaint.fill", str(folder / "photo.jpg"), *options]
            once = partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)
            taken = median_run(partial(seconds, once), float)
            peak = json.loads((folder / "report.json").read_text())["peak_memory_bytes"]["main"] or 0
            print(f"  an object of {side} x {side}, {name}: {taken:.1f} s, {peak / 2**30:.2f} GiB resident at most")


def peers() -> None:
    """Each preset and other programs with one picture; they take turns, so that what else runs here hits all alike."""
    if EXAMPLES.is_dir():
        picture, mask = authors_case(min(EXAMPLES.glob("real_*.png")))
    else:
        picture, mask, _ = problem(hole=224)
    photo, hole = (picture * 255).round().byte().permute(1, 2, 0).numpy(), mask[0].numpy() > 0
    ours = {name: partial(Inpainter(preset=name, device="cpu").fill, dilate=0, feather=0) for name in PRESETS}
    others: dict[str, Callable[..., Any]] = {}
    try:
        others["PyPatchMatch"] = filler("patchmatch")
    except UserError as error:
        print(f"skipped: PyPatchMatch. {error}")
    if gmic_version() is None:
        print("skipped, for gmic is not installed: G'MIC")
    else:
        others["G'MIC"] = Gmic()
    taken: dict[str, list[float]] = {name: [] for name in (*ours, *others)}
    for _ in range(RUNS):
        for name, fill in (ours | others).items():
            taken[name].append(seconds(partial(fill, photo, hole)))
    median = {name: statistics.median(times) for name, times in taken.items()}
    print(f"A hole of 224 x 224 at 512, the median of {RUNS} runs (ours with its networks loaded, G'MIC as a command)")
    for name in ours:
        print(f"  {name}: {median[name]:.2f} s")
    for other in others:
        ratios = ", ".join(f"{median[other] / median[name]:.2f} times {name}" for name in ours)
        print(f"  {other}: {median[other]:.2f} s, {ratios}")


def where() -> None:
    """Where the time of the finest scale goes, against the rate of a large matrix product."""
    x, mask, prediction = problem()
    vgg, settings = load_vgg().on("cpu"), preset()
    scale = None

    def build() -> None:
        nonlocal scale
        scale = Scale(vgg, x, mask, resize(prediction, (512, 512)), settings)

    once = seconds(build)
    assert scale is not None
    matching = seconds(lambda: scale.match(scale.pixels))
    pixels = scale.pixels.clone().requires_grad_()
    scale.energies(pixels).total(settings).backward()
    forward = backward = optimiser = 0.0
    for _ in range(5):
        began = time.perf_counter()
        e = scale.energies(pixels).total(settings)
        forward += (time.perf_counter() - began) / 5
        backward += seconds(e.backward) / 5
    state = LBFGS(scale.pixels.flatten())
    state.minimise(lambda z: (z.pow(2).sum(), 2 * z), 10)
    optimiser = seconds(lambda: state.minimise(lambda z: (z.pow(2).sum(), 2 * z), 10)) / 10

    operations = 0
    assert isinstance(scale.features, HoleFeatures)
    for step, out in zip(scale.features.steps, scale.features.computed[1:], strict=True):
        if step.weight is not None:
            operations += 2 * step.weight.numel() * out.size[0] * out.size[1]
    a = torch.randn(2048, 2048).to(vgg.dtype)
    a @ a
    rate = 8 * 2 * 2048**3 / seconds(lambda: [a @ a for _ in range(8)])
    n = settings.rounds * settings.iterations
    share = 2 * operations / rate / (forward + backward)
    print(f"Where the time goes at 512 ({vgg.dtype})")
    print(f"  once {once:.2f} s, {settings.rounds} matchings {matching:.2f} s each, and {n} iterations, each")
    print(f"  forward {forward:.3f} s, backward {backward:.3f} s, L-BFGS {optimiser:.3f} s")
    print(f"  forward is {operations / 1e9:.1f} GFLOP; a matrix product runs at {rate / 1e9:.0f} GFLOP/s:")
    print(f"  forward and backward reach {share:.0%} of that rate")


WORKER = """
import sys, time
import torch
from experiments.examples import problem
from inpaint.refinement.settings import preset
from inpaint.refinement.stages import inpaint
from inpaint.vgg import load_vgg
vgg = load_vgg().on("cuda")
x, mask, prediction = (t.cuda() for t in problem())
def once():
    inpaint(x, mask, lambda *_: prediction, vgg, preset("{name}"))
    torch.cuda.synchronize()
once()
print("ready", flush=True)
sys.stdin.readline()
for _ in range({pictures}):
    once()
print("done", flush=True)
"""


def together(workers: int, name: str, pictures: int) -> float:
    """Pictures a second when so many processes share the GPU, each filling one picture after the other."""
    code = WORKER.format(name=name, pictures=pictures)
    command = [sys.executable, "-c", code]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(workers)]

    def heard(word: bytes) -> None:
        for worker in started:
            assert worker.stdout is not None
            assert worker.stdout.readline().strip() == word

    heard(b"ready")
    began = time.perf_counter()
    for worker in started:
        assert worker.stdin is not None
        worker.stdin.write(b"\n")
        worker.stdin.flush()
    heard(b"done")
    taken = time.perf_counter() - began
    for worker in started:
        worker.wait()
    return workers * pictures / taken


def gpu(port: Any, iterations: int) -> None:
    """One picture after the other, then by several workers on the same GPU; and the direct port there."""
    if not torch.cuda.is_available():
        print("skipped, for there is no GPU: gpu")
        return
    print(f"GPU: {torch.cuda.get_device_name()}, a 256 x 256 hole at 512")
    x, mask, prediction = (t.cuda() for t in problem())
    for name, precision in product((*PRESETS, "best"), ("bfloat16", "float32")):
        vgg = load_vgg().on("cuda", precision)

        def once(vgg: VGG = vgg, name: str = name) -> None:
            inpaint(x, mask, lambda *_: prediction, vgg, preset(name))
            torch.cuda.synchronize()

        once()
        torch.cuda.reset_peak_memory_stats()
        taken = statistics.median(seconds(once) for _ in range(RUNS))
        peak = torch.cuda.max_memory_allocated() / 2**30
        print(f"  {name}, {precision}: {taken:.3f} s, {peak:.2f} GiB of its memory")
    for workers in (1, 4):
        print(f"  {workers} at once, default: {together(workers, 'default', 10):.2f} pictures a second")
    if port:
        port.VGG = {name: weight.cuda() for name, weight in port.VGG.items()}
        port.MEAN = port.MEAN.cuda()
        current, taken = prediction, 0.0
        for size in (128, 256, 512):
            known, m = resize_masked(x, mask, (size, size)) if size < 512 else (x, mask)
            target = composite(known, resize(current, (size, size)).clamp(0, 1), m)
            for _ in range(2):  # the first prepares kernels
                with torch.device("cuda"):
                    theirs, *_ = port_scale(port, known, m[0], target, iterations)
            taken += theirs
        print(f"  the direct port, {iterations} iterations a scale: {taken:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS), help="which, separated by commas")
    parser.add_argument("--reference", type=Path, default=REFERENCE, help="folder of direct_port.py")
    parser.add_argument("--iterations", type=int, default=100, help="of the direct port, at each scale")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}: choose among {', '.join(PARTS)}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    port = load_port(options.reference) if {"energy", "pyramid", "gpu"} & set(parts) else None
    port_seconds = energy(port, options.iterations) if port and "energy" in parts else []
    if "pyramid" in parts:
        pyramid(port_seconds)
    for part in (growth, memory, fill, peers, where):
        if part.__name__ in parts:
            part()
    if "gpu" in parts:
        gpu(port, options.iterations)
    print(f"peak memory of this run: {peak_gib():.1f} GiB")


if __name__ == "__main__":
    main()
