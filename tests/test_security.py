"""What no file of the package may do, and what no file that it reads may make it do."""

import ast
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import undiffuse
from undiffuse.data import read_npy
from undiffuse.data.pictures import read_image
from undiffuse.recipes import RecipeError, read

SOURCES = sorted(Path(undiffuse.__file__).parent.rglob("*.py"))
MODULES = {
    "pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "socket",
    "http",
    "urllib",
    "requests",
}
MODULES |= {"telnetlib", "ftplib", "smtplib", "ctypes", "webbrowser"}
MODULES |= {"importlib", "builtins", "runpy", "code", "subprocess"}
CALLS = {"eval", "exec", "compile", "__import__", "execfile", "globals"}
METHODS = {
    ("torch", "load"),
    ("torch", "save"),
    ("np", "load"),
    ("yaml", "unsafe_load"),
    ("yaml", "full_load"),
    ("subprocess", "getoutput"),
    ("Image", "open"),
}
EVERYWHERE = {"system", "popen"}  # methods of whatever it is
# Readers of pictures and masks, PNG and JPEG alone, and of what was just written; the lock names its host;
# importlib reads our own files and groups; a command starts itself again for --processes.
ALLOWED = {
    ("data/pictures.py", "Image.open"),
    ("runs/holes.py", "Image.open"),
    ("reports/weighing.py", "Image.open"),
    ("trackers/tensorboard.py", "Image.open"),
    ("__init__.py", "import importlib"),
    ("recipes/reading.py", "import importlib"),
    ("runs/shipped.py", "import importlib"),
    ("cli/launching.py", "import subprocess"),
    ("cli/launching.py", "import socket"),  # of this machine alone, where the processes that it starts meet
    ("training/lock.py", "import socket"),
    ("signals.py", "import socket"),  # a pair within the process
}


def _forbidden(path: Path) -> list[tuple[str, str]]:
    """(file, what) of everything in it that must not be there."""
    name, found = path.relative_to(SOURCES[0].parent).as_posix(), []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            heads = [a.name for a in node.names] + [getattr(node, "module", None) or ""]
            found += [f"import {h}" for h in {head.partition(".")[0] for head in heads} & MODULES]
        if isinstance(node, ast.Call):
            call = node.func
            if isinstance(call, ast.Name) and call.id in CALLS:
                found.append(call.id)
            if isinstance(call, ast.Attribute):
                owner = ast.unparse(call.value)
                found += [f"{m}.{f}" for m, f in METHODS if (owner, call.attr) == (m, f)]
                found += [call.attr] if call.attr in EVERYWHERE else []
                ours = [ast.unparse(each) for each in node.args][1:] == ["_Loader"]
                if (owner, call.attr) == ("yaml", "load") and not ours:
                    found.append("yaml.load")
            found += [k.arg for k in node.keywords if k.arg == "shell"]
            found += [k.arg for k in node.keywords if k.arg == "allow_pickle" and _true(k.value)]
    return [(name, each) for each in found]


def _true(node: ast.expr) -> bool:
    return not (isinstance(node, ast.Constant) and node.value is False)


def test_no_pickle_no_eval_no_network_in_the_package():
    found = {each for path in SOURCES for each in _forbidden(path)}
    assert found <= ALLOWED
    assert len(SOURCES) > 150


