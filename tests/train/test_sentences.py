"""Mistakes in a command line, over all levels of the tree: each is a sentence, and says what was meant."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from omegaconf import DictConfig

from inpaint.errors import UserError
from inpaint.train import __main__ as command
from inpaint.train import job
from inpaint.train import run as entry
from inpaint.train.sentences import check_trainer, explain
from inpaint.train.tree import Arguments, keys_like, read, tree_of
from inpaint.train.types import like


@pytest.fixture(autouse=True)
def nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a run, only the check of its values."""

    def check(cfg: DictConfig, *_: object) -> dict[str, float]:
        entry.check(cfg)
        return {}

    monkeypatch.setattr(command, "train", check)
    monkeypatch.setattr(job, "train", check)  # of a sweep
    monkeypatch.chdir(tmp_path)


def told(words: Sequence[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    """What the command says, which has to end with 2."""
    monkeypatch.setattr(sys, "argv", ["train", *words])
    with pytest.raises(SystemExit) as end:
        command.main()
    assert end.value.code == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        # a key at the wrong level, or misspelt at each level
        ("lambda_adv=0.1", "There is no lambda_adv: did you mean model.lambda_adv=0.1?"),
        ("data.bach_size=3", "There is no data.bach_size: did you mean data.batch_size=3?"),
        ("modle.lambda_adv=0", "There is no modle.lambda_adv: did you mean model.lambda_adv=0?"),
        ("model.generator.filter=3", "There is no model.generator.filter: did you mean model.generator.filters=3?"),
        ("callbacks.checkpoint.keep=2", "did you mean callbacks.checkpoints.keep=2?"),
        ("model=refinement model.generator.filters=3", "did you mean model.content.generator.filters=3?"),
        ("model.preset.alpha=0.1", "model=content has no model.preset.alpha; model=refinement has."),
        ("data.root=here", "data=sample has no data.root; data=folder has."),
        ("zebra=1", "There is no zebra: at the top there are callbacks, "),
        ("learning_rate=1", "did you mean model.optimizer_g.lr=1 or model.optimizer_d.lr=1?"),
        (
            "model/generator=stored model.generator.filters=32",
            "no model.generator.filters: model.generator takes weights.",
        ),
        (
            "model.losses.perceptual.weight=1",
            "no model.losses.perceptual yet: add it as well, +model/loss@model.losses.perceptual=perceptual.",
        ),
        ("callbacks.results.measures.mine=1", "+callbacks.results.measures.mine=1 would add it."),
        # Lightning's names
        ("trainer.clip_gradient_val=1", "trainer.gradient_clip_val cannot work here, where two optimisers"),
        ("+trainer.gradient_clip_val=1", "set model.clip_norm instead."),
        ("model=refinement +trainer.accumulate_grad_batches=2", "set model.content.accumulate_batches instead."),
        ("trainer.limit_val_batches=0", "add it with a +: +trainer.limit_val_batches=0."),
        ("+trainer.limit_vall_batches=0", "did you mean trainer.limit_val_batches"),
        # groups: an option that there is not, a key for a group, a group for a key
        ("model=refinment", "There is no model=refinment: did you mean model=refinement?"),
        ("data=imagnet", "There is no data=imagnet: did you mean data=imagenet?"),
        ("data=", "data= has no value: choose "),
        ("+experiment=refin", "There is no experiment=refin: did you mean +experiment=refine?"),
        ("model=refinement model/preset=fast", "There is no model/preset=fast: there are best, default, "),
        ("optimizer@model.optimizer_g=adamm", "did you mean optimizer@model.optimizer_g=adam or optimizer@"),
        ("scheduler@model.scheduler=cosin", "no scheduler=cosin: did you mean scheduler@model.scheduler=cosine?"),
        # null, or a number, for a group
        ("model/discriminator=null", "chooses nothing: write model.discriminator=null."),
        ("model=refinement model/discriminator=null", "chooses nothing: write model.content.discriminator=null."),
        ("scheduler@model.scheduler=null", "chooses nothing: write model.scheduler=null."),
        ("logger=null", "chooses nothing: write ~logger."),
        ("callbacks=null", "chooses nothing: write ~callbacks."),
        ("+experiment=null", "experiment=null chooses nothing: leave it out, or choose "),
        ("model=null", "chooses nothing, and a run needs it: choose classical, content, "),
        ("hole@data.training_hole=null", "chooses nothing, and a run needs it: choose centre_square, "),
        ("-m logger=csv,null", "logger=null chooses nothing: write ~logger."),
        ("data=3", "There is no data=3: there are folder, "),
        (
            "model=refinement model.preset=fast",
            "puts a word where the settings of a file stand: choose model/preset=best, model/preset=default, ",
        ),
        ("model=refinement model.preset=best", "settings of a file stand: write model/preset=best."),
        ("model.preset=fast", "model=content has no model/preset; model=refinement has."),
        ("study=shippd", "There is no study=shippd: did you mean +study=shipped?"),
        ("model/preset=best", "model=content has no model/preset; model=refinement has."),
        ("data.training_hole=free_form", "write hole@data.training_hole=free_form."),
        ("model.optimizer_g=adamw", "write optimizer@model.optimizer_g=adamw."),
        ("hole=free_form", "did you mean hole@data.evaluation_hole=free_form or hole@data.training_hole=free_form?"),
        ("hole@data.traning_hole=mixed", "did you mean hole@data.training_hole=mixed"),
        ("data/batch_size=3", "write data.batch_size=3."),
        (
            "model=refinement model/presett=best",
            "There is no group model/presett: did you mean model/preset=best?",
        ),
        ("hydra/sweeper=optunna", "There is no hydra/sweeper=optunna: did you mean hydra/sweeper=optuna?"),
        # too few +, too many
        ("experiment=refine", "so a choice needs a + before it: +experiment=refine."),
        ("+seed=3", "seed is there already: write seed=3, without the +."),
        ("+data=folder", "data is chosen already (data=sample): leave out the + of +data=folder."),
        ("+experimnt=refine", "adds a key that nothing reads: did you mean +experiment=refine?"),
        ("+lambda_adv=0", "did you mean model.lambda_adv=0?"),
        ("~callbacks.progess", "There is no callbacks.progess to take away: did you mean ~callbacks.progress?"),
        # values of a wrong type
        ("data.crop_scale=0.5", "must be a list, each item a number, in brackets: data.crop_scale=[0.5,0.5]."),
        ("objective=3", "objective is 3, but must be text or null."),
        ("tags=3", "tags is 3, but must be a list, each item text or a number, in brackets: tags=[3,3]."),
        ("tags=[true]", "tags is [True], but must be a list, each item text or a number"),
        ("fit=1", "fit is 1, but must be true or false."),
        ("trainer.max_epochs=ten", "trainer.max_epochs is 'ten', but must be a whole number"),
        ("data.batch_size=true", "data.batch_size is True, but must be a whole number."),
        ("seed=", "seed is '', but must be a whole number."),
        ("hydra.mode=TWICE", "hydra.mode=TWICE is refused: Invalid value 'TWICE'"),
        ("seed=1,2", "add -m for a run with each, or write a list as seed=[1,2]."),
        # what cannot be read
        ("ckpt_path=lr=0.1/x.ckpt", """all of it for the shell: "ckpt_path='lr=0.1/x.ckpt'\""""),
        ("data.crop_scale=[0.5,", "a bracket is not closed"),
        ("data.crop_scale=0.5]", "a bracket is closed that was not opened"),
        ('name="a', "a quotation mark is not closed"),
        ("seed", "seed sets nothing: write seed=VALUE."),
        ("seed:3", "seed:3 sets nothing: write seed=3."),
        ("=3", "=3 has nothing before its =: write KEY=VALUE."),
        ("--seed=3", "There is no option --seed: write seed=3, without the dashes."),
        ("hydra.searchpath=[file://nowhere]", "There is no folder nowhere to take configurations from"),
        ("--config-name=trian", "There is no configuration trian"),
        # interpolations
        ("callbacks.results.name=${nme}", "refers to ${nme}, and there is no such key: did you mean ${name}?"),
        (
            "data.batch_size=${oc.env:NOT_SET_ANYWHERE}",
            "cannot be resolved: \"Environment variable 'NOT_SET_ANYWHERE' not",
        ),
        ("data.batch_size=???", "data.batch_size has no value yet: give it one, data.batch_size=VALUE."),
        # others
        ("-m model=content,contnt", "There is no model=contnt: did you mean model=content?"),
        ("objective=refined.perceptual test=false", "a result of the test, and test is false"),
    ],
)
def test_a_mistake_is_the_sentence_of_a_colleague(
    words: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    said = told([*words.split(" "), "hydra.job.chdir=false"], monkeypatch, capfd)
    assert sentence in said
    for better in suggested(said):
        assert is_taken_for_one(better, words.split(" "), monkeypatch), better


def suggested(said: str) -> list[str]:
    """The overrides that a sentence says to write instead, or as well."""
    found = re.search(
        r"did you mean (.*?)\?|(?:, in brackets|a \+ before it|add it with a \+): (\S+)\.$|(\S+) would add it\.$"
        r"|(?:write|add it as well,) ([^ ,]+)(?:\.$|, with)",
        said,
    )
    words = re.split(", | or ", next(filter(None, found.groups()))) if found else []
    if found := re.search(r"leave out the \+ of \+(\S+)\.$", said):
        words = [found[1]]
    return [word for word in words if "=" in word and "VALUE" not in word and not word.endswith("=fast")]


def is_taken_for_one(better: str, words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the command takes the words with this one in the place of one of them, or beside them."""
    written = [better]
    if "$" in better:
        words = [re.sub(r"\$.*\}", better, word) for word in words]
    elif "=" not in better and not better.startswith("~"):  # a key alone
        value = words[-1].partition("=")[2]
        written = [f"{better}={value}", f"+{better}={value}"]
    tries = [[*words[:i], each, *words[i + 1 :]] for i in reversed(range(len(words))) for each in written]
    for tried in [words] if "$" in better else [*tries, [better, *words]]:
        monkeypatch.setattr(sys, "argv", ["train", *tried, "hydra.job.chdir=false"])
        try:
            command.main()
        except SystemExit as end:
            if end.code == 2:
                continue
        return True
    return False


def test_of_several_overrides_the_wrong_one_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["model=refinement", "seed=3", "model.preset.alpa=1", "data=folder", "data.root=x"]
    assert "There is no model.preset.alpa: did you mean model.preset.alpha=1?" in told(words, monkeypatch, capfd)


def test_a_file_of_ones_own_that_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """YAML that cannot be read, and a file that names another which there is not: which file, and which line."""
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "torn.yaml").write_text("# @package _global_\nname: torn\nmodel: {a: [1\n")
    (folder / "lost.yaml").write_text("# @package _global_\ndefaults:\n  - override /data: imagnet\n")
    own = ["--config-dir", str(tmp_path / "conf")]
    said = told([*own, "+experiment=torn"], monkeypatch, capfd)
    assert "cannot be read as YAML" in said
    assert "torn.yaml" in said
    said = told([*own, "+experiment=lost"], monkeypatch, capfd)
    assert "In experiment=lost: " in said
    assert "There is no data/imagnet: did you mean data/imagenet?" in said


def test_a_module_that_is_not_there_is_named() -> None:
    with tree_of(Arguments.of(["model.generator._target_=hers.networks.Mine"])) as tree:
        cfg = tree.compose(["model.generator._target_=hers.networks.Mine"])
    with pytest.raises(
        UserError, match=r"no module hers for hers\.networks\.Mine; .* working directory, or on PYTHONPATH"
    ):
        entry.build(cfg.model)


def test_a_sweeper_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from inpaint.train.sentences import _refuse_an_option

    with pytest.raises(UserError, match=r"neural-patch-synthesis\[optuna\]"):
        _refuse_an_option("hydra/sweeper", "optuna", ["basic"])


def test_float16_is_for_gpus(tmp_path: Path) -> None:
    from tests.train.test_train import composed, small

    cfg = composed(tmp_path, small(["data=sample", "logger=csv", "trainer.precision=16-mixed"]))
    with pytest.raises(UserError, match=r"trainer\.precision is 16-mixed, float16, which needs a GPU"):
        entry.train(cfg)


def test_names_that_are_like_each_other() -> None:
    assert like("clip_gradient_val", ["gradient_clip_val", "clip_gradient"]) == ["gradient_clip_val"]
    assert like("xyz", ["model", "data"]) == []
    known = dict.fromkeys(["model", "model.content", "model.content.lr", "model.lr_d", "data", "data.size"], True)
    assert keys_like("lr", known) == ["model.content.lr"]
    assert keys_like("model.lr", known) == ["model.content.lr"]
    assert keys_like("data.sise", known) == ["data.size"]
    assert keys_like("dta.size", known) == ["data.size"]
    assert keys_like("nothing", known) == []


def test_what_can_be_read_is_left_alone() -> None:
    assert read("model.preset.layers=[relu3_1,relu4_1]").value() == ["relu3_1", "relu4_1"]
    assert read("'a=b'".strip("'")).value() == "b"
    assert Arguments.of(["-m", "seed=1,2", "--config-name", "train"]).config_name == "train"


def test_trainer_settings_that_change_nothing_pass() -> None:
    trainer = DictConfig({"gradient_clip_val": None, "accumulate_grad_batches": 1})
    check_trainer(trainer, DictConfig({}))


def test_other_errors_keep_their_first_line() -> None:
    assert explain(OSError("disk\nfull"), []) == "disk"
