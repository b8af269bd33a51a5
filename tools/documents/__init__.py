"""How the documentation site is made from the pages in `docs`: extensions of Sphinx, and a check.

`verbs` writes the reference of the command line from the commands, `references` makes links and
names lead somewhere, and `check` looks at what was built. They must not know what a page says.
"""
