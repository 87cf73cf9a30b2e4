"""Whatever is wrong with what is asked for: exit 4 and exactly one clear line, in workers' company too."""

from __future__ import annotations

import argparse

import pytest

MODELS = "--prunecal-models=tinynet"
CONFTEST = 'def pytest_prunecal_models(config):\n    return {"tinynet": "tiny:tiny"}\n'


def refused(project, *args, parallel=((),)):
    """The one line that a refused run prints; the same in every company."""
    lines = set()
    for workers in parallel:
        outcome = project.run(*args, *workers)
        assert outcome.ret == pytest.ExitCode.USAGE_ERROR, outcome.text
        assert outcome.out.strip() == ""
        assert "Traceback" not in outcome.err
        lines.add(outcome.err.strip())
    (line,) = lines
    assert line.startswith("ERROR: prunecal: ")
    assert "\n" not in line
    return line.removeprefix("ERROR: prunecal: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--prunecal-models=tinynt"],
            "unknown model 'tinynt' (did you mean tinynet?); known are vgg19, resnet20, ",
        ),
        (["--prunecal-report=r.html"], "--prunecal-report has no gate to report; say what to gate"),
        (["--prunecal-json=r.json"], "--prunecal-json has no gate to report; say what to gate"),
        (["--prunecal-models=nowhere:net"], "model 'nowhere:net': there is no module 'nowhere' to import"),
        (
            ["--prunecal-models=nowhere.at.all:net"],
            "model 'nowhere.at.all:net': there is no module 'nowhere.at.all' to import",
        ),
        (["--prunecal-models=tinynet,tinynet"], "model 'tinynet' is given twice; name each model once"),
        (["--prunecal-models="], "--prunecal-models selects nothing; known are "),
        (["--prunecal-models= , "], "--prunecal-models selects nothing; known are "),
        (
            [MODELS, "--prunecal-pruners=weigth"],
            "unknown pruner 'weigth' (did you mean weight?); known are weight, filter, channel",
        ),
        (
            [MODELS, "--prunecal-pruners=weight,weight"],
            "pruner 'weight' is given twice; name each pruner once",
        ),
        (
            [MODELS, "--prunecal-pruners="],
            "--prunecal-pruners selects nothing; known are weight, filter, channel",
        ),
        (
            [MODELS, "--prunecal-ratios=1.5"],
            "ratio 1.5 is outside [0, 1): it is the share of the network to remove",
        ),
        ([MODELS, "--prunecal-ratios=1"], "ratio 1 is outside [0, 1): "),
        ([MODELS, "--prunecal-ratios=-0.1"], "ratio -0.1 is outside [0, 1): "),
        ([MODELS, "--prunecal-ratios=nan"], "ratio nan is outside [0, 1): "),
        ([MODELS, "--prunecal-ratios=abc"], "ratio 'abc' is not a number; give ratios such as 0.3,0.5"),
        ([MODELS, "--prunecal-ratios=0.3,.30"], "ratio 0.3 is given twice; name each ratio once"),
        ([MODELS, "--prunecal-ratios=,"], "--prunecal-ratios selects nothing; give ratios such as 0.3,0.5"),
        *[
            (
                [MODELS, f"--prunecal-seeds={seeds}"],
                f"--prunecal-seeds={seeds}: give a whole number from 1 to ",
            )
            for seeds in ("0", "-1", "two", "1.5", "101", "1e1")
        ],
        *[
            (
                [MODELS, f"--prunecal-repeat={most}"],
                f"--prunecal-repeat={most}: give a whole number from 1 to 16",
            )
            for most in ("0", "many", "17")
        ],
        ([MODELS, "--prunecal-changed=warn"], "--prunecal-changed=warn: give tell or fail"),
        ([MODELS, "--prunecal-device=gpu"], "unknown device 'gpu'; use auto, cpu, cuda or cuda:1"),
        (
            [MODELS, "--prunecal-update=most"],
            "--prunecal-update takes all, missing, failing or nothing, not 'most'; ",
        ),
        # A path straight after the bare option is taken for its value.
        (
            [MODELS, "--prunecal-update", "baselines/tiny"],
            "--prunecal-update takes all, missing, failing or nothing",
        ),
        (
            [MODELS, "--prunecal-protocol=quik"],
            "no protocol 'quik': built in are paper, quick, and no file ",
        ),
        (
            [MODELS, "--prunecal-protocol=none.yaml"],
            "no protocol 'none.yaml': built in are paper, quick, and no file ",
        ),
        (
            [MODELS, "--prunecal-baselines=nowhere"],
            "there is no folder nowhere/tiny with baselines of protocol 'tiny'; accept this machine's ",
        ),
        ([MODELS, "--prunecal-data=nowhere"], "--prunecal-data="),
        ([MODELS, "--prunecal-report=baselines"], "--prunecal-report="),
        ([MODELS, "--prunecal-json=baselines"], "--prunecal-json="),
        ([MODELS, "--prunecal-json=tiny.py/run.json"], "tiny.py/run.json cannot be written: "),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_options(gated, options, message):
    assert refused(gated, *options, parallel=[(), ("-n", "2")]).startswith(message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cells:\n", "cells:\n  dense: [\n", "{file}:10: malformed YAML: "),
        ("cells:\n", "cells:\n\tdense:\n", "{file}:8: malformed YAML: "),
        (
            "dense:\n    accuracy: ",
            "dense:\n    accuracy: high #",
            "{file}:9: cells.dense.accuracy is 'high', ",
        ),
        (
            "dense:\n    accuracy: ",
            "dense:\n    accuracy: .nan #",
            "{file}:9: cells.dense.accuracy is .nan, which ",
        ),
        (
            "dense:\n    accuracy: ",
            "dense:\n    accuracy: nan #",
            "{file}:9: cells.dense.accuracy is nan, which ",
        ),
        (
            "dense:\n    accuracy: ",
            "dense:\n    accuracy: .inf #",
            "{file}:9: cells.dense.accuracy is .inf, which ",
        ),
        (
            "dense:\n    accuracy: ",
            "dense:\n    accuracy: true #",
            "{file}:9: cells.dense.accuracy is 'true', ",
        ),
        ("dense:\n    accuracy: ", "dense:\n    accuracy: #", "{file}:9: cells.dense.accuracy is "),
        ("accuracy: {mean: ", "accuracy: {mean: high #", "{file}:10: malformed YAML: "),
        (
            "accuracy: {mean: ",
            "accuracy: {means: ",
            "{file}:9: unknown key 'means' in cells.dense.accuracy; known",
        ),
        (
            "accuracy: {mean: ",
            "accuracy: {se: 1, mean: ",
            "{file}:9: 'se' stands twice in cells.dense.accuracy",
        ),
        ("dense:\n", "dense:\n    known:\n", "{file}:9: cells.dense.known must be a text and is empty"),
        (
            "dense:\n",
            "dense:\n    known: {until: 2030-01-01}\n",
            "{file}:9: cells.dense.known has no reason; ",
        ),
        (
            "dense:\n",
            "dense:\n    known: {reason: slow, until: spring}\n",
            "{file}:9: cells.dense.known.until is no date; write one such as 2027-01-31",
        ),
        (
            "images: {file: ",
            "images: {file: ../",
            "{file}:6: images.file must be the name of a file in this folder",
        ),
        ("images: {file: ", "images: {name: a, file: ", "{file}:6: unknown key 'name' in images; known are "),
        (
            "cells:",
            "tolerance: tight\ncells:",
            "{file}:7: tolerance must be auto, or a rule by metric such as ",
        ),
        ("  weight-0.5:", "  weight-0.3:", "{file}:30: 'weight-0.3' stands twice in cells; keep one"),
        (
            "  weight-0.5:",
            "  weight-0.50:",
            "{file}:31: 'weight-0.50' is not how this cell is named; write 'weight-0.5'",
        ),
        (
            "    ece:",
            "    accuracy: 1\n    ece:",
            "{file}:10: 'accuracy' stands twice in cells.dense; keep one",
        ),
        ("cells:", "colour: red\ncells:", "{file}:7: unknown key 'colour' in the document; known are "),
        (
            "cells:",
            "tolerance: {ece: {abs: -1}}\ncells:",
            "{file}:7: tolerance.ece.abs is -1; it must lie in [0, inf]",
        ),
        (
            "cells:",
            "tolerance: {ece: {max: 1}}\ncells:",
            "{file}:7: unknown key 'max' in tolerance.ece; known are abs, rel",
        ),
        ("prunecal: 1", "prunecal: 2", "{file}:2: baseline format 2 is not known here; this version reads 1"),
        (
            "name: tiny,",
            "name: small,",
            "{file}: is a baseline of protocol 'small', not of 'tiny'; numbers of two protocols ",
        ),
        (
            "model: tinynet",
            "model: resnet20",
            "{file}: is a baseline of model 'resnet20' but lies where 'tinynet' belongs; move it",
        ),
        (
            "fingerprint: ",
            "fingerprint: 0000",
            "{file}: was measured under another version of protocol 'tiny' (fingerprint 0000",
        ),
    ],
)
def test_baseline_files(gated, old, new, message):
    gated.edit(old, new)
    line = refused(gated, MODELS, parallel=[(), ("-n", "2")] if "malformed" in message else [()])
    assert line.startswith(message.format(file=gated.FILE)), line
    if "malformed" in message or "0000" in new:
        # Naming the file leads to the same words.
        assert refused(gated, gated.FILE) == line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ":1: the file is empty"),
        (b"# only a comment\n", ":1: the file is empty"),
        (b"- a\n- b\n", ":1: the document must be a mapping"),
        (b"a: 1\n", ":1: unknown key 'a' in the document"),
        (b"prunecal: 1\nmodel: \xff\n", ": is not UTF-8 text (byte 19)"),
        (b"a: &x [1]\nb: *x\n", ":1: malformed YAML: anchors are not supported here"),
        (b"--- 1\n--- 2\n", ":2: malformed YAML: "),
        (b"[" * 5000, ":1: malformed YAML: nested too deeply"),
    ],
)
def test_files_that_are_no_baselines(gated, content, message):
    gated.baseline.write_bytes(content)
    assert refused(gated, MODELS).startswith(gated.FILE + message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ratios: [0, 0.3, 0.5]", "ratios: [0, 0.3, 1.2]", "tiny.yaml:4: ratio 1.2 is outside [0, 1): "),
        ("ratios: [0, 0.3, 0.5]", "ratios: 0.3", "tiny.yaml:4: ratios must be a list, such as [1, 2]"),
        (
            "extends: quick",
            "extends: quack",
            "tiny.yaml:2: extends 'quack', which is neither built in nor a file",
        ),
        ("extends: quick", "extends: tiny.yaml", "tiny.yaml:2: protocols extend each other in a circle"),
        ("epochs: 6", "epochs: many", "tiny.yaml:5: base.epochs is 'many', which is not a number"),
        ("epochs: 6", "epocs: 6", "tiny.yaml:5: unknown key 'epocs' in base; known are "),
        ("name: digits", "name: digit", "protocol 'tiny': unknown data set 'digit' (did you mean digits?); "),
        ("pruners: [weight, filter, channel]", "pruners: [wait]", "protocol 'tiny': unknown pruner 'wait'"),
        (
            "[gaussian_noise, contrast]",
            "[gaussian_nose]",
            "protocol 'tiny': unknown corruption 'gaussian_nose'",
        ),
        (
            "extends: quick",
            "extends: quick\nname: a/b",
            "tiny.yaml:1: 'a/b' cannot name a folder of baselines",
        ),
    ],
)
def test_protocol_files(gated, old, new, message):
    gated.edit(old, new, "tiny.yaml")
    assert refused(gated, MODELS).startswith(message)


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (
            'models(config):\n    return {"vgg19": "tiny:tiny"}',
            "conftest.py adds model 'vgg19', which is built in; ",
        ),
        (
            'pruners(config):\n    return {"weight": "tiny:x"}',
            "conftest.py adds pruner 'weight', which is built in; ",
        ),
        (
            'datasets(config):\n    return {"digits": "tiny:x"}',
            "conftest.py adds data set 'digits', which is built in; ",
        ),
        (
            'metrics(config):\n    return {"ece": M("ece", higher_is_better=True)}',
            "conftest.py adds metric 'ece', which is built in; ",
        ),
        (
            'metrics(config):\n    return {"note": M("note", higher_is_better=True)}',
            "conftest.py adds metric 'note', which is built in; ",
        ),
        (
            'models(config):\n    return {"my net": "tiny:tiny"}',
            "conftest.py adds model 'my net'; use letters, digits ",
        ),
        (
            'pruners(config):\n    return {"my-own": "tiny:x"}',
            "conftest.py adds pruner 'my-own'; use letters, digits ",
        ),
        (
            "models(config):\n    return [1]",
            "conftest.py:4: pytest_prunecal_models returned a list; return a dict",
        ),
        ("models(config):\n    return {1: 'tiny:tiny'}", "conftest.py adds model 1; use letters, digits "),
        ("models(config):\n    return {'a': 3}", "conftest.py adds model 'a' as 3; it must be callable"),
        (
            "models(config):\n    return {'a': 'tiny'}",
            "conftest.py adds model 'a' as 'tiny'; write package.module:attribute",
        ),
        ("metrics(config):\n    return {'a': 3}", "conftest.py adds metric 'a' as 3; it must be a "),
        (
            "metrics(config):\n    return {'a': M('b', higher_is_better=True)}",
            "conftest.py adds metric 'a' under the name 'b'; use one name",
        ),
        (
            "metrics(config):\n    return {'a': M('a', higher_is_better=True)}",
            "conftest.py adds metric 'a' without a function",
        ),
    ],
)
def test_hooks(gated, hook, message):
    imports = "from pytest_prunecal.study.metric import Metric as M\n"
    own = "" if hook.startswith("models") else CONFTEST
    gated.write({"conftest.py": f"{imports}{own}\n\ndef pytest_prunecal_{hook}\n"})
    assert refused(gated, "--prunecal-models=vgg19", "--prunecal-ratios=0", "--prunecal-update").startswith(
        message
    )


