"""What README and docs promise is true: their code blocks run, their links lead somewhere, their paths exist.

Commands of `densevit` run for real where what they need is bundled or can be made here; those that need
downloaded weights or a data set are checked against the verb's --help. Nothing needs a network.
"""

import re
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import densevit
from densevit import imaging
from densevit.cli import main
from densevit.predict.everything import EverythingOptions
from helpers import blobs, tiny
from test_torch_free_verbs import classifier_file

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
CARDS = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "src").rglob("*.md")}
VERBS = {"segment", "classify", "upscale", "masks", "models", "info", "convert", "eval", "train"}
BUNDLED = {"seg-b0-camvid", "sr-x2", "sr-x2-w0.75"}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def shell_lines(text: str) -> list[list[str]]:
    # a backslash ends a line that goes on in the next
    lines = [line for block in blocks(text, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


COMMANDS = [
    (name, words)
    for name, text in {**TEXTS, **CARDS}.items()
    for words in shell_lines(text)
    if words[0] == "densevit"
]


def command_ids(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder like a clone of the repository after `make demo`, with a tiny data set of each bundled task."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DENSEVIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_COLOR", "1")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for folder in ("data/camvid/val", "data/camvid/valannot", "data/images"):
        (tmp_path / folder).mkdir(parents=True)
    imaging.save(tiny.image(48, 64), tmp_path / "data" / "camvid" / "val" / "a.png")
    imaging.save(tiny.image(48, 64), tmp_path / "data" / "images" / "a.png")
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(tmp_path / "data" / "camvid" / "valannot" / "a.png")
    return tmp_path


@pytest.fixture
def small_example(clone):
    """The example image at a fraction of its size, for what takes seconds per megapixel."""
    path = clone / "examples" / "leuven_street.jpg"
    with Image.open(path) as image:
        small = image.resize((96, 72))
    small.save(path)


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command in this process: exit code, stdout, stderr."""

    def run_command(words: list[str]) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", words)
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run_command


def can_run(words: list[str]) -> bool:
    """Whether a command needs neither downloads nor a data set that is not here."""
    verb, *arguments = words[1:]
    text = " ".join(arguments)
    match verb:
        case "models":
            return True
        case "info":
            return (ROOT / arguments[0]).exists() or "." not in arguments[0]
        case "segment" | "upscale":
            model = re.search(r"--model (\S+)", text)
            return arguments[0].startswith("examples") and (model is None or model[1] in BUNDLED)
        case "eval":
            return arguments[0] in BUNDLED and ("camvid:data/camvid" in text or "sr:data/images" in text)
        case "train":
            return "--show" in arguments
    return False


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=command_ids)
def test_every_command_has_the_options_that_are_shown(run, page, words):
    verb, *arguments = words[1:]
    # a recipe's options are shown by the recipe
    shown = [verb, arguments[0]] if verb == "train" and not arguments[0].startswith("-") else [verb]
    code, out, err = run(["densevit", *shown, "--help"])
    assert code == 0, err
    known = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", out))
    for argument in arguments:
        if argument.startswith("-"):
            assert argument.partition("=")[0] in known


@pytest.mark.parametrize(("page", "words"), [entry for entry in COMMANDS if can_run(entry[1])], ids=command_ids)
def test_commands_run_as_printed(run, clone, small_example, page, words):
    code, out, err = run(words)
    assert (code, err) == (0, "")
    assert out
    for name in re.findall(r"out/\S+\.(?:jpg|png|json)", out):
        assert (clone / name).is_file()


def test_the_three_commands_of_the_readme_run_without_a_download():
    words = [words for page, words in COMMANDS if page == "README.md" and words[1] != "VERB"]
    assert [entry[1] for entry in words] == ["segment", "upscale", "models"]
    assert all(map(can_run, words))


def test_every_verb_has_a_command_that_is_shown():
    assert {words[1] for _, words in COMMANDS} == VERBS


@pytest.mark.parametrize("name", TEXTS)
def test_other_lines_of_shell_blocks_name_what_exists(name):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    extras = re.findall(r"^([a-z]+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    for words in shell_lines(TEXTS[name]):
        match words:
            case ["densevit", *_]:
                pass
            case ["make", target]:
                assert target in targets
            case ["python", script, *_]:
                assert (ROOT / script).is_file()
            case [".", path]:
                assert path == ".venv/bin/activate"
            case ["pip", "install", package]:
                place, _, extra = package.rstrip("]").partition("[")
                assert place == "."
                assert not extra or extra in extras
            case _:
                pytest.fail(f"{name}: no test knows what to do with {' '.join(words)}")


PYTHON = [(name, index) for name, text in TEXTS.items() for index in range(len(blocks(text, "python")))]


@pytest.mark.parametrize(("name", "index"), PYTHON)
def test_python_blocks_run(request, clone, monkeypatch, capsys, name, index):
    load = densevit.load
    if name == "docs/upscale.md":
        request.getfixturevalue("small_example")

    def load_stand_in(model: str, *, weights: object = None, **options: object):
        if model in BUNDLED:
            return load(model, **options)
        if "sam" in model:
            model_of_blobs = blobs.model()
            few = EverythingOptions(points_per_side=6)
            monkeypatch.setattr(model_of_blobs, "everything", partial(model_of_blobs.everything, options=few))
            return model_of_blobs
        # weights are not at hand; a small classifier answers
        return load(classifier_file(), runtime="eager", device="cpu", threads=1)

    monkeypatch.setattr(densevit, "load", load_stand_in, raising=False)
    code = blocks(TEXTS[name], "python")[index]
    exec(compile(code, name, "exec"), {})
    out = capsys.readouterr().out
    assert out
    if name == "README.md":
        # in bf16, where the CPU has it, a little less than in fp32
        assert re.match(r"\(563, 751\) \{'building': 0\.5[89]\d*, 'sky': 0\.2[23]", out)
        assert "missing.jpg: no such file" in out
        assert (clone / "street.png").is_file()
        assert (clone / "out" / "street.labels.png").is_file()
    if name == "docs/masks.md":
        assert (clone / "out" / "street.rle.json").is_file()


def test_the_pages_have_python_blocks():
    names = {name for name, _ in PYTHON}
    assert {"README.md", *(f"docs/{page}.md" for page in ("segment", "upscale", "masks", "classify"))} <= names


LINKS = [
    (name, target)
    for name, text in {
        **TEXTS,
        **CARDS,
        **{page: (ROOT / page).read_text() for page in ("CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md")},
    }.items()
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text)
]


@pytest.mark.parametrize(("name", "target"), LINKS)
def test_links_lead_somewhere(name, target):
    assert (ROOT / name).parent.joinpath(target).exists()


def test_the_readme_is_short():
    assert 400 < len(TEXTS["README.md"].split()) < 750


def test_paths_in_contributing_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`([a-z_./-]+(?:/|\.py|\.md|\.json)[a-z_]*)`", text)
    assert len(paths) > 60
    bases = (ROOT, ROOT / "src" / "densevit")
    assert [path for path in paths if not any((base / path).exists() for base in bases)] == []


def test_contributing_lists_every_folder_and_layer():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = {path.name for path in (ROOT / "src" / "densevit").iterdir() if (path / "__init__.py").is_file()}
    section = text.partition("## File map")[2].partition("\n## ")[0]
    for folder in folders:
        assert f"{folder}/`" in section
    layers = re.search(r"`core` < .*?`cli`", text, re.DOTALL)[0]
    assert set(re.findall(r"\w+", layers)) == folders | {"zoo"}
