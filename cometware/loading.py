"""The application that `cometware serve` is told to serve: `MODULE:APP` or `MODULE:FACTORY(…)`, as gunicorn takes them."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import click

from cometware.channel import Channel
from cometware.core.masking import masked_url
from cometware.middleware import made

_NAMED = re.compile(r"([^:/=]+)=(.+)")


def load(application: str, channel_urls: Sequence[str] = ()) -> Any:
    """Import what `MODULE:APP` names; its channels live elsewhere, if URLs are given: `URL`, or `NAME=URL` for one of several.

    Raises:
        click.ClickException: There is no such thing, it is no application, or it is not clear which channel is meant.
    """
    module_name, _, expression = application.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise
        raise _wrong(f"there is no module {error.name!r} below {os.getcwd()}") from None
    app = _evaluate(module, module_name, expression or "app")
    if not callable(app):
        raise _wrong(f"{application!r} is no WSGI application: it cannot be called")
    move(channel_urls)
    return app


def _evaluate(module: Any, module_name: str, expression: str) -> Any:
    """Find a name in a module, and call it if the expression does, with arguments that are literals."""
    try:
        tree: ast.expr = ast.parse(expression, mode="eval").body
        call = tree if isinstance(tree, ast.Call) else None
        name = ast.unparse(call.func if call is not None else tree)
        arguments = [ast.literal_eval(argument) for argument in call.args] if call is not None else []
        options = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords} if call is not None else {}
    except (SyntaxError, ValueError):
        name, call = "", None
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name):
        raise _wrong(
            f"got {module_name}:{expression}, expected a name, or a call like {module_name}:create_app('x', debug=True)"
        )
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            raise _wrong(f"module {module_name!r} has no {name!r}")
    if call is None:
        return _make(found, f"{module_name}:{name}") if is_factory(found) else found
    try:
        inspect.signature(found).bind(*arguments, **options)
    except (TypeError, ValueError) as error:
        raise _wrong(f"{module_name}:{expression} cannot be called so: {error}") from None
    return found(*arguments, **options)


def is_factory(found: Any) -> bool:
    """Does this make an application, and is none itself? A WSGI application cannot be called without arguments (PEP 3333)."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return False
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return False  # a wrapper that takes whatever comes
    asked = [one for one in parameters if one.default is one.empty and one.kind is not one.VAR_KEYWORD]
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return not asked or len(positional) < 2


def _make(factory: Any, where: str) -> Any:
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise _wrong(f"{where!r} is no WSGI application, but may make one: expected '{where}(…)' ({error})") from None
    return factory()


def move(urls: Sequence[str]) -> None:
    """Have the channels of this process live at other URLs.

    Raises:
        click.ClickException: It is not clear which one is meant, or it cannot be moved.
    """
    for url in urls:
        name, target = match.groups() if (match := _NAMED.fullmatch(url)) else ("", url)
        try:
            _channel(name).move(target)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--channel") from None
        except ImportError as error:  # the package of a store is not installed
            raise click.ClickException(str(error)) from None


def _channel(name: str) -> Channel:
    """Find the channel of this name; the only one, if no name is said."""
    channels = list(dict.fromkeys(channel for cometware in made() for channel in cometware.channels.values()))
    found = [channel for channel in channels if name in ("", channel.name)]
    if len(found) == 1:
        return found[0]
    if not channels:
        raise ValueError("the application makes no Cometware while it is loaded, so there is no channel to move")
    there = ", ".join(f"{channel.name!r} at {masked_url(channel.url)}" for channel in channels)
    if not found:
        raise ValueError(f"there is no channel {name!r}; there are {there}")
    names = len({channel.name for channel in channels}) == len(channels)
    advice = "say which one: --channel NAME=URL" if names else "give each a name, Channel(…, name=…), and say NAME=URL"
    raise ValueError(f"there are {len(channels)} channels, {there}: {advice}")


def _wrong(what: str) -> click.BadParameter:
    return click.BadParameter(what, param_hint="MODULE:APP")