def test_two_conftests_that_add_the_same(gated):
    gated.write({"tests/conftest.py": CONFTEST, "tests/test_own.py": "def test_own(): pass\n"})
    line = refused(gated, MODELS, "tests", "baselines")
    assert line == "two conftest.py files add 'tinynet' through pytest_prunecal_models"


def test_a_list_in_the_ini_file(gated):
    (gated.path / "pytest.ini").unlink()
    gated.write({"pyproject.toml": '[tool.pytest.ini_options]\nprunecal_models = ["tinynet"]\n'})
    line = refused(gated, "-W", "ignore")
    assert line.endswith('pyproject.toml\': prunecal_models is no text; write prunecal_models = "A,B"')


def test_baselines_of_two_protocols(gated):
    gated.write({f"baselines/{name}/a.yaml": "prunecal: 1\n" for name in ("quick", "paper")})
    line = refused(gated, "baselines/quick/a.yaml", "baselines/paper/a.yaml")
    assert line == "baselines of several protocols are named (paper, quick); gate one protocol at a time"


def test_a_baseline_of_a_protocol_that_only_its_file_defines(gated):
    gated.edit("prunecal_protocol = tiny.yaml\n", "", "pytest.ini")
    line = refused(gated, gated.FILE)
    assert line.endswith(
        "/baselines/tiny holds baselines of protocol 'tiny', which is not built in; "
        "name its file with --prunecal-protocol=PATH"
    )


