"""L-BFGS on a batch of pictures that know nothing of each other."""

from collections.abc import Callable
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

Flat = Float[Tensor, "batch pixels"]
Energy = Callable[[Flat], tuple[Float[Tensor, " batch"], Flat]]


def dot(a: Flat, b: Flat) -> Float[Tensor, " batch"]:
    return torch.linalg.vecdot(a, b)


class LBFGS:
    """Limited-memory BFGS (Nocedal and Wright 2006, algorithm 7.4) with one state a picture.

    Each evaluation tries x + t d. A picture whose energy does not fall stays where it is and tries a shorter step next;
    the others go on: so a batch costs one evaluation an iteration, and no picture waits for another's line search.

    Args:
        x: [batch, pixels], where to start.
        history: how many steps are remembered.
        first_step: the largest change of any pixel in the first step.
    """

    def __init__(self, x: Flat, history: int = 10, first_step: float = 0.1) -> None:
        self.x, self.history, self.first_step = x, history, first_step
        self.steps: list[tuple[Flat, Flat, Float[Tensor, " batch"]]] = []  # s, y, 1 / <s, y> (0: a refused step)
        self.gamma = x.new_zeros(len(x))  # <s, y> / <y, y> of the newest step
        self.t = x.new_ones(len(x))  # how much of the direction to try next: less than 1 after a refused step

    def direction(self, gradient: Flat) -> Flat:
        """-H g, by the two-loop recursion."""
        q, alphas = gradient.clone(), []
        for s, y, rho in reversed(self.steps):
            alphas.append(rho * dot(s, q))
            q.sub_(alphas[-1][:, None] * y)
        first = self.first_step / gradient.abs().amax(1).clamp(min=1e-20)
        q.mul_(torch.where(self.gamma > 0, self.gamma, first)[:, None])
        for (s, y, rho), a in zip(self.steps, reversed(alphas), strict=True):
            q.add_((a - rho * dot(y, q))[:, None] * s)
        return q.neg_()

    def minimise(self, energy: Energy, evaluations: int) -> Self:
        """Goes on from where it is, on this energy: `evaluations` energies and gradients after the one at the start.

        Called again with another energy (new matches) it keeps its memory of the curvature.

        Args:
            energy: gives one energy a picture, and their gradients.
        """
        e, g = energy(self.x)
        d = self.direction(g)
        for _ in range(evaluations):
            step = self.t[:, None] * d
            e_new, g_new = energy(self.x + step)
            slope = dot(g, d)
            better = e_new <= e
            y = g_new - g
            curvature = dot(step, y)
            keep = better & (curvature > 1e-10 * dot(y, y).sqrt() * dot(step, step).sqrt())
            self.steps.append((step, y, torch.where(keep, 1 / curvature, 0)))
            del self.steps[: -self.history]
            self.gamma = torch.where(keep, curvature / dot(y, y), self.gamma)
            self.x = torch.where(better[:, None], self.x + step, self.x)
            # a refused step: to the minimum of the parabola through both energies and the slope at the start
            bend = e_new - e - self.t * slope
            shorter = torch.where(bend > 0, (-slope * self.t / (2 * bend)).clamp(0.1, 0.5), 0.5)
            self.t = torch.where(better, 1.0, self.t * shorter)
            e, g = torch.where(better, e_new, e), torch.where(better[:, None], g_new, g)
            d = torch.where(better[:, None], self.direction(g), d)
        self.energy = e
        return self
