"""What ONNX and ONNX Runtime say, in one line of ours: the node and what is wrong, no paths."""

import re
from typing import Final

_AT_NODE: Final = re.compile(r"while running (\w+) node\. Name:'(.*?)' Status Message: (.*)")
_NODE: Final = re.compile(r"Node:? ?\(([^()]{1,200})\)|node ?\[name: ?([^\]]{1,200})\]", re.I)
_CODE: Final = re.compile(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_SOURCE: Final = re.compile(
    r"(?:\S*/)?\S+\.(?:cc|cpp|cu|h|hpp)(?::\d+)?(?: (?:[\w:<>~*&, ]+\([^()]*\)(?: \[[^\]]*\])?))?"
    r"(?: .{0,200}? was false\.)? ?"
)
_PATH: Final = re.compile(r"(?:[A-Za-z]:)?(?:[/\\][^\s/\\'\"]+){2,}[/\\]?")
_LONGEST: Final = 240


def in_our_words(error: BaseException | str) -> str:
    """Give one line of what a library says of a model.

    Args:
        error: What ONNX or ONNX Runtime raised, or its text.

    Returns:
        A line of at most 240 characters without paths, lines of C++ and codes.
    """
    line = _CODE.sub("", " ".join(str(error).split()))
    found = _AT_NODE.search(line)
    where = "" if found is None else f"node {found[2]!r} ({found[1]}): "
    line = line if found is None else found[3]
    line = _PATH.sub("", _SOURCE.sub("", line)).strip(" :")
    line = where + (line or type(error).__name__)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
