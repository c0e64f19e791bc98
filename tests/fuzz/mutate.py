"""Mutants of C sources: one small thing wrong in each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mutant:
    """A file in which the text from ``start`` to ``end`` is exchanged for another."""

    file: str
    line: int
    start: int
    end: int
    was: str
    becomes: str
    kind: str

    def applied(self, text: str) -> str:
        """Return the file's text with the change in it."""
        return text[: self.start] + self.becomes + text[self.end :]

    def __str__(self) -> str:
        was = " ".join(self.was.split())
        return f"{self.file}:{self.line}: {self.kind}: {was!r} -> {self.becomes!r}"


@dataclass(frozen=True, slots=True)
class Token:
    """A word of C."""

    text: str
    start: int

    @property
    def end(self) -> int:
        """Return where it ends."""
        return self.start + len(self.text)


_TOKEN = re.compile(
    r"(?P<skip>\s+|/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*')"
    r"|(?P<token>0[xX][0-9A-Fa-f]+[uUlL]*|\d+[uUlL]*|[A-Za-z_]\w*"
    r"|->|<<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||\+\+|--|[-+&|^]=|[^\s])",
    re.DOTALL,
)
_DIRECTIVE = re.compile(r"^#[^\n]*(?:\\\n[^\n]*)*", re.MULTILINE)
_CONSTANT = re.compile(
    r"^#define (\w+)[ \t]+(?:\()?(0x[0-9A-Fa-f]+|\d+)(?=[uU]?[lL]*\b)", re.MULTILINE
)
_NUMBER = re.compile(r"^(0[xX][0-9A-Fa-f]+|\d+)([uUlL]*)$")
_OPERATORS = {
    "==": ("!=",),
    "!=": ("==",),
    "<": ("<=", ">"),
    "<=": ("<", ">"),
    ">": (">=", "<"),
    ">=": (">", "<"),
    "&&": ("||",),
    "||": ("&&",),
    "+": ("-",),
    "-": ("+",),
    "&": ("|",),
    "|": ("&",),
    "^": ("|",),
    "<<": (">>",),
    ">>": ("<<",),
    "+=": ("-=", "="),
    "-=": ("+=",),
    "|=": ("&=", "="),
    "^=": ("|=",),
    "++": ("--",),
    "--": ("++",),
}
_BOTH_WAYS = ("+", "-", "&", "<", ">")
"""What is an operator between two values only: elsewhere a sign, an address, a header's name."""
_PAIRS = (
    ("saddr", "daddr"),
    ("c1", "c2"),
    ("c2", "c3"),
    ("c3", "c4"),
    ("k0", "k1"),
    ("h_dest", "h_source"),
    ("dst_mac", "src_mac"),
    ("packets", "bytes"),
    ("first", "second"),
    ("opened_ns", "last_ns"),
    ("XDP_DROP", "XDP_PASS"),
    ("XDP_TX", "XDP_PASS"),
    ("PROTOCOL_TCP", "PROTOCOL_UDP"),
    ("FAMILY_4", "FAMILY_6"),
    ("NSH_NEXT_IPV4", "NSH_NEXT_IPV6"),
    ("L2_PLAIN", "L2_VLAN"),
    ("TCP_SYN", "TCP_FIN"),
    ("TCP_FIN", "TCP_RST"),
    ("CONNECTION_OPEN", "CONNECTION_CLOSING"),
    ("EVENT_OPENED", "EVENT_CLOSED"),
    ("HOP_DELIVER", "HOP_FORWARD"),
    ("FALLBACK_DROP", "FALLBACK_RETURN"),
    ("DOMAIN_RULES", "DOMAIN_REPLICAS"),
    ("DOMAIN_PORT_CLASSES", "DOMAIN_DSCP_CLASSES"),
    ("v0", "v1"),
    ("v1", "v2"),
    ("v2", "v3"),
)
_SWAPS: dict[str, list[str]] = {}
for _one, _other in _PAIRS:
    _SWAPS.setdefault(_one, []).append(_other)
    _SWAPS.setdefault(_other, []).append(_one)
_TYPES = ("struct", "enum", "void", "int", "const", "static", "union", "typedef", "unsigned")


def tokens_of(text: str) -> list[Token]:
    """Return the words of C in a text, without comments, strings and directives."""
    hidden = _DIRECTIVE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)
    return [
        Token(match.group("token"), match.start())
        for match in _TOKEN.finditer(hidden)
        if match.group("token")
    ]


def reasons_of(folder: Path) -> list[str]:
    """Return the names of all reasons, in their order."""
    return re.findall(r"^\t(REASON_\w+),$", (folder / "reasons.h").read_text(), re.MULTILINE)


def _is_value(token: Token) -> bool:
    return bool(re.match(r"\w", token.text)) or token.text in (")", "]")


def _numbers(word: str) -> Iterator[str]:
    match = _NUMBER.match(word)
    if match is None:
        return
    value, suffix = int(match.group(1), 0), match.group(2)
    for other in sorted({value + 1, max(value - 1, 0), 0} - {value}):
        yield f"{other}{suffix}"


