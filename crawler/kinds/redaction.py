"""Redacts people from HTML: where they are mentioned, and wherever else their traces stand on the page.

The site identifies a person by their uid in the address of a profile, or by their number in the address of an avatar.
A mention is removed together with the comment or list item that contains it (in a list of likers, an anonymous liker
replaces it). Their ids, names and texts elsewhere (JSON-LD, scripts, alternative texts) become `-`, unless the rows
that the page gives would change: then the same words are somebody else's, such as a film's title.
"""

import re
from collections.abc import Callable, Iterable, Iterator

from lxml import etree, html

from crawler.kinds.tree import one_line, require_bounded, text_of
from crawler.kinds.writings import Traces, readings, unescaped
from crawler.page import is_uid

_MENTION = re.compile(r"/people/([^/\"'?#<>\s\\&%]+)|/icon/u[lp]?([0-9]+)-")
_MENTION_IN_SCRIPT = re.compile(r"\b(?:uid|user_?id|people_?id)[\"']?\s?[:=]\s?[\"']?([A-Za-z0-9._-]+)", re.IGNORECASE)
_STRING = r"[\"']?\s?:\s?([\"'])((?:\\.|(?!\1)[^\\]){1,2000})\1"
_NAME = re.compile(r"\b(?:name|nick_?name|screen_?name|alt|title|author|user)" + _STRING, re.IGNORECASE)
_TEXT = re.compile(
    r"\b(?:text|comment|content|abstract|description|review_?body|body|summary)" + _STRING, re.IGNORECASE
)
_OF_HEADING = re.compile(r"(?:看过|想看|在看|喜欢)的.*$|的.{2,4}$")
_OWNER = "db-usr-profile"
_ANONYMOUS_LIKER = '<li><div class="content"><a href="/anonymous"></a></div></li>'
_NOBODY = b"-"
_MANY = 300  # occurrences of a trace on one page


def ids_in(text: str) -> set[str]:
    """Return the ids of people in a text, however they are written."""
    found: set[str] = set()
    for reading in readings(text):
        found |= {(one[1] or one[2]) for one in _MENTION.finditer(reading)}
        found |= {one[1] for one in _MENTION_IN_SCRIPT.finditer(reading)}
    return {id_ for id_ in found if is_uid(id_)}


def owner_ids(body: bytes) -> set[str]:
    """Return the ids in the heading of a page about one person."""
    text = body.decode("utf-8", "replace")
    begin = text.find(_OWNER)
    end = text.find("</h1>", begin)
    return ids_in(text[begin:end]) if 0 <= begin < end else set()


def traces_in(body: bytes, ids: Iterable[str], is_own: bool = False) -> Traces:
    """Return the ids, names and texts of a person on a page that mentions them.

    Args:
        body: the page.
        ids: the ids under which the person is known.
        is_own: whether the whole page is about this person.
    """
    known = frozenset(ids)
    root = _tree(body)
    found, blocks = Traces(known), set()
    for block, mention in _mentions(root, known):
        blocks.add(block)
        found |= Traces(_ids_beside(block, mention), frozenset(_names_at(mention)), frozenset(_texts_in(block)))
    others = {text for block in _blocks(root) if block not in blocks for text in _clean(_texts_in(block))}
    for script in root.iter("script"):
        found |= _of_script(unescaped(script.text or ""), known)
    if is_own:
        found |= _of_own_page(root)
    return Traces(found.ids, _clean(found.names), _clean(found.texts) - others)


def redact_html(body: bytes, traces: Traces, is_same: Callable[[bytes, bytes], bool], keeps_blocks: bool) -> bytes:
    """Return a page without a person's traces; exactly the same bytes if it has none.

    Args:
        body: the page.
        traces: the person's.
        is_same: whether two versions of the page give the same rows.
        keeps_blocks: whether a list item that mentions the person is another person's, and stays without the mention.

    Raises:
        TooMuch: the page is too large to be redacted.
    """
    if not traces.found_in(body):
        return body
    without = _without_mentions(body, traces.ids, keeps_blocks)
    return without if not traces.found_in(without) else replace_each(without, traces, is_same)


def replace_each(body: bytes, traces: Traces, is_same: Callable[[bytes, bytes], bool]) -> bytes:
    """Replace every occurrence, or, if that changes the page's rows, those that do not."""
    replaced = traces.without(body, _NOBODY)
    if is_same(replaced, body):
        return replaced
    found = list(traces.found(body))
    for one in reversed(found[-_MANY:]):
        replaced = body[: one.start()] + _NOBODY + body[one.end() :]
        if is_same(replaced, body):
            body = replaced
    return body


