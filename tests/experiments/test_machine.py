"""What the results say of the machine that made them."""

import platform

import torch

from experiments import machine


def test_the_processor_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    described = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "Path", lambda name: described)
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert f"({platform.machine()}, threads: " in machine.machine()
    described.write_text("processor\t: 0\nmodel name\t: Made Up(R) 4200 @ 2.00GHz\nflags\t: fpu\n")
    assert machine.machine() == f"on a processor (Made Up(R) 4200 @ 2.00GHz, threads: {torch.get_num_threads()})"


def test_the_graphics_card_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Made Up 100")
    assert machine.machine() == "on a Made Up 100"
