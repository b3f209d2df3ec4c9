"""Files say which network they hold; that network is built, and no other."""

import copy
import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from inpaint.content.networks import ContextEncoder, Discriminator
from inpaint.content.weights import (
    STARTER,
    StoredNetwork,
    architecture_of,
    load_network,
    load_weights,
    read_network,
    save_network,
    stored_generator,
)
from inpaint.errors import UserError
from inpaint.evaluation.resume import evaluation_key
from inpaint.files import CONF
from inpaint.vgg import EMBEDDED
from tests.content.helpers import PAPER, save_checkpoint, tiny_discriminator, tiny_gan, tiny_generator
from tests.content.test_module import batch, fit, make

COLOUR = (0.1, 0.2, 0.3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("content") / "content.ckpt"
    fit(make(mean_colour=COLOUR)).save_checkpoint(path)
    return path


def changed(checkpoint: Path, out: Path, **changes) -> Path:
    """A copy of a checkpoint with other entries; None takes one away."""
    content = torch.load(checkpoint, weights_only=True) | changes
    torch.save({name: value for name, value in content.items() if value is not None}, out)
    return out


def record(checkpoint: Path) -> dict:
    return torch.load(checkpoint, weights_only=True)["architecture"]["generator"]


# Building the network that a file holds

RELU = {"encoder_activation": "relu", "decoder_activation": "relu"}
NETWORKS = [
    RELU,
    {"middle": "channel_wise"},
    {"middle": "channel_wise", "encoder_activation": "leaky_relu", "decoder_activation": "relu"},
    {"residual": True},
    {"residual": True, "perceptual": True},
]


@pytest.mark.parametrize("generator", NETWORKS)
@pytest.mark.parametrize("kind", ["ckpt", "safetensors"])
def test_a_trained_network_is_built_as_it_was(generator, kind, tmp_path):
    """To the last bit, whichever network it is: its tensors' shapes would not tell its activations."""
    torch.manual_seed(0)
    module = tiny_gan(generator=generator, mean_colour=COLOUR)
    run = fit(module)
    module.eval()
    path = tmp_path / f"network.{kind}"
    if kind == "ckpt":
        run.save_checkpoint(path)
    else:
        save_network(
            StoredNetwork(module.generator.architecture, module.generator.state_dict(), module.mean_colour), path
        )
    built, colour = load_network(path)
    assert built.architecture == module.generator.architecture
    assert torch.equal(colour, module.mean_colour)
    assert not built.training
    assert not any(parameter.requires_grad for parameter in built.parameters())
    mask = batch()["mask"]
    picture = batch()["picture"] * (1 - mask) + colour * mask
    with torch.no_grad():
        assert torch.equal(built(picture, mask), module.predict_middle(picture, mask))


def test_a_record_is_plain_data(checkpoint):
    assert record(checkpoint) == tiny_generator().architecture
    assert {type(value) for value in record(checkpoint).values()} == {str, int, bool}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"class": "os.mkdir", "path": "ran"}, r"a network of the class 'os\.mkdir', and no file may name code to run"),
        ({"class": ["ContextEncoder"]}, r"a network of the class \['ContextEncoder'\]"),
        ({"filters": "wide"}, "a ContextEncoder that cannot be built"),
        ({"filters": -4}, "a ContextEncoder that cannot be built: The generator has a layer of width -4"),
        ({"filters": 10**12}, "a ContextEncoder that cannot be built"),
        ({"depth": 3}, r"cannot be built: .* 'depth'"),
        ({"middle": "none"}, "cannot be built: The generator's middle is 'none'"),
        ({"decoder_activation": "os.mkdir"}, r"cannot be built: There is no activation 'os\.mkdir'"),
        (
            {"filters": 10**5},
            r"is damaged, .* encoder\.0\.0\.weight is 4 x 3 x 4 x 4 there and 100000 x 3",
        ),
        ({"residual": True, "perceptual": True}, "is damaged, because its tensors are not those of its network"),
    ],
)
def test_a_record_that_does_not_fit_is_a_sentence(checkpoint, changes, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = changed(checkpoint, tmp_path / "odd.ckpt", architecture={"generator": record(checkpoint) | changes})
    with pytest.raises(UserError, match=sentence) as refused:
        load_network(path)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(str(path))
    assert os.listdir(tmp_path) == ["odd.ckpt"]  # nothing ran


def test_an_argument_or_a_tensor_that_is_missing_is_named(checkpoint, tmp_path):
    arguments = {name: value for name, value in record(checkpoint).items() if name != "filters"}
    with pytest.raises(UserError, match=r"cannot be built: .* 'filters'"):
        load_network(changed(checkpoint, tmp_path / "odd.ckpt", architecture={"generator": arguments}))
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    del state["generator.middle.1.running_mean"]
    with pytest.raises(UserError, match=r"is damaged, .*: middle\.1\.running_mean is missing there and 8 here"):
        load_network(changed(checkpoint, tmp_path / "odd.ckpt", state_dict=state))


@pytest.mark.parametrize("architecture", [None, {}, [1], {"generator": None}, {"generator": 3}])
def test_a_file_that_does_not_say_its_network_is_refused(checkpoint, architecture, tmp_path):
    path = changed(checkpoint, tmp_path / "old.ckpt", architecture=architecture)
    for load in (load_network, lambda path: load_weights(tiny_generator(), path)):
        with pytest.raises(UserError, match=r"old\.ckpt does not say which network it holds, .*: resume its training"):
            load(path)


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        (None, "does not say which network"),
        ({"architecture": "null"}, "does not say which network"),
        ({"architecture": "{"}, "is no JSON"),
        ({"architecture": "[" * 100000}, "is no JSON"),
    ],
)
def test_so_is_a_file_of_tensors(checkpoint, metadata, sentence, tmp_path):
    state = {k: v.contiguous() for k, v in torch.load(checkpoint, weights_only=True)["state_dict"].items()}
    save_file(state, tmp_path / "old.safetensors", metadata)
    with pytest.raises(UserError, match=rf"old\.safetensors .*{sentence}"):
        load_network(tmp_path / "old.safetensors")


