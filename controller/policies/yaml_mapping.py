"""YAML of policy documents: it says nothing twice, and is not nested without end."""

from typing import Any

import yaml

from controller.policies.errors import PolicyError

DEEPEST = 20
"""How deep a document may be nested; more would take the parser long, and says nothing."""

_EVENTS = yaml.CSafeLoader
"""In C: a large document takes it a tenth of the time, and a deep one does not grow on it."""


class _Loader(yaml.CSafeLoader):
    """Refuses a key that is given twice: the first one would be lost without a word."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        try:
            twice = key in seen
            seen.add(key)
        except TypeError as error:
            raise yaml.constructor.ConstructorError(
                None, None, "a key must be a plain word", key_node.start_mark
            ) from error
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"{key!r} is there twice", key_node.start_mark
            )
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_mapping(text: str, name: str) -> dict[str, Any]:
    """Return the mapping that a YAML text holds, an empty one for an empty text.

    Raises:
        PolicyError: it is not YAML, holds a key twice, or no mapping.
    """
    try:
        depth = 0
        for event in yaml.parse(text, _EVENTS):
            if isinstance(event, yaml.AliasEvent):
                raise PolicyError(f"{name}: aliases (*) are not allowed")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise PolicyError(f"{name}:{line}: nested deeper than {DEEPEST}")
        content = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        line = min(line, text.count("\n") + 1)
        raise PolicyError(f"{name}:{line}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise PolicyError(f"{name}:1: not YAML: {str(error).splitlines()[0]}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise PolicyError(f"{name}:1: not a mapping of layers")
    return content
