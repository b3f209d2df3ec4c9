"""The comparison of candidates for the perceptual distance, on one made picture."""

import sys

import pytest
import torch

from experiments.perceptual import compare
from inpaint.imaging.pixels import composite
from inpaint.imaging.reading import write_picture


def run(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compare", str(folder)])
    monkeypatch.setattr(compare, "HERE", folder)
    compare.main()
    return capsys.readouterr().out


def test_a_folder_without_fills_is_skipped(tmp_path, monkeypatch, capsys):
    assert run(tmp_path, monkeypatch, capsys).startswith("skipped, for ")


def test_a_row_a_candidate_and_a_column_a_kind_of_pair(tmp_path, monkeypatch, capsys):
    pytest.importorskip("cv2")
    truth, mask = torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 128, 128)
    mask[:, 36:92, 36:92] = 1
    for kind, share in {"truth": 0.0, "today": 0.5, "voted": 0.2, "alone": 0.9}.items():
        fill = (1 - share) * truth + share * 0.5
        write_picture(composite(truth, fill, mask), tmp_path / kind / "real_0013.png")
    lines = run(tmp_path, monkeypatch, capsys).splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith("| candidate | blurred | tinted | seam |"))
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:] for line in lines[header + 2 :] if "|" in line}
    assert list(rows) == ["PSNR", "SSIM", "L1", *compare.CANDIDATES]
    assert "voted" in lines[header]
    assert "content" not in lines[header]
    assert all(len(row) == lines[header].count(" | ") for row in rows.values())
    assert rows[compare.CHOSEN][0] == "1 of 1"
    assert (tmp_path / "pairs.jpg").exists()