# The network that ships


def test_the_starter_network_is_what_it_was():
    """Its tensors' bits, and the record of its architecture."""
    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(STARTER).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    assert digest.hexdigest() == "35ddeac5e830212fd460f614ba2024ffffd943d5d00ecd629f7329d34c535638"
    with safe_open(STARTER, "pt") as file:
        stored = json.loads(file.metadata()["architecture"])
    wanted = tiny_generator(filters=32, bottleneck=680, residual=True, perceptual=True).architecture
    assert stored == {"generator": wanted}


# Taking weights into a network that is there


@pytest.mark.parametrize("adversarial", [True, False])
def test_weights_come_back_with_their_mean_colour(checkpoint, adversarial):
    trained = torch.load(checkpoint, weights_only=True)["state_dict"]
    module = make(adversarial, weights=checkpoint)
    torch.testing.assert_close(module.mean_colour.flatten(), torch.tensor(COLOUR))
    for name, value in module.generator.state_dict().items():
        assert torch.equal(value, trained[f"generator.{name}"]), name


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"filters": 8}, r"filters is 4 there and 8 here; set the model's options"),
        ({"middle": "channel_wise"}, r"middle is 'fully_connected' there and 'channel_wise' here; set"),
        (RELU, r"encoder_activation is 'elu' there and 'relu' here, decoder_activation is 'elu' there and 'relu' here"),
        ({"decoder_activation": "leaky_relu"}, r": decoder_activation is 'elu' there and 'leaky_relu' here; set"),
        ({"residual": True, "perceptual": True}, r": residual is False there and True here; set"),
    ],
)
def test_another_architecture_is_refused_and_changes_nothing(checkpoint, changes, sentence):
    generator = tiny_generator(**changes)
    start = copy.deepcopy(generator.state_dict())
    with pytest.raises(UserError, match=rf"content\.ckpt holds another content network.*{sentence}"):
        load_weights(generator, checkpoint)
    assert all(torch.equal(value, start[name]) for name, value in generator.state_dict().items())


class Wide(ContextEncoder):
    pass


