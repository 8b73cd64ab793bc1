"""The form of a question: ACP's restricted schema (a flat object of primitives and choices), read, shown, checked.

What a human reads of it is escaped; names of fields and values of choices go back to the agent as it gave them, and
one in which something cannot be seen is refused. So is one that asks for a secret.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from myagent.core.display import escape
from myagent.core.look_alikes import skeleton

FIELDS = 64  # of one form; nobody fills in more
CHOICES = 256  # of one field
TEXT_CHARACTERS = 16_384  # of one answered field
FORM_CHARACTERS = 65_536  # of a question's own text, in all
NO_SECRETS = (
    "passwords, keys and other secrets are not asked for in a form: say what to do instead, such as to set a variable "
    "or to visit an address, and ask whether it is done"
)
_SECRET = re.compile(
    r"(?i)pass[-_ ]?(word|wort|phrase|code)|(api|secret|private|access|encryption|licen[cs]e)[-_ ]?key|"
    r"(access|auth|bearer|api|refresh|github|gitlab|npm|session)[-_ ]?token|"
    r"^(token|secret|pass|pwd|passwd|2fa|mfa|totp)$|"
    r"passwd|client[-_ ]?secret|_secret\b|credential|credit[-_ ]?card|(ssh|openai|aws|gpg)[-_ ]?key|seed[-_ ]?phrase|"
    r"mnemonic|\b(PIN|OTP|CVV)([-_ ]?code)?\b|"
    r"kennwort|contrase[nñ]a|mot de passe|\bsenha\b|wachtwoord|hasło|пароль|密码|密碼|パスワード|비밀번호"
)

Kind = Literal["string", "number", "integer", "boolean", "array"]
Matches = Callable[[str, str], bool]  # whether a text (the second) holds a pattern; by an engine that is linear


class BadForm(ValueError):
    """A schema that is none of the kind that can be asked; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Choice:
    const: str
    title: str  # escaped


@dataclass(frozen=True, slots=True)
class Field:
    """One entry of a form. `choices` of a string are its only values, of an array those it is a selection of."""

    name: str
    kind: Kind
    title: str  # escaped
    description: str = ""  # escaped
    required: bool = False
    choices: tuple[Choice, ...] = ()
    default: Any = None
    pattern: str | None = None
    format: str | None = None
    least: float | None = None  # of a number its value, of a text its length, of an array its items
    most: float | None = None

    def schema(self) -> dict[str, Any]:
        """The field as it is sent: titles and descriptions escaped, every choice with a title."""
        least, most = _BOUNDS[self.kind]
        told: dict[str, Any] = {"type": self.kind, "title": self.title, "description": self.description or None}
        offered = [{"const": each.const, "title": each.title} for each in self.choices] or None
        told |= {"oneOf": offered} if self.kind == "string" else {}
        told |= {"items": {"anyOf": offered}} if self.kind == "array" else {}
        told |= {"default": self.default, "pattern": self.pattern, "format": self.format}
        told |= {least: self.least, most: self.most} if least else {}
        return {key: value for key, value in told.items() if value is not None}

    def fault(self, value: Any, matches: Matches | None = None) -> str | None:
        """Why a value is none for this field, in words; `None`: it is. Nothing of the value is repeated."""
        match self.kind:
            case "boolean":
                return None if isinstance(value, bool) else "must be yes or no"
            case "number" | "integer":
                whole = type(value) is int
                if not whole and (self.kind == "integer" or type(value) is not float or not math.isfinite(value)):
                    return "must be a whole number" if self.kind == "integer" else "must be a number"
                return self._outside(value, "")
            case "string":
                if not isinstance(value, str):
                    return "must be a text"
                if self.choices:
                    return None if value in {each.const for each in self.choices} else "must be one of its choices"
                if len(value) > TEXT_CHARACTERS:
                    return f"must have at most {TEXT_CHARACTERS} characters"
                if self.required and not value:
                    return "is required"
                fits = self.pattern is None or matches is None or matches(self.pattern, value)
                return self._outside(len(value), " characters") if fits else f"must match {escape(self.pattern or '')}"
            case "array":
                if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                    return "must be a list of its choices"
                if len(set(value)) != len(value) or not set(value) <= {each.const for each in self.choices}:
                    return "must be a list of its choices, each once"
                return self._outside(len(value), " choices")

    def _outside(self, size: float, unit: str) -> str | None:
        if self.least is not None and size < self.least:
            return f"must be at least {self.least:g}{unit}" if not unit else f"must have at least {self.least:g}{unit}"
        if self.most is not None and size > self.most:
            return f"must be at most {self.most:g}{unit}" if not unit else f"must have at most {self.most:g}{unit}"
        return None


