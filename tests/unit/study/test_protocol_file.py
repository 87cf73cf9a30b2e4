"""Protocols: the built-in ones, what a file of one's own may say, and when fingerprints change."""

import dataclasses
import re

import pytest
import yaml

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.builtin import BENCHMARK, MODELS
from pytest_prunecal.study.digest import digest
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.prior import Share
from pytest_prunecal.study.protocol import Protocol, Recipe, Slimming
from pytest_prunecal.study.protocol_file import BUILT_IN, built_in_names, load
from pytest_prunecal.study.tolerance import ALL, Tolerance


@pytest.fixture
def written(tmp_path):
    """Load a protocol from the text of `mine.yaml`; further files by keyword."""

    def load_text(text, **others):
        for name, content in {"mine": text, **others}.items():
            (tmp_path / f"{name}.yaml").write_text(content)
        return load("mine.yaml", tmp_path)

    return load_text


def refused(call, *args, **kwargs):
    with pytest.raises(PrunecalError) as error:
        call(*args, **kwargs)
    message = str(error.value)
    assert len(message.splitlines()) == 1
    return message


def paper_like(**changes):
    """The paper protocol as plain data, with some keys changed (None: taken out), as text."""
    data = yaml.safe_load((BUILT_IN / "paper.yaml").read_text())
    for path, value in changes.items():
        *parents, key = path.split("__")
        owner = data
        for parent in parents:
            owner = owner[parent]
        if value is None:
            del owner[key]
        else:
            owner[key] = value
    return yaml.safe_dump(data)


