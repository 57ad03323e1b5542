"""Make every mention of a public name of scdash a link to its page, in Markdown as in docstrings.

Somebody who reads `scdash.get.grn` in a sentence should be able to click it. Names in code blocks, headings and links stay
as they are, and so do names that have no page.
"""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

# A name alone, or at the start of a call such as `scdash.get.grn(adata)`.
NAME = re.compile(r"(scdash(?:\.\w+)+)(\(.*\))?$", flags=re.S)


class LinkNames(SphinxTransform):
    """Wrap literals that are public names in references, which Sphinx resolves where there is a page."""

    default_priority = 300

    def apply(self, **kwargs: Any) -> None:
        """Go through one page."""
        for literal in list(self.document.findall(nodes.literal)):
            found = NAME.match(literal.astext())
            if found is None or _is_linked(literal):
                continue
            reference = addnodes.pending_xref(
                "", refdomain="py", reftype="obj", reftarget=found.group(1), refexplicit=True, refwarn=False,
                refdoc=self.env.docname,
            )  # fmt: skip
            literal.replace_self(reference)
            reference += literal


def _is_linked(node: nodes.Node) -> bool:
    """Say whether a literal is part of a link or of a heading already."""
    while node.parent is not None:
        node = node.parent
        if isinstance(node, (addnodes.pending_xref, nodes.reference, nodes.title, addnodes.desc_signature)):
            return True
    return False


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_transform(LinkNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
