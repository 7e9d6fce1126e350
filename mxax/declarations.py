"""How a setting is declared as a field of a dataclass, and read from variables."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mxax.setting_values import SettingError


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable: its name, parser, default as text, and what the documentation says."""

    name: str
    parse: Callable[[str], Any]
    meaning: str
    default: str = ""
    derive: Callable[[Mapping[str, Any]], str] | None = None  # from the fields before it
    shown: str = ""  # the default as documented, where the text itself would not explain it
    unset: Any = None  # the value without text and default
    secret: bool = False


def setting(name: str, parse: Callable[[str], Any], meaning: str, **more: Any) -> Any:
    """A dataclass field that holds this setting; a secret one does not show in `repr`."""
    declared = Setting(name, parse, meaning, **more)
    return field(metadata={"setting": declared}, repr=not declared.secret)


def declared_in(kind: type) -> dict[str, Setting]:
    """The settings of a dataclass by field name, in order."""
    return {
        declared.name: declared.metadata["setting"]
        for declared in fields(kind)
        if "setting" in declared.metadata
    }


def read_values(
    kind: type, environ: Mapping[str, str], *, internal: frozenset[str]
) -> dict[str, Any]:
    """Values by field name. An unknown MXAX_ name raises: a misspelt setting ignored is worse."""
    declared = declared_in(kind)
    _refuse_unknown_names(environ, declared, internal)
    given: dict[str, Any] = {}
    for name, one in declared.items():
        given[name] = _value(one, environ, given)
    return given


def _value(declared: Setting, environ: Mapping[str, str], given: Mapping[str, Any]) -> Any:
    text = _text(declared, environ)
    if not text:
        text = declared.derive(given) if declared.derive else declared.default
    if not text:
        return declared.unset
    try:
        return declared.parse(text)
    except ValueError as wrong:
        shown = declared.name if declared.secret else f"{declared.name}={text}"
        raise SettingError(f"{shown}: {wrong}") from None


def _text(declared: Setting, environ: Mapping[str, str]) -> str:
    text = environ.get(declared.name, "").strip()
    path = environ.get(f"{declared.name}_FILE", "").strip() if declared.secret else ""
    if text and path:
        raise SettingError(f"{declared.name} and {declared.name}_FILE are both set: unset one")
    if not path:
        return text
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as wrong:
        why = getattr(wrong, "strerror", None) or "not text"
        raise SettingError(f"{declared.name}_FILE={path}: cannot be read ({why})") from None


def _refuse_unknown_names(
    environ: Mapping[str, str],
    declared: Mapping[str, Setting],
    internal: frozenset[str],
) -> None:
    known = {one.name for one in declared.values()} | internal
    known |= {f"{one.name}_FILE" for one in declared.values() if one.secret}
    for name in sorted(environ):
        if name.startswith("MXAX_") and name not in known:
            # Without what all have in common, or any name were close to some other.
            ends = {one.removeprefix("MXAX_"): one for one in sorted(known)}
            close = difflib.get_close_matches(name.removeprefix("MXAX_"), ends, n=1)
            hint = (
                f"did you mean {ends[close[0]]}?"
                if close
                else "unset it (docs/settings.md has all)"
            )
            raise SettingError(f"{name} is not a setting: {hint}")