def test_paper_is_the_published_study():
    paper = load("paper", BUILT_IN)
    base = Recipe(
        epochs=160,
        batch=64,
        learning_rate=0.1,
        schedule="step",
        milestones=(80, 120),
        decay=0.1,
        warmup=0.0,
        momentum=0.9,
        weight_decay=1e-4,
        nesterov=False,
    )
    assert paper.base == base
    assert paper.finetune == dataclasses.replace(base, epochs=40, learning_rate=0.001, milestones=())
    assert paper.dataset == {"name": "cifar10"}
    assert (paper.pad, paper.flip) == (4, True)
    assert {paper.width_of(model) for model in MODELS} == {1}
    assert (paper.mean, paper.std) == ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    assert paper.ratios == (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert paper.pruners == ("weight", "filter", "channel")
    assert paper.evaluation.corruptions == tuple(BENCHMARK)
    assert len(paper.evaluation.corruptions) == 15
    assert (paper.evaluation.severities, paper.evaluation.bins) == ((1, 2, 3, 4, 5), 10)
    assert paper.slimming == Slimming(0.5, {"vgg19": 1e-4, "default": 1e-5})
    assert (paper.slimming.lambda_of("vgg19"), paper.slimming.lambda_of("preresnet164")) == (1e-4, 1e-5)


def test_quick_covers_the_grid_and_all_corruptions():
    quick = load("quick", BUILT_IN)
    paper = load("paper", BUILT_IN)
    assert (quick.name, quick.ratios) == ("quick", paper.ratios)
    assert quick.pruners == (*paper.pruners, "2:4", "int8")
    assert quick.evaluation.corruptions == tuple(BENCHMARK)
    assert quick.dataset["name"] == "digits"
    assert quick.tolerance == {ALL: Tolerance(source="protocol quick", auto=True)}
    assert set(quick.min_effect) == set(METRICS)
    assert (quick.false_alarms, quick.noise.freedom >= 1) == (0.01, True)
    assert {"quick", "paper"} <= set(built_in_names())


def test_one_changed_line(written):
    quick, mine = load("quick", BUILT_IN), written("extends: quick\nfinetune: {epochs: 77}\n")
    expected = dataclasses.replace(
        quick, name="mine", description="", finetune=dataclasses.replace(quick.finetune, epochs=77)
    )
    rules = {ALL: Tolerance(source="protocol mine", auto=True)}
    effects = {
        key: dataclasses.replace(effect, source="min_effect of protocol mine")
        for key, effect in quick.min_effect.items()
    }
    assert mine == dataclasses.replace(expected, tolerance=rules, min_effect=effects)
    assert mine.fingerprint != quick.fingerprint


def test_extending_without_a_change_keeps_the_fingerprint_but_not_the_name(written):
    mine = written("extends: quick\n")
    assert (mine.name, mine.fingerprint) == ("mine", load("quick", BUILT_IN).fingerprint)
    assert written("extends: other.yaml", other="extends: quick\nname: given\n").name == "mine"
    assert written("extends: quick\nname: given\n").name == "given"


def test_the_same_protocol_written_in_full(written):
    assert written(paper_like()).fingerprint == load("paper", BUILT_IN).fingerprint
    assert written(paper_like(width=1.0, seed="0x0"[2:])).fingerprint == load("paper", BUILT_IN).fingerprint


def test_data_sets_merge_unless_another_one_is_named(written):
    base = "extends: quick\ndataset: {name: npz, file: a.npz, train: 100}\n"
    assert written("extends: base.yaml\ndataset: {train: 50}\n", base=base).dataset == (
        {"name": "npz", "file": "a.npz", "train": 50}
    )
    assert written("extends: base.yaml\ndataset: {name: npz, train: 50}\n", base=base).dataset == (
        {"name": "npz", "file": "a.npz", "train": 50}
    )
    assert written("extends: base.yaml\ndataset: {name: cifar10}\n", base=base).dataset == {"name": "cifar10"}
    assert written("extends: base.yaml\n", base=base).dataset == {
        "name": "npz",
        "file": "a.npz",
        "train": 100,
    }
    assert written("extends: quick\ndataset: {name: digits, size:}\n").dataset == {"name": "digits"}


def test_widths_by_model(written):
    mine = written("extends: quick\nwidth: {vgg19: 0.5, default: 2}\n")
    assert (mine.width_of("vgg19"), mine.width_of("resnet20")) == (0.5, 2.0)
    assert written("extends: quick\nwidth: 2\n").width_of("vgg19") == 2.0
    message = refused(written, "extends: paper\nwidth: {vgg19: 0.5}\n")
    assert message == "mine.yaml:2: width needs a `default` for models that it does not name"


def test_circles_are_refused(written):
    message = refused(written, "extends: other.yaml\n", other="extends: mine.yaml\n")
    assert "extend each other in a circle" in message
    assert "in a circle" in refused(written, "extends: mine.yaml\n")


def test_what_the_file_system_refuses_to_extend(written):
    spec = "x" * 300
    told = refused(written, f"name: mine\nextends: {spec}\n")
    assert told == f"mine.yaml:2: extends {spec!r}: File name too long"


@pytest.mark.parametrize("spec", ["nowhere", "nowhere.yaml", "../..", "."])
def test_what_cannot_be_extended(written, tmp_path, spec):
    assert refused(written, f"name: mine\nextends: {spec}\n") == (
        f"mine.yaml:2: extends {spec!r}, which is neither built in nor a file beside this one"
    )
    assert refused(load, spec, tmp_path).startswith(f"no protocol {spec!r}: built in are ")


def test_a_mistake_is_named_where_it_stands(written):
    other = "extends: quick\n\nfinetune:\n  epochs: many\n"
    assert refused(written, "extends: sub/../other.yaml\n", other=other).startswith("mine.yaml:1: extends")
    assert refused(written, "extends: other.yaml\nseed: 1\n", other=other) == (
        "other.yaml:4: finetune.epochs is 'many', which is not a number"
    )


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("seed: [1]", 2, "seed must be a single value"),
        ("seed: -1", 2, "must lie in"),
        ("seed: 1.5", 2, "whole number"),
        ("seed: 010", 2, "'010', which is not a number"),
        ("seed: 2001-01-01", 2, "not a number"),
        ("seed: true", 2, "not a number"),
        ("width: .inf", 2, "not a finite number"),
        ("width: .nan", 2, "not a finite number"),
        ("width: 0", 2, "must lie in"),
        ("colour: red", 2, "unknown key 'colour' in the document"),
        ("finetune: {epoch: 5}", 2, "unknown key 'epoch' in finetune"),
        ("finetune:\n  schedule: linear", 3, "must be one of step, cosine"),
        ("finetune: {milestones: [3, 2]}", 2, "must ascend"),
        ("finetune: {milestones: [2, 2]}", 2, "must ascend"),
        ("finetune: {batch: 1}", 2, "must lie in"),
        ("finetune: {momentum: 0, nesterov: true}", 2, "finetune.nesterov needs a momentum above 0"),
        ("finetune: {nesterov: 1}", 2, "must be true or false"),
        ("finetune: {optimiser: adam}", 2, "finetune.optimiser is 'adam'; it must be one of sgd, adamw"),
        (
            "finetune: {betas: [0.9, 0.99]}",
            2,
            "finetune.betas is of `optimiser: adamw`, and this recipe's is sgd",
        ),
        ("finetune: {eps: 1e-8}", 2, "finetune.eps is of `optimiser: adamw`, and this recipe's is sgd"),
        ("finetune: {optimiser: adamw, betas: [0.9]}", 2, "finetune.betas must be two numbers"),
        ("finetune: {optimiser: adamw, betas: [0.9, 1]}", 2, "finetune.betas[1] is 1; it must lie in"),
        ("finetune: {optimiser: adamw, eps: 0}", 2, "finetune.eps is 0; it must lie in"),
        ("finetune: {label_smoothing: 1}", 2, "finetune.label_smoothing is 1; it must lie in"),
        ("finetune: {clip_norm: -1}", 2, "finetune.clip_norm is -1; it must lie in"),
        ("augment: {pad: -1}", 2, "must lie in"),
        ("normalise: {std: [1, 1]}", 2, "3 positive deviations"),
        ("normalise: {std: [1, 0, 1]}", 2, "3 positive deviations"),
        ("ratios: [0, 1.5]", 2, "ratio 1.5 is outside"),
        ("ratios: [0.3, .30]", 2, "ratio 0.3 is given twice"),
        ("ratios:\n  - 0.1\n  - [1]", 4, r"ratios[1] must be a single value"),
        ("ratios:\n  - 0.1\n  - abc", 3, "ratio 'abc' is not a number"),
        ("evaluation: {severities: [6]}", 2, "must lie in"),
        ("evaluation: {severities: [3, 3]}", 2, "none twice"),
        ("evaluation: {corruptions: []}", 2, "must name at least one"),
        ("evaluation: {source: guessed}", 2, "must be one of generated, published, auto"),
        ("evaluation: {bins: 0}", 2, "must lie in"),
        ("evaluation: {bins: 1000000000}", 2, "must lie in"),
        ("slimming: {penalty: {vgg19: -1}}", 2, "must lie in"),
        ("tolerance: {ece: high}", 2, "tolerance.ece is 'high', which is not a number"),
        ("tolerance: {ece: -0.1}", 2, "tolerance.ece is -0.1; it must lie in [0, inf]"),
        ("tolerance: tight", 2, "tolerance must be auto, or a rule by metric such as"),
        ("tolerance: 0.1", 2, "tolerance must be auto, or a rule by metric such as"),
        ("tolerance:", 2, "tolerance must be auto, or a rule by metric such as"),
        ("min_effect: auto", 2, "is auto; it must be what matters to you"),
        ("min_effect: {ece: auto}", 2, "min_effect.ece is auto; it must be what matters to you"),
        ("min_effect: {ece: -1}", 2, "must lie in"),
        ("min_effect: {ece: {most: 1}}", 2, "unknown key 'most' in min_effect.ece"),
        ("false_alarms: 0", 2, "false_alarms is 0; it must lie in [1e-09, 0.5]"),
        ("false_alarms: 0.6", 2, "false_alarms is 0.6; it must lie in"),
        ("false_alarms: often", 2, "'often', which is not a number"),
        ("noise: 0.01", 2, "noise must be a mapping"),
        ("noise: {freedom: 0}", 2, "noise.freedom is 0; it must lie in [1, 1000]"),
        ("noise: {freedom: 2.5}", 2, "noise.freedom is 2.5; it must be a whole number"),
        ("noise: {paired: 1.1}", 2, "noise.paired is 1.1; it must lie in [0, 1]"),
        ("noise: {luck: {}}", 2, "unknown key 'luck' in noise"),
        ("noise:\n  retrain:\n    ece: {error: -1}", 4, "noise.retrain.ece.error is -1; it must lie in"),
        ("noise:\n  change:\n    ece: {size: 1}", 4, "unknown key 'size' in noise.change.ece"),
        ("noise:\n  finetune:\n    ece: 0.3", 4, "noise.finetune.ece must be a mapping"),
        ("tolerance: {mine: {}}", 2, "give abs, rel or both"),
        ("tolerance: {ece: {abs: -1}}", 2, "must lie in"),
        ("tolerance: {ece: {absolute: 1}}", 2, "unknown key 'absolute'"),
        ("precision: float16", 2, "precision is 'float16'; it must be one of float32, bfloat16"),
        ("threads: 0", 2, "must lie in"),
        ("repeat: 17", 2, "repeat is 17; it must lie in [1, 16]"),
        ("repeat: 0", 2, "repeat is 0; it must lie in [1, 16]"),
        ("prunecal: 2", 2, "format 2 is not known here"),
        ("prunecal: 2\ncolour: red", 2, "format 2 is not known here"),
        ("noise:\n  change: [1]", 3, "noise.change must be a mapping"),
        ("width: [1]", 2, "width must be a single value, or a mapping of `key: value` lines"),
        ("slimming:\n  scale: -1", 3, "slimming.scale is -1; it must lie in [0, inf]"),
        ("dataset: digits", 2, "dataset must be a mapping"),
        ("dataset: {size: 016}", 2, "'016', which is not a number"),
        ("name: ../up", 1, "cannot name a folder"),
        ("extends: quick", 2, "stands twice"),
    ],
)
def test_every_field_is_checked(written, text, where, says):
    message = refused(written, f"extends: quick\n{text}\n")
    assert re.match(rf"(mine\.yaml|quick):{where}: ", message), message
    assert says in message