@dataclass(frozen=True, slots=True)
class Form:
    fields: tuple[Field, ...] = field(default=())

    def schema(self) -> dict[str, Any]:
        """The form as it is sent; read again it is the same form."""
        return {
            "type": "object",
            "properties": {each.name: each.schema() for each in self.fields},
            "required": [each.name for each in self.fields if each.required],
        }

    @property
    def answers(self) -> list[tuple[str, list[str]]]:
        """What an answer is made of: the names of the fields, and the values of their choices."""
        return [(each.name, [choice.const for choice in each.choices]) for each in self.fields]

    def fault(self, content: Mapping[str, Any], matches: Matches | None = None) -> str | None:
        """What is wrong with an answer, in one sentence; `None`: nothing."""
        known = {each.name: each for each in self.fields}
        if content.keys() - known.keys():
            return "the answer has a field that was not asked for"
        for name, each in known.items():
            if name not in content:
                if each.required:
                    return f"the field {escape(name)} is required"
            elif (fault := each.fault(content[name], matches)) is not None:
                return f"the field {escape(name)} {fault}"
        return None


_BOUNDS = {
    "string": ("minLength", "maxLength"),
    "number": ("minimum", "maximum"),
    "integer": ("minimum", "maximum"),
    "array": ("minItems", "maxItems"),
    "boolean": ("", ""),
}


def asks_secret(text: str) -> bool:
    """Whether what stands beside a place for free text reads as if a secret belonged there."""
    seen = "".join(sign for sign in text if sign.isprintable() or sign in "\n ")
    return any(_SECRET.search(each) for each in (seen, skeleton(seen)))


def read(schema: Any, *, shown: Callable[[str], str] = escape) -> Form:
    """Read a `requestedSchema`. Raises `BadForm`: whoever cannot be asked all of it is asked nothing. `shown` makes of
    a text what a human reads; `as_sent` for one that was made so before."""
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise BadForm("the schema is no object")
    properties, required = schema.get("properties", {}), schema.get("required") or []
    if not isinstance(properties, dict) or len(properties) > FIELDS:
        raise BadForm(f"the schema has no properties, or more than {FIELDS}")
    if not isinstance(required, list) or not all(isinstance(name, str) and name in properties for name in required):
        raise BadForm("what is required is not asked for")
    return Form(tuple(_field(name, given, name in required, shown) for name, given in properties.items()))


def as_sent(text: str) -> str:
    """A text of a form that a server sent, which has escaped it; a second time would show something else."""
    return text


def _field(name: Any, given: Any, required: bool, shown: Callable[[str], str]) -> Field:
    if not isinstance(name, str) or not name or not isinstance(given, dict):
        raise BadForm("a property is no schema")
    _seen(name)
    kind = given.get("type", "string")
    if kind not in _BOUNDS:
        raise BadForm("a property is neither a text, a number, a boolean nor a choice")
    items = given.get("items")
    choices = _choices((items if isinstance(items, dict) else {}) if kind == "array" else given, shown)
    if kind == "array" and not choices:
        raise BadForm("a list is not one of choices")
    asked = f"{name}\n{_text(given.get('title'))}"
    if kind == "string" and not choices and (given.get("format") == "password" or asks_secret(asked)):
        raise BadForm(NO_SECRETS)
    least, most = (_bound(given.get(key)) for key in _BOUNDS[kind])
    found = Field(
        name,
        kind,
        shown(_text(given.get("title")) or name),
        shown(_text(given.get("description"))),
        required,
        choices if kind in ("string", "array") else (),
        pattern=_text(given.get("pattern")) or None,
        format=shown(_text(given.get("format"))) or None,
        least=least,
        most=most,
    )
    default = given.get("default")
    if isinstance(default, str) and escape(default) != default:
        default = None  # nobody confirms what cannot be seen
    return found if default is None or found.fault(default) else replace(found, default=default)


def _choices(given: Mapping[str, Any], shown: Callable[[str], str]) -> tuple[Choice, ...]:
    rows = given.get("oneOf") or given.get("anyOf")
    if rows is None:
        values, names = given.get("enum") or [], given.get("enumNames")
        if not isinstance(values, list):
            raise BadForm("a choice is no list")
        titles = names if isinstance(names, list) and len(names) == len(values) else values
        rows = [{"const": value, "title": title} for value, title in zip(values, titles, strict=True)]
    if not isinstance(rows, list) or len(rows) > CHOICES:
        raise BadForm(f"a choice is no list, or has more than {CHOICES}")
    found = []
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("const"), str):
            raise BadForm("a choice is no text")
        _seen(row["const"])
        title = _text(row.get("title")) or row["const"]
        description = _text(row.get("description"))
        found.append(Choice(row["const"], shown(f"{title}: {description}" if description else title)))
    if len({each.const for each in found}) != len(found):
        raise BadForm("two choices are the same")
    return tuple(found)


def _seen(text: str) -> None:
    if escape(text) != text:
        raise BadForm("a name or a choice holds something that cannot be seen")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _bound(value: Any) -> float | None:
    return value if type(value) in (int, float) and math.isfinite(value) else None
