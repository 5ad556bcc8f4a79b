"""What is not valid in a page of ours: a strict reading of the parts of HTML that reports use.

Stricter than the standard: end tags may not be left out, and an element or attribute that is not listed here
is a mistake. Whether the standard's parser builds the tree that is written is for a browser to tell.
"""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input"}
PHRASING = {
    "a", "audio", "code", "i", "img", "span", "strong", "svg", "small", "em", "b", "br",
}  # fmt: skip
FLOW = PHRASING | {
    "div", "p", "h1", "h2", "h3", "h4", "ul", "ol", "dl", "table", "figure", "section", "header", "main",
    "nav", "details", "pre",
}  # fmt: skip
DRAWN = {"path", "rect", "circle", "text", "g", "title"}
CHILDREN: dict[str, set[str]] = {
    "": {"html"}, "html": {"head", "body"}, "head": {"meta", "link", "title", "style"},
    "ul": {"li"}, "ol": {"li"}, "dl": {"dt", "dd"}, "table": {"caption", "thead", "tbody"},
    "thead": {"tr"}, "tbody": {"tr"}, "tr": {"th", "td"}, "figure": FLOW | {"figcaption"},
    "details": FLOW | {"summary"}, "svg": DRAWN, "g": DRAWN, "text": {"tspan", "title"},
    "path": {"title"}, "rect": {"title"}, "circle": {"title"}, "title": set(), "style": set(), "tspan": set(),
    "th": PHRASING | {"div", "p"},
}  # fmt: skip
CHILDREN |= dict.fromkeys(
    ("p", "h1", "h2", "h3", "h4", "span", "summary", "code", "a", "pre", "strong"), PHRASING
)
EVERYWHERE = {
    "class",
    "id",
    "style",
    "title",
    "role",
    "tabindex",
    "aria-label",
    "aria-labelledby",
    "aria-hidden",
}
GEOMETRY = {"d", "x", "y", "cx", "cy", "r", "width", "height", "text-anchor", "transform"}
ATTRIBUTES: dict[str, set[str]] = {
    "html": {"lang"}, "meta": {"charset", "name", "content", "http-equiv"}, "link": {"rel", "href"},
    "a": {"href"}, "img": {"src", "alt"}, "audio": {"controls", "preload", "src"}, "details": {"open"},
    "th": {"scope", "colspan"}, "td": {"colspan"}, "svg": {"viewbox", "preserveaspectratio"},
} | dict.fromkeys(DRAWN | {"tspan"}, GEOMETRY)  # fmt: skip
NAMED = {"section", "nav", "audio", "img", "svg", "table", "a", "figure", "details"}  # may have an aria-label
AT_FIRST = {"summary": "details", "caption": "table", "figcaption": "figure"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.mistakes: list[str] = []
        self.ids: dict[str, int] = {}
        self.references: list[str] = []
        self.open: list[tuple[str, list[str]]] = [("", [])]  # elements with the names of their children

    def tell(self, mistake: str) -> None:
        self.mistakes.append(f"{mistake} at line {self.getpos()[0]}")

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        parent, before = self.open[-1]
        if tag not in CHILDREN.get(parent, FLOW):
            self.tell(f"<{tag}> in <{parent}>")
        if before and AT_FIRST.get(tag) == parent:
            self.tell(f"<{tag}> is not the first in <{parent}>")
        if parent == "dl" and tag == "dd" and not before:
            self.tell("<dd> before any <dt>")
        before.append(tag)
        self.check_attributes(tag, attributes)
        if tag not in VOID:
            self.open.append((tag, []))

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()
        if not any(name == "svg" for name, _ in self.open):
            self.tell(f"<{tag}/>")

    def check_attributes(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attributes]
        values = {name: value or "" for name, value in attributes}
        if len(set(names)) < len(names):
            self.tell(f"an attribute twice in <{tag}>")
        for name in set(names) - EVERYWHERE - ATTRIBUTES.get(tag, set()):
            self.tell(f"{name} of <{tag}>")
        if "aria-label" in values and not (
            values["aria-label"].strip() and (tag in NAMED or "role" in values)
        ):
            self.tell(f"a label of <{tag}>, which has no role")
        if (tag == "img" and "alt" not in values) or (tag == "audio" and "aria-label" not in values):
            self.tell(f"<{tag}> without a name")
        if tag == "svg" and not ({"aria-hidden", "aria-label", "aria-labelledby"} & set(values)):
            self.tell("<svg> without a name")
        if "tabindex" in values and values["tabindex"] != "0":
            self.tell(f"tabindex {values['tabindex']}")
        if identity := values.get("id"):
            self.ids[identity] = self.ids.get(identity, 0) + 1
        self.references += [values["href"][1:]] if values.get("href", "").startswith("#") else []
        self.references += values.get("aria-labelledby", "").split()

    def handle_endtag(self, tag: str) -> None:
        name, children = self.open.pop() if len(self.open) > 1 else ("", [])
        if name != tag:
            self.tell(f"</{tag}> closes <{name}>")
        if (tag in ("ul", "ol", "dl", "tr", "table") and not children) or (
            tag == "dl" and children[-1:] == ["dt"]
        ):
            self.tell(f"<{tag}> is not complete")

    def handle_data(self, text: str) -> None:
        parent = self.open[-1][0]
        if text.strip() and parent in (
            "",
            "html",
            "head",
            "ul",
            "ol",
            "dl",
            "table",
            "thead",
            "tbody",
            "tr",
            "svg",
            "g",
        ):
            self.tell(f"text in <{parent}>")


def find_mistakes(page: str) -> list[str]:
    """Every place that is not valid, with its line."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    mistakes = [*reader.mistakes, *(f"<{name}> is not closed" for name, _ in reader.open[1:])]
    mistakes += [f"id {name} {n} times" for name, n in reader.ids.items() if n > 1]
    mistakes += [f"no id {name}" for name in reader.references if name not in reader.ids]
    if not page.lstrip().lower().startswith("<!doctype html>"):
        mistakes.append("no doctype")
    return mistakes