def _closing(tokens: list[Token], at: int) -> int:
    """Return where the parenthesis that opens at ``at`` is closed."""
    depth = 0
    for place in range(at, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[place].text, 0)
        if not depth:
            return place
    raise ValueError("a parenthesis is not closed")


class Source:
    """One file, and all its mutants."""

    def __init__(self, path: Path, reasons: list[str]) -> None:
        self.name = path.name
        self.text = path.read_text()
        self._tokens = tokens_of(self.text)
        self._reasons = reasons

    def mutants(self) -> list[Mutant]:
        """Return every mutant, by where it stands in the file."""
        found = [*self._words(), *self._conditions(), *self._statements(), *self._defines()]
        return sorted(found, key=lambda one: (one.start, one.end, one.becomes))

    def _mutant(self, start: int, end: int, becomes: str, kind: str) -> Mutant:
        line = self.text.count("\n", 0, start) + 1
        return Mutant(self.name, line, start, end, self.text[start:end], becomes, kind)

    def _defines(self) -> Iterator[Mutant]:
        for match in _CONSTANT.finditer(self.text):
            for other in _numbers(match.group(2)):
                yield self._mutant(match.start(2), match.end(2), other, "constant")

    def _words(self) -> Iterator[Mutant]:
        tokens = self._tokens
        for at, token in enumerate(tokens[1:-1], 1):
            before, after = tokens[at - 1], tokens[at + 1]
            if token.text in _BOTH_WAYS and not (
                _is_value(before) and (_is_value(after) or after.text in "(!~-*&")
            ):
                continue
            if token.text in ("&", "-") and before.text in (")", "return"):
                # a cast or a returned address; what is lost is little
                spaced = self.text[token.end] == " "
                if not spaced:
                    continue
            for other in _OPERATORS.get(token.text, ()):
                yield self._mutant(token.start, token.end, other, "operator")
            if token.text == "!":
                yield self._mutant(token.start, token.end, "", "operator")
            for other in _numbers(token.text):
                yield self._mutant(token.start, token.end, other, "constant")
            for other in _SWAPS.get(token.text, ()):
                # a declaration names what is there: exchanged it means the same, or nothing
                member = before.text in (".", "->")
                if member or (not other.islower() and after.text not in (";", "[")):
                    yield self._mutant(token.start, token.end, other, "name")
            if token.text in self._reasons and self.name != "reasons.h":
                yield from self._other_reason(token)

    def _other_reason(self, token: Token) -> Iterator[Mutant]:
        place = self._reasons.index(token.text)
        other = self._reasons[(place + 1) % (len(self._reasons) - 1)]
        yield self._mutant(token.start, token.end, other, "reason")

    def _conditions(self) -> Iterator[Mutant]:
        tokens = self._tokens
        for at, token in enumerate(tokens):
            if token.text != "if" or tokens[at + 1].text != "(":
                continue
            first, last = tokens[at + 1], tokens[_closing(tokens, at + 1)]
            for value in ("1", "0"):
                yield self._mutant(first.end, last.start, value, "condition")

    def _statements(self) -> Iterator[Mutant]:
        """Yield statements that are left out: assignments, calls, returns, jumps."""
        tokens = self._tokens
        depth, at = 0, 0
        while at < len(tokens):
            text = tokens[at].text
            depth += {"{": 1, "}": -1}.get(text, 0)
            starts = at > 0 and (
                tokens[at - 1].text in (";", "{", "}", "else", ":")
                or (tokens[at - 1].text == ")" and self._after_if(at - 1))
            )
            if depth and starts and self._can_go(at):
                last = at
                while last < len(tokens) and tokens[last].text not in (";", "{", "}"):
                    last += 1
                if last < len(tokens) and tokens[last].text == ";":
                    yield self._mutant(tokens[at].start, tokens[last].end, ";", "dropped")
            at += 1

    def _after_if(self, at: int) -> bool:
        depth = 0
        for place in range(at, 0, -1):
            depth += {")": 1, "(": -1}.get(self._tokens[place].text, 0)
            if not depth:
                return self._tokens[place - 1].text == "if"
        return False

    def _can_go(self, at: int) -> bool:
        tokens = self._tokens
        word, after = tokens[at].text, tokens[at + 1].text
        if word == "*":
            return True
        if not re.match(r"[A-Za-z_]", word):
            return False
        if word in ("return", "goto", "break"):
            return True
        if word in _TYPES or word.startswith(("__u", "__s", "__be", "REASON")):
            return False
        if word in ("if", "else", "for", "switch", "case", "default", "while", "do", "asm"):
            return False
        return after in ("=", "->", ".", "[", "(", "+=", "-=", "|=", "^=", "*", "++", "--")


def sources(bpf: Path, steering: Path) -> list[Source]:
    """Return the sources of the programs."""
    reasons = reasons_of(bpf)
    paths = [*sorted(bpf.glob("*.bpf.c")), *sorted(bpf.glob("*.h")), steering / "steering.h"]
    return [Source(path, reasons) for path in paths]
