"""What a card is made of, and its two forms: the same blocks as Markdown and as HTML, so that they cannot differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tallystick.components.core.pages import render


@dataclass(frozen=True)
class Paragraph:
    """One paragraph of plain text."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of plain texts."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Rows of plain texts under a header; `numbers` are the columns set to the right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = field(default_factory=frozenset)


Block = Paragraph | Bullets | Table


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Card:
    """A whole card."""

    title: str
    lead: str
    facts: tuple[tuple[str, str], ...]  # (figure, what it is)
    sections: tuple[Section, ...]


def markdown(card: Card) -> str:
    """The card as Markdown (CommonMark and pipe tables), ending in one newline."""
    lines = [f"# {_escaped(card.title)}", "", _escaped(card.lead), ""]
    lines += [f"- **{_escaped(figure)}** {_escaped(what)}" for figure, what in card.facts]
    for section in card.sections:
        lines += ["", f"## {_escaped(section.heading)}"]
        for block in section.blocks:
            lines += ["", *_markdown_block(block)]
    return "\n".join(lines) + "\n"


def _markdown_block(block: Block) -> Iterable[str]:
    if isinstance(block, Paragraph):
        return [_escaped(block.text)]
    if isinstance(block, Bullets):
        return [f"- {_escaped(item)}" for item in block.items]
    rule = ["---:" if index in block.numbers else "---" for index in range(len(block.header))]
    return [_row(block.header), "| " + " | ".join(rule) + " |", *(_row(row) for row in block.rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escaped(cell).replace("|", "\\|") for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Plain text that Markdown shows as it is: a contract's words must not become markup or HTML."""
    for character in "\\`*_[]<>#":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def html(card: Card) -> str:
    """The card as one self-contained page."""
    return render("card.html.j2", Path(__file__).parent, card=card, kind_of=lambda block: type(block).__name__)
