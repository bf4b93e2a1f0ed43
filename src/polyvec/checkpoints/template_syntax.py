"""How a chat template reads the content of messages, seen in its syntax tree."""

from collections.abc import Iterator

from jinja2 import nodes

from polyvec.checkpoints.template_conversation import ContentForm

_CONTENT = "content"


def content_form(tree: nodes.Template) -> ContentForm:
    """Whether the template goes over content parts, and whether it takes strings besides."""
    names = _content_names(tree)
    loops = any(_is_content(loop.iter, names) for loop in tree.find_all(nodes.For))
    tests = any(
        test.name == "string" and _is_content(test.node, names)
        for test in tree.find_all(nodes.Test)
    )
    return ContentForm(takes_parts=loops, takes_strings=tests)


def _content_names(tree: nodes.Template) -> frozenset[str]:
    """Variables and macro arguments that hold a message's content."""
    names: frozenset[str] = frozenset()
    while True:
        found = names | frozenset(_assigned(tree, names)) | frozenset(_passed(tree, names))
        if found == names:
            return names
        names = found


def _assigned(tree: nodes.Template, names: frozenset[str]) -> Iterator[str]:
    for each in tree.find_all(nodes.Assign):
        if isinstance(each.target, nodes.Name) and _is_content(each.node, names):
            yield each.target.name


def _passed(tree: nodes.Template, names: frozenset[str]) -> Iterator[str]:
    """Arguments of macros that are called with a message's content."""
    macros = {macro.name: macro for macro in tree.find_all(nodes.Macro)}
    for call in tree.find_all(nodes.Call):
        macro = macros.get(call.node.name) if isinstance(call.node, nodes.Name) else None
        if macro is None:
            continue
        for argument, value in zip(macro.args, call.args, strict=False):
            if _is_content(value, names):
                yield argument.name
        for keyword in call.kwargs:
            if _is_content(keyword.value, names):
                yield keyword.key


def _is_content(node: nodes.Node | None, names: frozenset[str]) -> bool:
    """Whether an expression is a message's content, or a part or a choice of it."""
    if isinstance(node, nodes.Filter):
        return _is_content(node.node, names)
    if isinstance(node, nodes.CondExpr):
        return _is_content(node.expr1, names) or _is_content(node.expr2, names)
    if isinstance(node, nodes.Or | nodes.And):
        return _is_content(node.left, names) or _is_content(node.right, names)
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        return _is_content(node.node, names)
    return _names_content(node, names)


def _names_content(node: nodes.Node | None, names: frozenset[str]) -> bool:
    """Whether it is ``message.content``, ``message['content']`` or a variable of that."""
    if isinstance(node, nodes.Getattr):
        return node.attr == _CONTENT
    if isinstance(node, nodes.Getitem):
        return isinstance(node.arg, nodes.Const) and node.arg.value == _CONTENT
    return isinstance(node, nodes.Name) and node.name in names
