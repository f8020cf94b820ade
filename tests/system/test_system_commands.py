"""Help, version, info, recipes and data sets; and real processes, as a shell starts them."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from shell import CHAIN, POINTS, good, refused, undiffuse

from undiffuse import __version__
from undiffuse.data import SOURCES
from undiffuse.overview import read_overview
from undiffuse.recipes import Recipe, shipped
from undiffuse.runs import load

VERBS = ("train", "sample", "interpolate", "evaluate", "info", "reproduce", "recipes", "datasets")
VERBS = (*VERBS, "import", "export")


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("words", [[], *([verb] for verb in VERBS)])
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(words: list[str], option: str):
    out = good(*words, option)
    assert "Usage: undiffuse" in out
    assert "undiffuse train" in out or "undiffuse " + words[0] in out
    if not words:
        assert all(verb in out for verb in VERBS)


def test_nothing_said_is_help():
    result = undiffuse()
    assert result.code == 2
    assert "Usage: undiffuse" in result.out + result.err


def test_help_is_instant_and_does_not_import_torch():
    code = """
import sys
from undiffuse.cli import main
for words in sys.argv[1:]:
    sys.argv = ["undiffuse", *words.split()]
    try:
        main()
    except SystemExit as leaving:
        assert not leaving.code, words
    assert not {"torch", "numpy", "yaml"} & set(sys.modules), words
"""
    fastest = []
    for asked in (*3 * (["--version"], ["--help"]), [f"{verb} --help" for verb in VERBS]):
        before = os.times()
        done = process("-c", code, *asked)
        fastest.append(sum(os.times()[2:4]) - sum(before[2:4]))  # of the processor, whoever else has it
        assert done.returncode == 0, done.stderr
    assert min(fastest) < 0.5


def test_importing_the_package_does_not_import_torch():
    code = "import sys, undiffuse; assert 'torch' not in sys.modules; undiffuse.kernels.Gaussian; "
    code += "assert 'torch' in sys.modules; import undiffuse.recipes; assert 'matplotlib' not in sys.modules"
    done = process("-c", code)
    assert done.returncode == 0, done.stderr


def test_version():
    for words in (["--version"], ["sample", "--version"]):
        assert good(*words) == f"undiffuse {__version__}\n"
    done = process("-m", "undiffuse", "--version")
    assert (done.returncode, done.stdout) == (0, f"undiffuse {__version__}\n")


def test_info_needs_no_torch(runs: Path):
    """What the small files say is what a loaded run knows."""
    for name in ("points", "digits", "vectors"):
        found, run = read_overview(runs / name), load(runs / name)
        assert found.parameters == sum(p.numel() for p in run.model.parameters())
        assert (found.shape, found.levels, found.step) == (run.shape, run.levels, run.step)
        assert found.recipe == run.recipe.describe() and found.chain == len(run.grid)
        assert found.kept == (run.step if run.kept is None else run.kept)
    code = "import sys; from undiffuse.cli import main; sys.argv[1:] = ['info', sys.argv[1]]; main()\n"
    done = process("-c", code + "assert not {'torch', 'numpy'} & set(sys.modules)", str(runs / "points"))
    assert done.returncode == 0, done.stderr


def test_info_of_a_recipe_that_leaves_things_open(copy: Callable[[str], Path]):
    run = copy("points")
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("grid:\n  kind: uniform\n  steps: 12\n", "grid: uniform\n"))
    out = good("info", run)
    assert "6 steps" in out and "chain" not in out.partition("about:")[0]
    (run / "recipe.yaml").write_text("- 1\n")
    assert "recipe.yaml: damaged" in refused("info", run)


def test_info(runs: Path):
    out = " ".join(good("info", runs / "digits").split())
    for part in ("1,497 train, 300 test", "1x8x8, 17 levels", "6 steps", "12 steps", "kind: unet"):
        assert part in out
    assert "2, continuous" in " ".join(good("info", runs / "points").split())


def test_the_recipe_in_info_is_that_of_the_run(runs: Path):
    out = good("info", runs / "points")
    recipe = yaml.safe_load(out[out.index("about: ") :])
    assert recipe == yaml.safe_load((runs / "points/recipe.yaml").read_text())


def test_brackets_in_a_name_are_no_markup(copy: Callable[[str], Path]):
    for name in ("[/]x", "[bold]y", "a:smile:"):
        Path(name).parent.mkdir(exist_ok=True)
        run = copy("points").rename(name)
        assert name in good("info", run)


@pytest.mark.parametrize("name", shipped())
def test_a_printed_recipe_is_a_recipe(name: str):
    text = good("recipes", name)
    assert Recipe(yaml.safe_load(text)).describe() == yaml.safe_load(text)


def test_recipes_are_listed():
    out = good("recipes")
    assert all(name in out for name in shipped())
    assert "did you mean 'digits'?" in refused("recipes", "digit")


def test_data_sets_are_listed_with_source_and_licence(monkeypatch: pytest.MonkeyPatch):
    out = "".join(good("datasets").split())
    assert "…" not in out
    monkeypatch.setenv("COLUMNS", "500")
    wide = good("datasets")
    for name, source in SOURCES.items():
        assert name in out
        assert source.about in wide
        assert source.source in wide
        assert source.licence in wide


def test_every_example_in_help_names_a_verb():
    for verb in VERBS:
        lines = [line.strip() for line in good(verb, "--help").splitlines()]
        examples = [line.split() for line in lines if line.startswith("undiffuse ")]
        assert examples
        assert all(words[1] in VERBS for words in examples)


def test_a_failure_in_a_real_process():
    done = process("-m", "undiffuse", "sample", "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "undiffuse: none: no run here (it has no run.json)\n"


@pytest.mark.parametrize("switches", [[], ["-q"]])
def test_interrupted_and_resumed(switches: list[str]):
    words = [*POINTS, *CHAIN, "train.steps=1000000", "train.checkpoint_every=10", "train.log_every=1"]
    code = (
        "import signal as s, undiffuse.cli; s.signal(s.SIGINT, s.default_int_handler); undiffuse.cli.main()"
    )
    command = [
        sys.executable,
        "-c",
        code,
        *switches,
        "train",
        *words,
        "--out",
        "run",
    ]  # background jobs ignore Ctrl-C
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        while running.poll() is None and not list(Path("run").glob("checkpoints/step-*")):
            time.sleep(0.05)
        os.kill(running.pid, signal.SIGINT)
        error = running.communicate(timeout=30)[1]
    finally:
        running.kill()
    assert running.returncode == 130
    assert re.search(r"undiffuse: SIGINT after step \d+: saved; go on with: .* --resume run\n$", error)
    assert not switches or error.count("\n") == 1
    assert "Traceback" not in error
    recipe = Path("run/recipe.yaml")
    step = int(max(Path("run/checkpoints").iterdir()).name[5:])
    recipe.write_text(recipe.read_text().replace("steps: 1000000", f"steps: {step + 3}"))
    assert f"continuing after step {step:,}" in good("train", "--resume", "run")
    rows = Path("run/metrics.jsonl").read_text().count('"step"')
    assert rows == step + 3