@pytest.mark.parametrize(
    "key",
    [
        "prunecal",
        "dataset",
        "normalise__std",
        "augment__pad",
        "width",
        "ratios",
        "base__epochs",
        "finetune",
        "seed",
        "slimming__scale",
        "slimming__penalty__default",
        "evaluation__bins",
        "threads",
        "precision",
        "pruners",
        "noise",
        "noise__freedom",
        "noise__paired",
        "noise__finetune",
        "noise__change__default",
        "noise__retrain",
        "min_effect",
        "false_alarms",
    ],
)
def test_nothing_is_assumed_where_a_field_is_missing(written, key):
    assert repr(key.rsplit("__", maxsplit=1)[-1])[1:-1] in refused(written, paper_like(**{key: None}))


def test_what_a_file_may_leave_out(written):
    mine = written(paper_like(name=None, description=None, tolerance=None))
    assert (mine.name, mine.description, mine.tolerance) == ("mine", "", {})
    assert mine.fingerprint == load("paper", BUILT_IN).fingerprint


def test_what_recipes_gained_leaves_the_shipped_fingerprints_as_they_were(written):
    assert load("quick", BUILT_IN).fingerprint == "2d45221e"
    spelled = "{optimiser: sgd, label_smoothing: 0, clip_norm: 0}"
    mine = written(f"extends: quick\nbase: {spelled}\nfinetune: {spelled}\n")
    quick = load("quick", BUILT_IN)
    assert (mine.fingerprint, mine.measuring) == (quick.fingerprint, quick.measuring)
    assert mine.base_fingerprint("vgg19", "plain") == quick.base_fingerprint("vgg19", "plain")
    assert not {"optimiser", "betas", "eps", "label_smoothing", "clip_norm"} & {*quick.measuring["base"]}


