"""What the README and the documentation say is so: it runs, it exists, nothing is left out."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

import napari_unet
from napari_unet import Annotation, Segmenter, cli, sample_data
from napari_unet.core.annotation import Meaning
from napari_unet.core.config import PredictConfig, TrainConfig, knobs
from napari_unet.core.summary import summarise
from napari_unet.engine.learning.recipe import recipe_named

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "napari_unet"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
REPOSITORY = re.compile(
    r"https://(?:github\.com|raw\.githubusercontent\.com)/napari-live-unet/napari-live-unet/"
    r"(?:blob/main/|tree/main/|main/)([^#]*)"
)
ERRORS = {"InputError", "ModelFileError", "DeviceError", "JobError"}
ONE_FUNCTION = {"augment.py", "boundary.py", "metrics.py", "tiles.py", "unet.py", "sample_data.py"}
"""Files whose errors are about the arguments of one function, and say all there is to say."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text, and the line of the page it begins on."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Find the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [Block(m[1], m[2], text.count("\n", 0, m.start(2))) for m in found]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def links(page: Path) -> list[str]:
    """List where the links and pictures of a page lead."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def anchors_on_github(page: Path) -> list[str]:
    """List what the headings of a page are called in links: words, joined by hyphens."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def without_repeated_hyphens(anchor: str) -> str:
    """Write an anchor as the built pages do."""
    return re.sub("-+", "-", anchor)


def commands(page: Path) -> list[list[str]]:
    """List the arguments of every call of our command in the shell blocks of a page."""
    lines = [
        shlex.split(part, comments=True)
        for block in blocks(page)
        if block.language == "sh"
        for line in block.text.splitlines()
        for part in line.split("&&")
    ]
    return [words[1:] for words in lines if words and Path(words[0]).name == "napari-unet"]


def table_rows(page: Path, first: str) -> list[list[str]]:
    """List the rows of the tables whose first heading is this one, without their headings."""
    rows, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not cells:
            inside = False
        elif cells[0] == first:
            inside = True
        elif inside and set(cells[0]) != {"-"}:
            rows.append(cells)
    return rows


def message(node: ast.expr) -> str:
    """Return the text of a string expression, with an ellipsis for what is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(message(part) for part in parts)
        case _:
            return "…"


def raised_messages(path: Path) -> Iterator[str]:
    """Find the words of every error of ours that a file makes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            text = message(node.args[0])
            # a word or two are glue around the message of another error
            if node.func.id in ERRORS and len(re.findall(r"\w+", text)) > 2:
                yield text


def is_part(quote: str, text: str) -> bool:
    """Whether the pieces of a quote between its ellipses occur in a text in this order."""
    return re.search(".*?".join(map(re.escape, quote.split("…"))), text) is not None


def quotes() -> list[str]:
    """List the messages that the troubleshooting page explains."""
    rows = table_rows(ROOT / "docs/troubleshooting.md", "you read")
    return [quote for row in rows for quote in re.findall("`([^`]+)`", row[0])]


@cache
def texts_in_the_code() -> list[str]:
    """List every string of the package."""
    return [
        message(node)
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr | ast.Constant)
    ]


def is_understood(arguments: list[str]) -> bool:
    """Whether the real parser takes these arguments; it prints why not."""
    try:
        cli._parser().parse_args(arguments)
    except SystemExit as end:
        return end.code == 0
    return True


each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
WITH_PYTHON = [page for page in PAGES if any(b.language == "python" for b in blocks(page))]
WITH_COMMANDS = [page for page in PAGES if commands(page)]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read from top to bottom, the Python blocks of a page are a script without errors."""
    lines = [""] * len(page.read_text(encoding="utf-8").splitlines())
    for block in blocks(page):
        if block.language == "python":
            text = block.text.splitlines()
            # every line keeps its number, so that a traceback points into the page
            lines[block.line : block.line + len(text)] = text
    script = tmp_path / f"{page.stem}.py"
    script.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    runpy.run_path(str(script))


@each_page
def test_every_block_says_what_it_is(page: Path) -> None:
    """There is Python, which runs, shell, which is parsed, and drawings; nothing goes unchecked."""
    assert {block.language for block in blocks(page)} <= {"python", "sh", ""}
    assert not any("import " in block.text for block in blocks(page) if not block.language)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_the_commands_of_a_page_are_understood(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each call of ``napari-unet`` is accepted by the real parser, flags, values and all."""
    refused = [arguments for arguments in commands(page) if not is_understood(arguments)]

    assert refused == [], capsys.readouterr().err


@each_page
def test_links_and_pictures_lead_to_files_that_exist(page: Path) -> None:
    """Beside the page, or in the repository when the address is one of ours."""
    for link in links(page):
        if in_repository := REPOSITORY.match(link):
            assert (ROOT / in_repository[1]).exists(), link
        elif not link.startswith(("https://", "#")):
            assert (page.parent / link.split("#")[0]).exists(), link


