"""Where in a YAML text a value stands, for errors that name the line."""

import yaml

Where = tuple[int | str, ...]
"""Keys of mappings and places in lists, from the outside inwards."""


def line_of(text: str, where: Where) -> int:
    """Return the line of a value, or of the innermost one around it that is there."""
    node = yaml.compose(text, Loader=yaml.CSafeLoader)
    line = 1
    for part in where:
        if isinstance(node, yaml.MappingNode):
            found = [pair for pair in node.value if pair[0].value == str(part)]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                break
            node = node.value[part]
            line = node.start_mark.line + 1
    return int(line)
