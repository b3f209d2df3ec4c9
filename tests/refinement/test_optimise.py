import pytest
import torch

from inpaint.refinement.optimise import LBFGS


def rosenbrock(x):
    """The minimum is 0, at (1, 1)."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        e = (1 - x[0]).pow(2) + 100 * (x[1] - x[0].pow(2)).pow(2)
        (g,) = torch.autograd.grad(e, x)
    return e.detach(), g


STARTS = [torch.tensor(start, dtype=torch.float64) for start in ([-1.2, 1.0], [0.0, 0.0], [2.0, -1.0])]


@pytest.mark.parametrize("start", STARTS, ids=str)
def test_finds_the_minimum(start):
    found = LBFGS(start).minimise(rosenbrock, 120)
    torch.testing.assert_close(found.x, torch.ones_like(start), atol=1e-5, rtol=0)
    assert found.energy < 1e-10


@pytest.mark.parametrize("start", STARTS, ids=str)
def test_energy_never_rises_although_worse_steps_are_tried(start):
    seen, kept = [], []
    optimiser = LBFGS(start, first_step=0.5)

    def watched(x):
        e, g = rosenbrock(x)
        seen.append(e)
        return e, g

    for _ in range(60):
        kept.append(optimiser.minimise(watched, 1).energy)
    energies = torch.stack(kept)
    assert (energies.diff() <= 0).all()
    tried = torch.stack(seen[1::2])  # after the energy at the start, the one tried
    assert (tried[1:] > energies[:-1]).any()


def test_a_quadratic_is_exact_in_few_steps():
    """With a memory as long as there are unknowns, a convex quadratic is solved, whatever its conditioning."""
    scales = torch.logspace(-2, 2, 6, dtype=torch.float64)
    goal = torch.arange(6.0, dtype=torch.float64)

    def energy(x):
        return (scales * (x - goal).pow(2)).sum(), 2 * scales * (x - goal)

    found = LBFGS(torch.zeros_like(goal)).minimise(energy, 60)
    torch.testing.assert_close(found.x, goal, atol=1e-4, rtol=0)


def test_memory_survives_a_change_of_energy():
    """New matches change the energy: the energy is read anew, and the descent goes on."""
    optimiser = LBFGS(torch.zeros(3)).minimise(lambda x: ((x - 1).pow(2).sum(), 2 * (x - 1)), 10)
    optimiser.minimise(lambda x: ((x + 2).pow(2).sum(), 2 * (x + 2)), 10)
    torch.testing.assert_close(optimiser.x, torch.full((3,), -2.0), atol=1e-4, rtol=0)