@each_page
def test_links_lead_to_headings_that_exist(page: Path) -> None:
    """On GitHub, where the README leads, and in the pages that are built from the same files."""
    for link in links(page):
        path, _, anchor = link.partition("#")
        if in_repository := REPOSITORY.match(link):
            path = str(ROOT / in_repository[1])
        elif link.startswith("https://"):
            continue
        if anchor:
            there = page.parent / path if path else page
            assert anchor in anchors_on_github(there), link
            assert anchor in map(without_repeated_hyphens, anchors_on_github(there)), link


def test_the_readme_can_be_read_elsewhere() -> None:
    """PyPI and the napari hub show it without the repository: every link is a full address."""
    assert [link for link in links(ROOT / "README.md") if not link.startswith("https://")] == []


def test_the_first_page_leads_to_all_others() -> None:
    """No page is found through the menu only, and the README names them too."""
    pages = {page.name for page in PAGES} - {"README.md", "index.md"}

    assert pages <= set(links(ROOT / "docs/index.md"))
    assert pages - {"models.md"} <= {link.rsplit("/", 1)[1] for link in links(ROOT / "README.md")}


@each_page
def test_the_files_a_page_names_exist(page: Path) -> None:
    """A source file in monospace lies in the package or at that place in the repository."""
    named = re.findall(r"`([\w./-]+\.(?:py|toml|yaml|yml|ini))`", prose(page))
    missing = [path for path in named if not (ROOT / path).exists() | (SOURCE / path).exists()]

    assert missing == []


@pytest.mark.parametrize("config", [TrainConfig, PredictConfig])
def test_every_setting_is_in_the_table(config: type[TrainConfig | PredictConfig]) -> None:
    """With its name as a flag, and its default."""
    rows = {row[0]: row[1] for row in table_rows(ROOT / "docs/command-line.md", "setting")}

    for field, (kind, default, _) in knobs(config).items():
        shown = f"{default:g}" if kind is float else str(default)
        assert rows[f"`--{field.replace('_', '-')}`"] == shown


@pytest.mark.parametrize(("recipe", "column"), [("default", 1), ("paper", 2)])
def test_the_table_of_recipes_is_complete_and_true(recipe: str, column: int) -> None:
    """Every number that is not a setting is in the table, as it is in the code."""
    page = ROOT / "docs/how-it-works.md"
    written = {row[0].split("`")[1]: row[column] for row in table_rows(page, "recipe")}

    settings = asdict(recipe_named(recipe))
    settings |= settings.pop("augmentation")
    assert written == {field: str(value) for field, value in settings.items()}


def test_every_exit_code_is_explained() -> None:
    """The table has the codes that the command names in its own documentation."""
    codes = {row[0] for row in table_rows(ROOT / "docs/command-line.md", "exit code")}

    assert codes == set(re.findall(r"\b\d+\b", str(cli.__doc__)))


@pytest.mark.parametrize("quote", quotes())
def test_a_message_that_is_explained_can_be_read(quote: str) -> None:
    """Each message of the troubleshooting page still stands in the code."""
    assert any(is_part(quote, text) for text in texts_in_the_code())


def test_every_message_is_explained() -> None:
    """An error that somebody can meet is on the troubleshooting page."""
    explained = quotes()
    left = [
        f"{path.relative_to(SOURCE)}: {text}"
        for path in SOURCE.rglob("*.py")
        if path.name not in ONE_FUNCTION
        for text in raised_messages(path)
        if not any(is_part(quote, text) for quote in explained)
    ]

    assert left == []


def test_the_header_of_a_model_file_is_explained() -> None:
    """Each setting that is saved has a row in the table, and no row is made up."""
    page = ROOT / "docs/models.md"
    saved = {*Segmenter.__dataclass_fields__, "format"} - {"weights"}

    explained = [name for row in table_rows(page, "key") for name in re.findall("`(\\w+)`", row[0])]
    assert set(explained) == saved


def test_every_public_name_has_a_reference() -> None:
    """The page on Python describes all that can be imported from the package."""
    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")

    described = set(re.findall(r"^::: napari_unet\.(\w+)$", text, flags=re.MULTILINE))
    assert described == set(napari_unet.__all__)


def test_the_sentences_about_the_sample_are_its_own() -> None:
    """What a page says the dock says is what it says of the sample, in one meaning or another."""
    image, truth = sample_data.touching_cells()
    painted = sample_data.painted_scribbles(truth)
    said = [str(summarise([Annotation(image, painted, word)])) for word in get_args(Meaning)]
    text = " ".join(" ".join(page.read_text(encoding="utf-8").split()) for page in PAGES)

    written = re.findall(r"\d[\d ]* px (?:background|class).*?% unlabelled", text)
    assert len(written) > 3
    for sentence in written:
        assert any(is_part(sentence.replace("...", "…"), whole) for whole in said), sentence


@each_page
def test_no_figure_is_missing(page: Path) -> None:
    """A number that has yet to be measured is marked, and the mark must be gone at last."""
    assert re.findall(r"MEASURE: .*", page.read_text(encoding="utf-8")) == []