def test_another_class_with_the_same_arguments_is_refused(checkpoint):
    arguments = {name: value for name, value in record(checkpoint).items() if name != "class"}
    with pytest.raises(UserError, match=r"class is 'ContextEncoder' there and 'tests\.\S+\.Wide' here"):
        load_weights(Wide(**arguments), checkpoint)
    with pytest.raises(UserError, match=r"class is 'ContextEncoder' there and 'torch\.nn\.\S+\.Identity' here"):
        load_weights(torch.nn.Identity(), checkpoint)


class Plain(torch.nn.Module):
    """A generator of somebody's own, which says nothing of itself."""

    def __init__(self, filters: int = 3) -> None:
        super().__init__()
        layers = [torch.nn.Conv2d(4, filters, 3, padding=1), torch.nn.Conv2d(filters, 3, 3, padding=1)]
        self.layers = torch.nn.Sequential(*layers)

    def forward(self, picture, mask):
        return self.layers(torch.cat([picture, mask], 1))[..., 32:96, 32:96].sigmoid()


class Other(Plain):
    pass


@pytest.fixture(scope="module")
def foreign(tmp_path_factory) -> Path:
    """The checkpoint of a training of `Plain`."""
    path = tmp_path_factory.mktemp("foreign") / "foreign.ckpt"
    torch.manual_seed(0)
    fit(tiny_gan(generator=Plain(), mean_colour=COLOUR)).save_checkpoint(path)
    return path


def test_a_generator_of_ones_own_is_recorded_by_its_class_and_takes_its_weights_back(foreign):
    assert record(foreign) == {"class": "tests.content.test_weights.Plain"}
    module = tiny_gan(generator=Plain(), weights=foreign)
    state = torch.load(foreign, weights_only=True)["state_dict"]
    assert all(torch.equal(value, state[f"generator.{name}"]) for name, value in module.generator.state_dict().items())
    torch.testing.assert_close(module.mean_colour.flatten(), torch.tensor(COLOUR))


@pytest.mark.parametrize(
    ("generator", "sentence"),
    [
        (Plain(4), r"layers\.0\.weight is 3 x 4 x 3 x 3 there and 4 x 4 x 3 x 3 here"),
        (Other(), r"class is 'tests\.\S+\.Plain' there and 'tests\.\S+\.Other' here"),
        (tiny_generator(), r"class is 'tests\.\S+\.Plain' there and 'ContextEncoder' here"),
    ],
)
def test_another_generator_does_not_take_them(foreign, generator, sentence):
    with pytest.raises(UserError, match=rf"foreign\.ckpt holds another content network: .*{sentence}"):
        load_weights(generator, foreign)


def test_a_generator_of_ones_own_is_not_built_from_its_file(foreign):
    sentence = r"foreign\.ckpt holds a network of the class 'tests\.\S+\.Plain', .* choose its own model/generator"
    for load in (load_network, stored_generator):
        with pytest.raises(UserError, match=sentence):
            load(foreign)


def test_a_training_of_ones_own_generator_is_resumed(foreign):
    run = fit(tiny_gan(generator=Plain(), mean_colour=COLOUR), foreign, max_epochs=2)
    assert run.current_epoch == 2
    with pytest.raises(UserError, match=r"generator\.class is 'tests\.\S+\.Plain' there and 'tests\.\S+\.Other' here"):
        fit(tiny_gan(generator=Other(), mean_colour=COLOUR), foreign, max_epochs=2)


def test_so_is_one_whose_checkpoint_an_earlier_version_wrote(foreign, tmp_path):
    """It recorded nothing of such a generator, but its discriminator."""
    old = changed(foreign, tmp_path / "old.ckpt", architecture={"generator": None, "discriminator": None})
    assert fit(tiny_gan(generator=Plain(), mean_colour=COLOUR), old, max_epochs=2).current_epoch == 2
    discriminated = tiny_gan(generator=Plain(), discriminator=tiny_discriminator())
    fit(discriminated).save_checkpoint(tmp_path / "both.ckpt")
    both = torch.load(tmp_path / "both.ckpt", weights_only=True)["architecture"]
    old = changed(tmp_path / "both.ckpt", tmp_path / "old.ckpt", architecture=both | {"generator": None})
    resumed = tiny_gan(generator=Plain(), discriminator=tiny_discriminator())
    assert fit(resumed, old, max_epochs=2).current_epoch == 2


