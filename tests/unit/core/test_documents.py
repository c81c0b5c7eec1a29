"""Contract and policy files: mistakes are named by file, field, what was found and what is allowed."""

import pytest

from tallystick.components.core.documents import Document, parse
from tallystick.components.core.errors import ExitCode, InputError


class Inner(Document):
    name: str
    share: float = 0.5


class Outer(Document):
    title: str
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    flag: bool = False
    value: bool | int | float | str = 0


def message(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(text, Outer, "outer.yaml")
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("12:30", "12:30"),
        ("010", 10),
        ("2026-01-31", "2026-01-31"),
        ("1e-6", 1e-6),
        (".5", 0.5),
        ("-7", -7),
        ("1_000", "1_000"),
        ('"1"', "1"),
    ],
)
def test_values_are_read_by_yaml_1_2(written: str, read: object) -> None:
    found = parse(f"title: t\nvalue: {written}", Outer, "outer.yaml").value
    assert found == read
    assert type(found) is type(read)


def test_anchors_and_merges_work() -> None:
    text = "title: t\ninner: &i {name: a, share: 0.1}\nmany: [*i, {<<: *i, name: b}]"
    assert [inner.share for inner in parse(text, Outer, "outer.yaml").many] == [0.1, 0.1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "outer.yaml: is empty; allowed: a mapping with title, inner, many, flag, value"),
        ("# nothing but a comment", "outer.yaml: is empty"),
        ("- a\n- b", "outer.yaml: holds a list; allowed: a mapping of keys to values"),
        ("words", "outer.yaml: holds a text; allowed: a mapping"),
        ("7", "outer.yaml: holds a number; allowed: a mapping"),
        ("title: a\ntitle: b", "outer.yaml: is not valid YAML: the key 'title' stands twice (line 2)"),
        ("title: a\nmany:\n- {name: x, name: y}", "the key 'name' stands twice (line 3)"),
        ("title: a\n\tflag: true", "a tab stands where only spaces may (line 2, column 1)"),
        ("title: [a", "outer.yaml: is not valid YAML: expected ',' or ']'"),
        ("title: a: b", "mapping values are not allowed here (line 1, column 9)"),
        ("? [a]\n: b", "a key is no single value (line 1)"),
        ("title: " + "[" * 3000, "outer.yaml: is nested too deeply to be read"),
        ("title: !!python/object:os.system x", "could not determine a constructor"),
        ("title: \x07", "outer.yaml: is not valid YAML"),
    ],
)
def test_text_that_is_no_document(text: str, says: str) -> None:
    assert says in message(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("titel: t", "titel: unknown key; did you mean 'title'?"),
        ("titel: t", "title: is missing"),
        ("title: t\nzzz: 1", "zzz: unknown key; allowed: flag, inner, many, title, value"),
        ("title: t\ninner: {name: a, shar: 1}", "inner.shar: unknown key; did you mean 'share'?"),
        ("title: t\nmany: [{name: a}, {name: b, shares: 1}]", "many[b].shares: unknown key; did you mean 'share'?"),
        ("title: t\nmany: [{share: 1}]", "many[0].name: is missing"),
        ("title: t\nmany: {name: a}", "many: found {'name': 'a'}; allowed: a list"),
        ("title: t\ninner: a", "inner: found 'a'; allowed: a mapping of keys to values"),
        ("title: 5", "title: found 5; allowed: a text (put it in quotes)"),
        ("title: t\nflag: maybe", "flag: found 'maybe'; allowed: true or false"),
        ("title: t\ninner: {name: a, share: half}", "inner.share: found 'half'; allowed: a number"),
        ("title: t\ninner: {name: a, share: .inf}", "inner.share: found inf; allowed: a finite number"),
        ("title: t\ninner: {name: a, share: .nan}", "inner.share: found nan; allowed: a finite number"),
        ("title: t\ninner: {name: a, share: 1e999}", "inner.share: found inf; allowed: a finite number"),
        (f"title: t\ninner: {{name: a, share: {'9' * 390}}}", "inner.share: found 99999"),
        ("title: t\nvalue: [1]", "value: found [1]; allowed: a single value: a text, a number, true or false"),
    ],
)
def test_values_that_are_not_allowed(text: str, says: str) -> None:
    assert says in message(text)


def test_many_mistakes_are_told_together_but_not_without_end() -> None:
    said = message("title: t\n" + "\n".join(f"wrong{place}: 1" for place in range(9)))
    assert said.count("unknown key") == 5
    assert said.endswith("and 4 more")


def test_documents_are_frozen() -> None:
    document = parse("title: t", Outer, "outer.yaml")
    with pytest.raises(ValueError, match="frozen"):
        document.title = "u"