@pytest.mark.parametrize(
    "line", ["pruners: [weight, 2:4, '2:4x']", "pruners:\n  - weight\n  - 2:4\n  - 2:4x"]
)
def test_a_pruner_is_called_as_it_is_written(written, line):
    assert written(f"extends: quick\n{line}\n").pruners == ("weight", "2:4", "2:4x")


def test_betas_that_are_inherited_do_not_hinder_sgd(written, tmp_path):
    (tmp_path / "adam.yaml").write_text(
        "extends: quick\nfinetune: {optimiser: adamw, betas: [0.8, 0.99], eps: 1e-6}\n"
    )
    mine = written("extends: adam.yaml\nfinetune: {optimiser: sgd}\n")
    assert (mine.finetune.optimiser, mine.finetune.betas) == ("sgd", (0.8, 0.99))


@pytest.mark.parametrize("key", ["normalise__mean", "augment__flip", "finetune__nesterov"])
def test_what_is_missing_inside_a_field_is_named_there(written, key):
    owner, field = key.split("__")
    text = paper_like(**{key: None})
    line = text.splitlines().index(f"{owner}:") + 2
    assert refused(written, text) == (
        f"mine.yaml:{line}: {owner} has no {field!r}; add it, or start with `extends: quick`"
    )


def test_a_data_set_has_a_name(written):
    for name in ("''", "~", ""):
        text = paper_like().replace("name: cifar10", f"name: {name}")
        assert refused(written, text).endswith("dataset.name must be a text and is empty")
    assert written(paper_like().replace("name: cifar10", "name: 010")).dataset == {"name": "010"}