class Described(Plain):
    """One that says of itself what it likes."""

    def __init__(self, architecture: object) -> None:
        super().__init__()
        self.architecture = architecture


DESCRIBED = {"class": "tests.content.test_weights.Described"}


@pytest.mark.parametrize(
    ("own", "recorded"),
    [
        ({"width": 3, "rates": [1, 2.5], "more": {"deep": True, "name": None}}, None),
        ({}, {}),
        ({"act": torch.nn.ELU}, {}),
        ({"widths": [{"first": np.float64(3)}]}, {}),
        ({1: 2}, {}),
        ("wide", {}),
    ],
)
def test_what_one_s_own_says_of_itself_is_recorded_where_it_is_plain(own, recorded, tmp_path):
    """So that every checkpoint, and every exported file, can be read again."""
    path = save_checkpoint(tiny_gan(generator=Described(own)), tmp_path / "own.ckpt")
    assert record(path) == (own if recorded is None else recorded) | DESCRIBED
    load_weights(Described(own), path)
    save_network(read_network(path), tmp_path / "own.safetensors")
    load_weights(Described(own), tmp_path / "own.safetensors")


def test_no_other_class_passes_for_one_of_the_package(tmp_path):
    """By its bare name, or as a subclass whose forward may be another: the package's is not built in its place."""
    namesake = type("ContextEncoder", (Described,), {})
    for network in (namesake(tiny_generator().architecture), Wide(**PAPER)):
        expected = {"class": f"{__name__}.{type(network).__qualname__}"}
        assert architecture_of(network) == tiny_generator().architecture | expected
        path = save_checkpoint(tiny_gan(generator=network), tmp_path / "own.ckpt")
        with pytest.raises(UserError, match="no file may name code to run"):
            load_network(path)
    judge = type("Discriminator", (Discriminator,), {})(filters=4, activation="elu")
    assert architecture_of(judge)["class"] == f"{__name__}.Discriminator"
    assert architecture_of(tiny_discriminator())["class"] == "Discriminator"


# Stored networks: model/generator=stored


@pytest.mark.parametrize("generator", NETWORKS)
def test_what_a_file_holds_is_tested_and_trained_on(generator, tmp_path):
    """It is built without widths, starts from the stored weights, and can be trained."""
    torch.manual_seed(0)
    path = save_checkpoint(tiny_gan(generator=generator, mean_colour=COLOUR), tmp_path / "content.ckpt")
    trained = torch.load(path, weights_only=True)["state_dict"]
    module = tiny_gan(generator=stored_generator(path), weights=path)
    assert module.generator.architecture == tiny_generator(**generator).architecture
    assert all(torch.equal(value, trained[name]) for name, value in module.state_dict().items())
    assert module.weight_files["content"] == path
    assert module.generator.training
    fit(module)
    assert not all(torch.equal(value, trained[name]) for name, value in module.state_dict().items())


def test_best_ckpt_holds_weights_alone_and_is_read(tmp_path):
    module = make(mean_colour=COLOUR)
    fit(module).save_checkpoint(tmp_path / "best.ckpt", weights_only=True)
    assert "optimizer_states" not in torch.load(tmp_path / "best.ckpt", weights_only=True)
    built = stored_generator(tmp_path / "best.ckpt")
    load_weights(built, tmp_path / "best.ckpt")
    assert all(torch.equal(a, b) for a, b in zip(built.parameters(), module.generator.parameters(), strict=True))


def test_the_configuration_takes_the_file_beside_the_generator(checkpoint):
    for overrides, name in (
        ([f"model.weights={checkpoint}"], "model/generator=stored"),
        (["model=refinement", f"model.content.weights={checkpoint}"], "model/generator@model.content.generator=stored"),
        ([f"model.content.weights={checkpoint}"], "+experiment=refine"),
        ([f"model.content.weights={checkpoint}"], "+experiment=alpha_sweep"),
    ):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            model = compose("train", [*overrides, name]).model
        content = instantiate(model.get("content", model))
        assert content.generator.architecture == record(checkpoint)
        assert content.weight_files == {"content": checkpoint}


