"""A network in an .onnx file as the first stage: one of any architecture, here made by hand."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from inpaint import Inpainter
from inpaint.errors import UserError
from inpaint.photo.first_stage import first_stage

SIDES = [128, 128]
PICTURES, MASKS = ["batch", 3, *SIDES], ["batch", 1, *SIDES]


def network(
    path: Path,
    inputs=(("image", PICTURES), ("hole", MASKS)),
    outputs=(("result", PICTURES),),
    kind=TensorProto.FLOAT,
    grey: float = 0.25,
) -> Path:
    """Its first input, and where its last input is 1 a grey."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    first, last = inputs[0][0], inputs[-1][0]
    constants = [onnx.numpy_helper.from_array(np.array(value, dtype), name) for name, value in (("g", grey), ("z", 0))]
    nodes = [helper.make_node("Cast", [last], ["where"], to=TensorProto.BOOL)]
    nodes += [helper.make_node("Where", ["where", "g", first], [name]) for name, _ in outputs]
    takes, gives = (
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in ends] for ends in (inputs, outputs)
    )
    graph = helper.make_graph(nodes, "net", takes, gives, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def hole(side: int = 200) -> torch.Tensor:
    mask = torch.zeros(1, side, side)
    mask[:, 80:120, 60:110] = 1
    mask[:, :20, :20] = 1  # outside of the middle half as well
    return mask


@pytest.mark.parametrize("batch", ["batch", 1])
@pytest.mark.parametrize("blend_border", [True, False])
def test_it_fills_holes_anywhere(tmp_path, batch, blend_border):
    shapes = (("image", [batch, 3, *SIDES]), ("hole", [batch, 1, *SIDES]))
    made = first_stage(network(tmp_path / "net.ONNX", shapes, (("result", None),)), blend_border=blend_border)
    assert made.weight_files == {"content": tmp_path / "net.ONNX"}
    filled = made(torch.full((3, 200, 200), 0.75), hole())
    assert filled.shape == (3, 128, 128)
    torch.testing.assert_close(filled[:, 5, 5], torch.full((3,), 0.25))
    torch.testing.assert_close(filled[:, 100, 100], torch.full((3,), 0.75))
    assert (filled[:, 53, 53].mean() > 0.3) == blend_border  # drawn to the picture beside the hole
    torch.testing.assert_close(filled[:, 64, 55], torch.full((3,), 0.25), atol=0.02, rtol=0)


def test_what_it_predicts_is_bounded(tmp_path):
    made = first_stage(network(tmp_path / "net.onnx", grey=7.0), blend_border=False)
    assert made(torch.zeros(3, 128, 128), hole(128)).max() == 1


def test_photos_are_filled_with_it(tmp_path):
    photo = np.full((90, 110, 3), 200, np.uint8)
    photo[::3] = 180
    marked = np.zeros((90, 110), dtype=bool)
    marked[30:60, 40:70] = True
    own = Inpainter(network(tmp_path / "net.onnx"), "instant", device="cpu")
    filled = np.asarray(own.fill(photo, marked, dilate=0, feather=0))
    assert np.array_equal(filled[~marked], photo[~marked])
    assert own.weight_files["content"] == tmp_path / "net.onnx"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"inputs": (("image", PICTURES),)}, r"takes image \[batch, 3, 128, 128\] and gives"),
        ({"inputs": (("hole", MASKS), ("image", PICTURES))}, r"takes hole \[batch, 1, 128, 128\] and image"),
        ({"inputs": (("image", ["b", 3, 256, 256]), ("hole", ["b", 1, 256, 256]))}, r"image \[b, 3, 256, 256\]"),
        ({"inputs": (("image", [4, 3, *SIDES]), ("hole", [4, 1, *SIDES]))}, r"image \[4, 3, 128, 128\]"),
        ({"outputs": (("one", PICTURES), ("two", PICTURES))}, r"gives one .* and two"),
        ({"kind": TensorProto.DOUBLE}, r"of the type tensor\(double\)"),
    ],
)
def test_a_network_of_another_kind_is_a_sentence(tmp_path, options, sentence):
    path = network(tmp_path / "net.onnx", **options)
    with pytest.raises(UserError, match=rf"net\.onnx .*{sentence}.*, but to fill photos it has to take picture"):
        first_stage(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x0a cut short"])
def test_a_damaged_file_is_a_sentence(tmp_path, content):
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(UserError, match=r"net\.onnx cannot be read as an ONNX network") as told:
        first_stage(tmp_path / "net.onnx")
    assert "\n" not in str(told.value)


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"none\.onnx does not exist: choose starter"):
        first_stage(tmp_path / "none.onnx")


def test_values_that_are_not_finite_are_a_sentence(tmp_path):
    made = first_stage(network(tmp_path / "net.onnx", grey=float("nan")))
    with pytest.raises(UserError, match=r"net\.onnx gave .* values that are not finite"):
        made(torch.zeros(3, 128, 128), hole(128))


def test_so_are_those_of_the_middle_alone(tmp_path):
    """Which only the blending of borders would show."""
    path = network(tmp_path / "net.onnx")
    model = onnx.load(path)
    middles = helper.make_tensor_value_info("middle", TensorProto.FLOAT, ["batch", 3, 64, 64])
    model.graph.output.append(middles)
    ends = ((32, "starts"), (96, "ends"), (2, "axes"))
    for value, name in ends:
        pair = [2, 3] if name == "axes" else [value, value]
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(pair, np.int64), name))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(np.nan, np.float32), "nan"))
    model.graph.node.append(helper.make_node("Slice", ["result", "starts", "ends", "axes"], ["sliced"]))
    model.graph.node.append(helper.make_node("Add", ["sliced", "nan"], ["middle"]))
    onnx.save(model, path)
    made = first_stage(path)
    with pytest.raises(UserError, match=r"net\.onnx gave .* not finite, where \[1, 3, 64, 64\] is expected"):
        made(torch.zeros(3, 128, 128), hole(128))


def test_a_network_that_cannot_be_computed_is_a_sentence(tmp_path):
    """Where there is a hole it makes more pixels of its picture than that has."""
    path = network(tmp_path / "net.onnx", outputs=(("grey", PICTURES),))
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("Shape", ["grey"], ["own"]))
    model.graph.node.append(helper.make_node("ReduceMax", ["hole"], ["any"], keepdims=0))
    model.graph.node.append(helper.make_node("Cast", ["any"], ["more"], to=TensorProto.INT64))
    model.graph.node.append(helper.make_node("Add", ["own", "more"], ["larger"]))
    model.graph.node.append(helper.make_node("Reshape", ["grey", "larger"], ["result"]))
    model.graph.output[0].name = "result"
    onnx.save(model, path)
    made = first_stage(path)
    with pytest.raises(UserError, match=r"net\.onnx cannot be computed: .*[Rr]eshape") as told:
        made(torch.zeros(3, 128, 128), hole(128))
    assert "\n" not in str(told.value)


def test_onnx_runtime_missing_names_the_extra(tmp_path, monkeypatch):
    path = network(tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install 'neural-patch-synthesis\[export\]'"):
        first_stage(path)
