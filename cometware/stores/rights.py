"""What a user of Redis must be allowed to do for a channel, and what it is told that it is not.

Rule: the rules here are the least, and `docs/stores.md` shows them; a test runs a channel with exactly these.
"""

from __future__ import annotations

import json
import re
from typing import Any

from redis import exceptions

_PLAIN = (("ping",), ("time",), ("script|load", "return 1"))
_ON_KEYS: tuple[tuple[str, ...], ...] = (
    ("eval", "return 1", "1", "KEY"),
    ("evalsha", "0" * 40, "1", "KEY"),
    ("xadd", "KEY", "1-1", "m", "1"),
    ("xlen", "KEY"),
    ("xtrim", "KEY", "MAXLEN", "1"),
    ("xrange", "KEY", "-", "+"),
    ("xrevrange", "KEY", "+", "-"),
    ("xread", "STREAMS", "KEY", "0-0"),
    ("hget", "KEY", "1"),
    ("hset", "KEY", "1", "1"),
    ("hdel", "KEY", "1"),
    ("hvals", "KEY"),
    ("sadd", "KEY", "1"),
    ("srem", "KEY", "1"),
    ("smembers", "KEY"),
    ("zadd", "KEY", "1", "1"),
    ("zrem", "KEY", "1"),
    ("zcard", "KEY"),
    ("zscore", "KEY", "1"),
    ("zrange", "KEY", "0", "1"),
    ("zrangebyscore", "KEY", "0", "1"),
    ("zremrangebyscore", "KEY", "0", "1"),
    ("lpush", "KEY", "1"),
    ("lrange", "KEY", "0", "1"),
    ("ltrim", "KEY", "0", "1"),
    ("del", "KEY"),
)
"""What is run, each as it would be run on a key."""
CLIENTS = frozenset({"+del", "+hvals", "+sadd", "+smembers", "+srem", "+zrangebyscore", "+zremrangebyscore"})
"""What only those need who serve clients: others publish without."""

_CHECK = """
local missing = {}
if redis.acl_check_cmd then
  for _, command in ipairs(cjson.decode(ARGV[1])) do
    if not redis.acl_check_cmd(unpack(command)) then missing[#missing + 1] = command[1] end
  end
end
return missing
"""
_COMMAND = re.compile(r"'([A-Za-z|_]+)' command")
_KEYS = re.compile(r"permissions? to access (?:a key|one of the keys)")
_IN_OLD_SCRIPT = "executing the script can't"


class Rights:
    """Those on keys that begin with `prefix`."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        escaped = re.sub(r"([*?\\[\]])", r"\\\1", prefix)
        self.keys = f"~{escaped}*"
        self.rules = " ".join([self.keys, *sorted(f"+{command[0]}" for command in _PLAIN + _ON_KEYS)])
        """In the words of `ACL SETUSER`. For another database than 0 there is `+select`, too."""

    def missing(self, client: Any) -> list[str]:
        """Ask which rules are missing; nothing is changed by that.

        Raises:
            redis.RedisError: It cannot be asked.
        """
        key = self._prefix + "log"
        commands = [
            [*command[0].split("|"), *(key if part == "KEY" else part for part in command[1:])]
            for command in _PLAIN + _ON_KEYS
        ]
        try:
            found = client.execute_command("EVAL", _CHECK, 1, key, json.dumps(commands))
        except exceptions.ResponseError as error:
            if is_forbidden(error):
                raise
            return []  # it is another server than Redis, which does not tell
        names = [name.decode() for name in found]
        if {command[0] for command in _ON_KEYS} <= set(names):
            return [self.keys]
        return ["+script|load" if name == "script" else f"+{name}" for name in names]

    def explained(self, missing: list[str]) -> str:
        """Tell what is missing, and all that is needed."""
        what = " ".join(self.keys if rule == "~" else rule for rule in missing)
        return f"its user lacks {what or 'a rule'}. All that a channel needs by ACL SETUSER: {self.rules} (docs/stores.md)"


def is_forbidden(error: BaseException) -> bool:
    """Does Redis say that its user may not do this? Then it will not be different in a moment."""
    return isinstance(error, exceptions.NoPermissionError) or (
        isinstance(error, exceptions.ResponseError) and ("ACL failure in script" in str(error) or _IN_OLD_SCRIPT in str(error))
    )


def missing_of(error: BaseException) -> list[str]:
    """Return the rules that an error names; `~` for those of keys."""
    text = str(error)
    found = [f"+{name.lower()}" for name in _COMMAND.findall(text)]
    return ["~"] if not found and _KEYS.search(text) else found