def _without_mentions(body: bytes, ids: frozenset[str], keeps_blocks: bool) -> bytes:
    root = _tree(body)
    nodes = [node for _, node in _mentions(root, ids)]
    for node in nodes:
        if root in (node, *node.iterancestors()):  # not removed yet
            node.drop_tree() if keeps_blocks else _remove(node)
    if not nodes:
        return body
    text: bytes = html.tostring(root, encoding="utf-8", doctype=root.getroottree().docinfo.doctype or None)
    return text


def _tree(body: bytes) -> html.HtmlElement:
    require_bounded(body)
    return html.document_fromstring(body.decode("utf-8", "replace").replace("\x00", "") or "<html/>")


def _mentions(root: html.HtmlElement, ids: frozenset[str]) -> Iterator[tuple[html.HtmlElement, html.HtmlElement]]:
    """Yield every element with an attribute that mentions a person, after the comment or list item it stands in."""
    for node in [*root.iter(etree.Element)]:
        values = " ".join(node.attrib.values())
        if ("people" in values or "icon" in values or "uid" in " ".join(node.attrib)) and ids & _ids_of(node, values):
            yield _block_of(node), node


def _ids_of(node: html.HtmlElement, values: str) -> set[str]:
    return ids_in(values) | {value for name, value in node.attrib.items() if name.endswith(("uid", "user-id"))}


def _block_of(node: html.HtmlElement) -> html.HtmlElement:
    return next(filter(_is_block, (node, *node.iterancestors())), node)


def _ids_beside(block: html.HtmlElement, mention: html.HtmlElement) -> frozenset[str]:
    """Return the ids in the same comment or list item: a link holds the uid, the avatar beside it the number."""
    if block is mention:
        block = mention.getparent() if mention.tag == "img" and mention.getparent() is not None else mention
    text = " ".join(value for node in block.iter(etree.Element) for value in node.attrib.values())
    found = [one for reading in readings(text) for one in _MENTION.finditer(reading)]
    uids, numbers = ({one[group] for one in found if one[group]} for group in (1, 2))
    return frozenset(uids | numbers) if len(uids) <= 1 and len(numbers) <= 1 else frozenset()


def _names_at(mention: html.HtmlElement) -> Iterator[str]:
    for node in mention.iter(etree.Element):
        yield from (node.get(name, "") for name in ("title", "alt", "data-name", "aria-label"))
    if mention.tag == "a":
        yield text_of(mention)


def _texts_in(block: html.HtmlElement) -> list[str]:
    """Return the texts of a comment or list item that are not in links."""
    if not _is_block(block):
        return []
    return [str(text) for text in block.xpath(".//text()[not(ancestor::a or ancestor::script or ancestor::style)]")]


def _blocks(root: html.HtmlElement) -> Iterator[html.HtmlElement]:
    return (node for node in root.iter("li", "div") if _is_block(node))


def _is_block(node: html.HtmlElement) -> bool:
    return node.tag == "li" or "comment-item" in node.get("class", "").split()


def _of_script(text: str, ids: frozenset[str]) -> Traces:
    """Return the names and texts in the innermost object of a script that mentions a person, and the one around it."""
    names: set[str] = set()
    texts: set[str] = set()
    for found in (*_MENTION.finditer(text), *_MENTION_IN_SCRIPT.finditer(text)):
        if ids.isdisjoint(found.groups()):
            continue
        begin, end = text.rfind("{", 0, found.start()), text.find("}", found.end())
        names |= {one[2] for one in _NAME.finditer(text[max(begin, 0) : end])}
        around = text[max(text.rfind("{", 0, max(begin, 0)), 0) : text.find("}", end + 1)]
        texts |= {one[2] for one in _TEXT.finditer(around)}
    return Traces(ids, frozenset(names), frozenset(texts))


def _of_own_page(root: html.HtmlElement) -> Traces:
    headings = [*root.xpath(f"//*[@id='{_OWNER}']//h1"), *root.xpath("//head/title")]
    names = {_OF_HEADING.sub("", text_of(heading)) for heading in headings}
    names |= {text for image in root.xpath(f"//*[@id='{_OWNER}']//img") for text in _names_at(image)}
    texts = {str(text) for text in root.xpath("//*[contains(concat(' ', @class, ' '), ' comment ')]//text()")}
    return Traces(frozenset(), frozenset(names), frozenset(texts))


def _clean(texts: Iterable[str]) -> frozenset[str]:
    """Return texts on one line that have a letter, without those that only repeat a deleted account's name."""
    lines = {one_line(text) for text in texts}
    return frozenset(line for line in lines if any(map(str.isalpha, line)) and line != "[已注销]")


def _remove(node: html.HtmlElement) -> None:
    """Remove a mention with its comment or list item; in a list of likers, an anonymous liker replaces it."""
    block = _block_of(node)
    if block.tag == "li" and any("topic-fav-list" in above.get("class", "") for above in block.iterancestors()):
        liker = html.fragment_fromstring(_ANONYMOUS_LIKER)
        liker.tail = block.tail
        block.getparent().replace(block, liker)
        return
    block.drop_tree()