def test_an_empty_folder_of_baselines(gated):
    gated.baseline.unlink()
    line = refused(gated, "--prunecal-ratios=0")
    assert line == "baselines/tiny has no baselines; say what to gate with --prunecal-models=A,B"


def test_a_baseline_under_a_name_that_is_not_its_models(gated):
    gated.baseline.rename(gated.baseline.with_name("other.yaml"))
    line = refused(gated, "--prunecal-ratios=0")
    assert line.startswith(
        "baselines/tiny/other.yaml: is a baseline of model 'tinynet', so its name must be "
    )


def test_a_module_that_breaks_while_it_is_looked_for(gated):
    gated.write({"broken/__init__.py": "raise RuntimeError('out of order')\n", "broken/nets.py": ""})
    line = refused(gated, "--prunecal-models=broken.nets:net", "--prunecal-update")
    assert line.startswith("model 'broken.nets:net': ")
    assert "out of order" in line


def _taken_for_a_text(value):
    parser = argparse.ArgumentParser()
    parser.add_argument("--option")
    return parser.parse_args([f"--option={value}"]).option == value


@pytest.mark.skipif(_taken_for_a_text("--"), reason="this Python's argparse takes it for a text")
@pytest.mark.parametrize("option", ["json", "data", "models", "checkpoint"])
def test_two_dashes_are_no_value(gated, option):
    outcome = gated.gate(f"--prunecal-{option}=--")
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    assert f"prunecal: --prunecal-{option}=--: give a value, such as ./--" in outcome.err
