"""Command-line options made of `Settings`: what `config.py` says of a setting is its help.

An option stands for its `INCOMING_*` variable and stays a text, so that `config.py` turns all of
them into settings at once, wherever they come from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from .config import ENVIRON_PREFIX, Settings, parse_setting
from .standalone import STANDALONE_DEFAULTS

__all__ = ["SETTINGS", "setting_options", "to_variables"]

Command = TypeVar("Command", bound=Callable[..., Any])

UNITS = {  # by the end of a setting's name
    "_bytes_s": ("BYTES/S", ()),
    "_bytes": ("BYTES", ((1 << 20, "MiB"), (1 << 10, "KiB"))),
    "_s": ("SECONDS", ((86400, "d"), (3600, "h"), (60, "min"))),
}
LISTS = {"allow_origins": "ORIGIN,…", "callback_hosts": "HOST,…"}
SETTINGS = {setting.name: setting for setting in dataclasses.fields(Settings)}


storage_dir_option = click.option(
    "--storage-dir",
    type=click.Path(file_okay=False),
    envvar=ENVIRON_PREFIX + "STORAGE_DIR",
    help="The folder for files and tickets.  [INCOMING_STORAGE_DIR; required]",
)


def setting_options(*names: str) -> Callable[[Command], Command]:
    """Options for the storage folder and for the settings `names`, in this order."""

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            command = _setting_option(SETTINGS[name])(command)
        return storage_dir_option(command)

    return decorate


def to_variables(given: dict[str, str | None]) -> dict[str, str]:
    """The `INCOMING_*` variables for which the given options stand."""
    return {ENVIRON_PREFIX + name.upper(): text for name, text in given.items() if text is not None}


def _setting_option(setting: dataclasses.Field[Any]) -> Callable[[Command], Command]:
    def check(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
        try:
            if text is not None:
                parse_setting(setting, text)
        except ValueError as exc:
            # Named as it was given: who has set a variable knows of no option.
            source = context.get_parameter_source(parameter.name or "")
            hint = variable if source is ParameterSource.ENVIRONMENT else None
            raise click.BadParameter(f"{text!r}: {exc}", param_hint=hint) from exc
        return text

    variable = ENVIRON_PREFIX + setting.name.upper()
    return click.option(
        "--" + setting.name.replace("_", "-"),
        metavar=_metavar(setting),
        envvar=variable,
        callback=check,
        help=f"{setting.metadata['help']}  [{variable}; default: {_default_text(setting)}]",
    )


def _metavar(setting: dataclasses.Field[Any]) -> str:
    for ending, (unit, _) in UNITS.items():
        if setting.name.endswith(ending):
            return unit
    kind = str(setting.type)
    if kind == "bool":
        return "true|false"
    number = kind.removesuffix(" | None") == "int"
    return "NUMBER" if number else LISTS.get(setting.name, "TEXT")


def _default_text(setting: dataclasses.Field[Any]) -> str:
    """The default as one would write it, and what that is in a bigger unit."""
    value = STANDALONE_DEFAULTS.get(setting.name, setting.default)
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    if not isinstance(value, (int, float)):
        return str(value)
    for ending, (_, bigger) in UNITS.items():
        for size, unit in bigger if setting.name.endswith(ending) else ():
            if value >= size and value % size == 0:
                return f"{_plain(value)} = {_plain(value / size)} {unit}"
    return _plain(value)


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)
