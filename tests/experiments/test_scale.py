import sys

import pytest

from experiments.scale import scale


def test_the_measurements_and_the_arithmetic(monkeypatch, capsys):
    """Without Ray, which tests/fill/test_archive.py starts."""
    monkeypatch.setattr(scale, "ray_of", lambda jobs, workers: scale.here(jobs))
    monkeypatch.setattr(scale, "operations", lambda: 3.6e12)
    monkeypatch.setattr(sys, "argv", ["scale", "--photos", "3", "--fills", "1", "--seconds", "3.6", "--rate", "1"])
    scale.main()
    said = capsys.readouterr().out
    assert "handing out 3 photos" in said
    assert "1 photos of 256 x 256, ray" in said
    assert "3.60 TFLOP, 3.600 s at 1 TFLOP/s" in said
    assert "a million on 8 cores: 125.0 h, 1000 in all" in said
    assert "a million on 64 GPUs (arithmetic): 15.6 h, 1000 in all" in said


def test_operations_are_more_than_the_holes_and_fewer_than_the_pictures():
    convolutions = [
        (3, 64, 1),
        (64, 64, 1),
        (64, 128, 4),
        (128, 128, 4),
        (128, 256, 16),
        (256, 256, 16),
        (256, 256, 16),
    ]
    a_pixel = sum(2 * 9 * given * made / area for given, made, area in [*convolutions, (256, 512, 64)])
    iterations, passes = 6, 2
    hole, picture = (sum((side >> level) ** 2 for level in range(3)) for side in (224, 512))
    assert a_pixel * hole < scale.operations() / (iterations * passes) < a_pixel * picture
    assert scale.operations() == pytest.approx(0.40e12, rel=0.02)  # as experiments/scale/README.md says
