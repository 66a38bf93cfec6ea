"""Whole sites below a prefix, each in a process of its own: `SITE` names the application, as `module:name`."""

import os

from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.utils import import_string

site = import_string(os.environ["SITE"])
app = DispatcherMiddleware(NotFound(), {"/shop": site})