OPENING = {"read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "unlink", "rename", "touch"}
OPENING |= {"open", "glob", "rglob", "iterdir", "symlink_to", "hardlink_to", "chmod"}
OPEN_THEMSELVES = {  # files of the package or the user's, or an `open` of another kind
    ("runs/archive.py", "Path.read_bytes"),
    ("runs/experiment.py", "cls.open"),
    ("runs/holes.py", "Image.open"),
    ("recipes/reading.py", "?.iterdir"),
    ("recipes/reading.py", "?.read_bytes"),
    ("runs/replay.py", "Experiment.open"),
    ("reports/reproduce.py", "Experiment.open"),
    ("reports/weighing.py", "Image.open"),
    ("plots/mp4.py", "path.open"),
    ("trackers/tensorboard.py", "Image.open"),
    ("training/lock.py", "here.open"),
    ("training/scan.py", "here.rename"),
}


def _opened(path: Path) -> set[tuple[str, str]]:
    """(file, what) of everything in it that would open or make a path by itself."""
    name, found = path.relative_to(SOURCES[0].parent).as_posix(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in OPENING:
            of = node.func.value.func if isinstance(node.func.value, ast.Call) else node.func.value
            found.add((name, f"{of.id if isinstance(of, ast.Name) else '?'}.{node.func.attr}"))
    return found


def test_what_knows_runs_opens_their_files_through_one_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folders = (
        "diffusion",
        "recipes",
        "runs",
        "reports",
        "training",
        "trackers",
        "plots",
        "bounds",
        "codec",
        "samplers",
        "metrics",
    )
    paths = [p for p in SOURCES if p.relative_to(SOURCES[0].parent).parts[0] in folders]
    assert set().union(*map(_opened, paths)) == OPEN_THEMSELVES
    monkeypatch.setitem(globals(), "SOURCES", [tmp_path / "a.py"])
    (tmp_path / "a.py").write_text("(folder / 'metrics.jsonl').read_text()\n")
    assert _opened(tmp_path / "a.py") == {("a.py", "?.read_text")}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "from importlib import x",
        "eval('1')",
        "os.system('a')",
        "torch.load(x)",
        "yaml.load(x)",
        "yaml.load(x, yaml.Loader)",
        "f(shell=True)",
        "f(allow_pickle=yes)",
        "import http.client",
    ],
)
def test_the_gate_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str):
    monkeypatch.setitem(globals(), "SOURCES", [tmp_path / "a.py"])
    (tmp_path / "a.py").write_text(f"def f(x):\n    {line}\n")
    assert _forbidden(tmp_path / "a.py")


def test_the_gate_lets_modules_evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(globals(), "SOURCES", [tmp_path / "a.py"])
    (tmp_path / "a.py").write_text("net.eval()\nyaml.load(x, _Loader)\nf(allow_pickle=False)\n")
    assert not _forbidden(tmp_path / "a.py")


RECIPES = {
    "a tag": "data: !!python/object/apply:os.system [touch canary]\n",
    "another tag": "data: !!python/name:os.system\n",
    "an anchor": "a: &x [1]\ndata: digits\n",
    "an alias": "data: *x\n",
    "laughs": "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "a merge": "a: &x {kind: digits}\ndata:\n  <<: *x\n",
    "a target": "data: digits\n_target_: os.system\n",
    "a target in a part": "data: {kind: digits, _target_: os.system}\n",
    "a module for a kind": "data: os.system\n",
    "a reduce": "data: {kind: digits, __reduce__: 1}\n",
    "deep lists": "data: " + "[" * 9 + "]" * 9 + "\n",
    "very deep lists": "data: " + "[" * 30_000 + "\n",
    "deep mappings": "".join(f"{'  ' * i}a:\n" for i in range(9)) + f"{'  ' * 9}b: 1\n",
    "large": "about: " + "x" * 2**16 + "\n",
    "not UTF-8": b"about: \xff\n",
    "a NUL": "about: a\0b\n",
    "a list": "[1, 2]\n",
    "nothing": "",
    "a key twice": "seed: 1\nseed: 2\n",
    "two documents": "seed: 1\n---\nseed: 2\n",
}


@pytest.mark.parametrize("name", RECIPES)
def test_hostile_recipes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    from undiffuse.recipes import Recipe

    monkeypatch.chdir(tmp_path)
    content = RECIPES[name]
    Path("a.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RecipeError) as error:
        Recipe(read("a.yaml"))
    assert len(str(error.value)) < 1000
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


NPY = b"\x93NUMPY\1\0"


def npy(header: str, data: bytes = b"", length: int | None = None) -> bytes:
    text = header.encode()
    return NPY + (len(text) if length is None else length).to_bytes(2, "little") + text + data


def head(descr: str = "'<f4'", shape: str = "(1,)", more: str = "") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, {more}}}\n"


