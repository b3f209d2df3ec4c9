"""Minimises a function of one hole's pixels by L-BFGS."""

from collections.abc import Callable
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

Pixels = Float[Tensor, " pixels"]
Energy = Callable[[Pixels], tuple[Float[Tensor, ""], Pixels]]


class LBFGS:
    """Limited-memory BFGS (Nocedal and Wright 2006, algorithm 7.4).

    Each evaluation tries x + t d. Where the energy does not fall, x stays and a shorter step is tried next: an
    iteration costs one evaluation, whatever comes of it.

    Args:
        x: where to start; the attribute is where it is now, and `energy` what `minimise` found there.
        history: how many steps are remembered.
        first_step: the largest change of any pixel in the first step.
    """

    def __init__(self, x: Pixels, history: int = 10, first_step: float = 0.1) -> None:
        self.x, self.history, self.first_step = x, history, first_step
        self.energy: Float[Tensor, ""] | None = None
        self.steps: list[tuple[Pixels, Pixels, Tensor]] = []  # s, y, 1 / <s, y>
        self.gamma: Tensor | None = None  # <s, y> / <y, y> of the newest step
        self.t = 1.0  # how much of the direction to try next: less after a refused step

    def direction(self, gradient: Pixels) -> Pixels:
        """-H g, by the two-loop recursion."""
        q, alphas = gradient.clone(), []
        for s, y, rho in reversed(self.steps):
            alphas.append(rho * torch.dot(s, q))
            q.sub_(alphas[-1] * y)
        q.mul_(self.first_step / gradient.abs().max().clamp(min=1e-20) if self.gamma is None else self.gamma)
        for (s, y, rho), a in zip(self.steps, reversed(alphas), strict=True):
            q.add_((a - rho * torch.dot(y, q)) * s)
        return q.neg_()

    def minimise(self, energy: Energy, evaluations: int) -> Self:
        """Minimises this energy from the current x, with one evaluation at the start and then `evaluations` more.

        Called again with another energy (new matches) it keeps its memory of the curvature.
        """
        e, g = energy(self.x)
        d = self.direction(g)
        for _ in range(evaluations):
            step = self.t * d
            e_new, g_new = energy(self.x + step)
            if e_new <= e:
                y = g_new - g
                curvature = torch.dot(step, y)
                if curvature > 1e-10 * y.norm() * step.norm():
                    self.steps = [*self.steps, (step, y, 1 / curvature)][-self.history :]
                    self.gamma = curvature / torch.dot(y, y)
                self.x, self.t, e, g = self.x + step, 1.0, e_new, g_new
                d = self.direction(g)
            else:  # to the minimum of the parabola through both energies and the slope at the start
                slope = torch.dot(g, d)
                bend = e_new - e - self.t * slope
                self.t *= float((-slope * self.t / (2 * bend)).clamp(0.1, 0.5)) if bend > 0 else 0.5
        self.energy = e
        return self