@pytest.mark.parametrize("name", ["+experiment=refine", "+experiment=alpha_sweep"])
def test_experiments_use_the_network_that_ships(name):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        content = instantiate(compose("train", [name]).model.content)
    assert content.generator.architecture == read_network(STARTER).architecture
    assert content.weight_files["content"] == STARTER


def test_an_evaluation_of_other_activations_is_another_one(tmp_path):
    """Settings that only name a file do not tell which they are, and the weights do not either."""
    keys = set()
    for name, generator in (("one", {}), ("again", {}), ("other", RELU)):
        torch.manual_seed(0)
        path = save_checkpoint(tiny_gan(generator=generator), tmp_path / f"{name}.ckpt")
        keys.add(evaluation_key(tiny_gan(generator=stored_generator(path), weights=path), "settings"))
    assert len(keys) == 2


def test_no_file_is_a_sentence():
    with pytest.raises(UserError, match=r"model/generator=stored builds .*: say which by model\.weights=FILE"):
        stored_generator(None)


PERCEPTUAL = {"residual": True, "perceptual": True}


def test_a_perceptual_generator_starts_from_one_that_is_not(tmp_path):
    path = save_checkpoint(tiny_gan(generator={"residual": True}), tmp_path / "residual.ckpt")
    trained = torch.load(path, weights_only=True)["state_dict"]
    module = tiny_gan(generator=PERCEPTUAL, weights=path)
    state = module.state_dict()
    assert all(torch.equal(state[name], value) for name, value in trained.items())
    assert module.weight_files == {"content": path, "content_vgg": EMBEDDED}
    save_checkpoint(module, path)
    with pytest.raises(UserError, match=r"holds another .*perceptual is True there and False here"):
        load_weights(tiny_generator(residual=True), path)


def test_half_of_what_joins_vgg_is_refused(tmp_path):
    path = save_checkpoint(tiny_gan(generator=PERCEPTUAL), tmp_path / "whole.ckpt")
    state = torch.load(path, weights_only=True)["state_dict"]
    del state["generator.joins.2.add.weight"]
    changed(path, path, state_dict=state)
    with pytest.raises(UserError, match=r"joins\.2\.add\.weight is missing there and 8 x 16 x 1 x 1 here"):
        load_weights(tiny_generator(**PERCEPTUAL), path)


# Files that hold none


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.ckpt does not exist"):
        read_network(tmp_path / "none.ckpt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "damaged.ckpt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged\.ckpt cannot be read"):
        read_network(path)


TENSOR = {"generator.x": torch.ones(1)}


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {"state_dict": {"backbone.weight": torch.ones(1)}},
        {"state_dict": 3},
        {"state_dict": TENSOR},
        {"state_dict": TENSOR | {"mean_colour": torch.ones(4)}},
        {"state_dict": {1: torch.ones(1)}},
    ],
)
def test_a_checkpoint_of_something_else_is_named(tmp_path, content):
    path = tmp_path / "other.ckpt"
    torch.save(content, path)
    with pytest.raises(UserError, match=r"other\.ckpt holds no content network"):
        read_network(path)


class Touch:
    """Unpickled, it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_checkpoint_runs_no_code(checkpoint, tmp_path):
    trace, path = tmp_path / "ran", tmp_path / "content.ckpt"
    changed(checkpoint, path, hyper_parameters=Touch(trace))
    with pytest.raises(UserError, match=r"content\.ckpt cannot be read"):
        load_network(path)
    changed(checkpoint, path, architecture={"generator": record(checkpoint) | {"filters": Touch(trace)}})
    with pytest.raises(UserError, match=r"content\.ckpt cannot be read"):
        load_network(path)
    path.write_bytes(pickle.dumps(Touch(trace)))
    with pytest.raises(UserError, match=r"content\.ckpt cannot be read"):
        load_network(path)
    assert not trace.exists()


def test_code_named_by_hyperparameters_is_ignored(checkpoint, tmp_path):
    trace = tmp_path / "ran"
    named = {"_instantiator": "os.mkdir", "_target_": "os.mkdir", "path": str(trace)}
    load_network(changed(checkpoint, tmp_path / "content.ckpt", hyper_parameters=named))
    assert not trace.exists()