JUDGING = {
    "name: other": "name",
    "description: other": "description",
    "ratios: [0.5]": "ratios",
    "pruners: [weight]": "pruners",
    "tolerance: {ece: {abs: 0.5}}": "tolerance",
    "threads: 2": "threads",
    "noise: {freedom: 3}": "noise",
    "min_effect: {ece: 0.5}": "min_effect",
    "false_alarms: 0.05": "false_alarms",
    "repeat: 2": "repeat",
    "recovery: {accuracy: 0.9}": "recovery",
}
MEASURING = (
    [
        "dataset: {size: 8}",
        "dataset: {name: digits}",
        "normalise: {mean: [0, 0, 0]}",
        "normalise: {std: [1, 1, 1]}",
    ]
    + ["augment: {pad: 2}", "augment: {flip: false}", "width: 0.25", "seed: 1", "slimming: {scale: 0.25}"]
    + ["slimming: {penalty: {default: 1}}", "evaluation: {batch: 100}", "evaluation: {bins: 15}"]
    + ["evaluation: {severities: [1]}", "evaluation: {corruptions: [fog]}", "evaluation: {source: generated}"]
    + [
        f"{recipe}: {{{line}}}"
        for recipe in ("base", "finetune")
        for line in (
            "epochs: 3",
            "batch: 16",
            "learning_rate: 0.01",
            "schedule: cosine",
            "milestones: [1]",
            "decay: 0.5",
            "optimiser: adamw",
            "optimiser: adamw, betas: [0.8, 0.99]",
            "optimiser: adamw, eps: 1e-6",
            "label_smoothing: 0.1",
            "clip_norm: 1",
        )
    ]
    + ["base: {warmup: 2}", "base: {momentum: 0.8}", "base: {weight_decay: 0}", "base: {nesterov: true}"]
)


def test_the_fingerprint_changes_with_whatever_changes_numbers_and_with_nothing_else(written):
    paper = load("paper", BUILT_IN)
    prints = [written(f"extends: paper\n{line}\n").fingerprint for line in MEASURING]
    assert paper.fingerprint not in prints
    assert len(set(prints)) == len(prints)
    for line, name in JUDGING.items():
        changed = written(f"extends: paper\n{line}\n")
        assert getattr(changed, name) != getattr(paper, name)
        assert changed.fingerprint == paper.fingerprint
    covered = {re.match(r"\w+", line).group() for line in [*MEASURING, *JUDGING]}
    fields = {field.name for field in dataclasses.fields(Protocol)} - {"mean", "std", "pad", "flip"}
    assert covered - {"normalise", "augment"} == fields - {"precision"}
    assert re.fullmatch("[0-9a-f]{8}", paper.fingerprint)


def test_digests_do_not_depend_on_the_order_of_keys():
    assert (
        digest({"a": 1, "b": [2, "c"]}) == digest({"b": [2, "c"], "a": 1}) != digest({"a": 1, "b": ["c", 2]})
    )


def test_an_empty_mapping_replaces_what_it_extends(written):
    mine = written("extends: quick\nnoise: {finetune: {accuracy: {}}}\nmin_effect: {}\n")
    assert mine.noise.share("finetune", "accuracy") == Share()
    assert mine.noise.share("finetune", "ece") == load("quick", BUILT_IN).noise.share("finetune", "ece")
    assert mine.min_effect == {}
    with pytest.raises(PrunecalError, match=r"mine\.yaml:2: noise has no 'freedom'"):
        written("extends: quick\nnoise: {}\n")


def test_a_description_describes_its_own_file(written):
    assert written("extends: quick\n").description == ""
    assert written("extends: quick\ndescription: mine\n").description == "mine"