ARRAYS = {
    "empty": b"",
    "a pickle": b"\x80\x04cos\nsystem\n",
    "objects": npy(head("'|O'"), b"\0" * 8),
    "a structure": npy(head("[('a', '<f4')]"), b"\0" * 4),
    "code in the header": npy("__import__('os').system('touch canary')\n"),
    "a call in the shape": npy(head(shape="(int('1'),)"), b"\0" * 4),
    "32 GiB": npy(head(shape="(8589934592,)")),
    "overflow": npy(head(shape="(4294967296, 4294967296)")),
    "negative": npy(head(shape="(-1,)"), b"\0" * 4),
    "too few bytes": npy(head(shape="(2,)"), b"\0" * 4),
    "too many bytes": npy(head(), b"\0" * 8),
    "nothing in it": npy(head(shape="(0,)")),
    "no dimensions": npy(head(shape="()"), b"\0" * 4),
    "nine dimensions": npy(head(shape=f"({'1, ' * 9})"), b"\0" * 4),
    "text": npy(head("'<U1'"), b"\0" * 4),
    "complex": npy(head("'<c8'"), b"\0" * 8),
    "dates": npy(head("'<M8[s]'"), b"\0" * 8),
    "a long header": NPY + (60_000).to_bytes(2, "little") + b" " * 60_000,
    "a header that is cut": npy(head(), length=5000),
    "version 9": b"\x93NUMPY\x09\0" + bytes(20),
    "an extra key": npy(head(more="'x': 1"), b"\0" * 4),
    "a key twice": npy(head(more="'shape': (9,)"), b"\0" * 4),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_hostile_arrays_are_refused(tmp_path: Path, name: str):
    file = tmp_path / "a.npy"
    file.write_bytes(ARRAYS[name])
    with pytest.raises(ValueError, match=r"a\.npy"):
        read_npy(file)
    assert list(tmp_path.iterdir()) == [file]


def picture(**changes: object) -> bytes:
    import io

    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(file, **({"format": "PNG"} | changes))  # type: ignore[arg-type]
    return file.getvalue()


def _long_text() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for i in range(3):
        info.add_text(f"k{i}", "x" * 2**26, zip=True)
    return info


PNG = picture()
PICTURES = {
    "empty": b"",
    "a bomb": PNG[:16] + (50_000).to_bytes(4, "big") * 2 + PNG[24:],
    "nothing wide": PNG[:16] + bytes(8) + PNG[24:],
    "a GIF": picture(format="GIF"),
    "a TIFF": picture(format="TIFF"),
    "a BMP": picture(format="BMP"),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(canary) run\n",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
    "HTML": b"<html><script>1</script></html>",
    "cut": PNG[:-100],
    "text of 192 MB in it": picture(pnginfo=_long_text()),
    "a flipped chunk": PNG[:60] + bytes([PNG[60] ^ 1]) + PNG[61:],
    "a JPEG that is cut": picture(format="JPEG")[:200],
}


@pytest.mark.parametrize("name", PICTURES)
def test_hostile_images_are_refused(tmp_path: Path, name: str):
    file = tmp_path / "a.png"
    file.write_bytes(PICTURES[name])
    with pytest.raises(ValueError, match=r"a\.png"):
        read_image(file)


def test_damaged_images_are_refused_or_images(tmp_path: Path):
    generator, file = np.random.default_rng(0), tmp_path / "a.png"
    for kind in ("PNG", "JPEG"):
        data = np.frombuffer(picture(format=kind), np.uint8)
        for _ in range(150):
            mutant = data.copy()
            mutant[generator.integers(len(data), size=2)] = generator.integers(256, size=2)
            file.write_bytes(mutant.tobytes())
            try:
                image = read_image(file)
            except ValueError:
                continue
            assert image.size <= 2**25 * 3


def test_the_lower_bounds_are_at_fixed_releases():
    import re
    import tomllib

    file = SOURCES[0].parents[2] / "pyproject.toml"
    if not file.exists():
        pytest.skip("no checkout")
    wanted = {"torch": (2, 10), "pillow": (12, 2), "pyyaml": (6, 0), "safetensors": (0, 6)}
    said = {}
    for line in tomllib.loads(file.read_text())["project"]["dependencies"]:
        name, _, bound = line.partition(">=")
        said[name] = tuple(int(n) for n in re.findall(r"\d+", bound))
    assert all(said[name] >= least for name, least in wanted.items())
