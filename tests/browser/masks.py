"""Scripts that take features away from a browser before the page sees them.

`mask_script("WebSocket", "fetch")` makes today's Chromium a browser without these two. Give it to
Playwright's `add_init_script`, or put it in the page before all other scripts.
"""

from __future__ import annotations

# Each in strict mode, in a function of its own; `hide(object, name)` removes a property for good.
MASKS: dict[str, str] = {
    "AbortController": "hide(window, 'AbortController'); hide(window, 'AbortSignal');",
    "BroadcastChannel": "hide(window, 'BroadcastChannel');",
    "CORS": """
        function foreign(url) { return new URL(url, location.href).origin !== location.origin; }
        hide(XMLHttpRequest.prototype, 'withCredentials');
        var open = XMLHttpRequest.prototype.open, fetch = window.fetch;
        XMLHttpRequest.prototype.open = function (method, url) {
            if (foreign(url)) throw new Error('Access is denied.');
            return open.apply(this, arguments);
        };
        if (fetch) window.fetch = function (request) {
            if (foreign(request.url || request)) return Promise.reject(new TypeError('Access is denied.'));
            return fetch.apply(this, arguments);
        };""",
    "EventSource": "hide(window, 'EventSource');",
    "ReadableStream": """
        hide(Response.prototype, 'body');
        hide(Request.prototype, 'body');
        hide(window, 'ReadableStream');""",
    "SharedWorker": "hide(window, 'SharedWorker');",
    "WebSocket": "hide(window, 'WebSocket'); hide(window, 'WebSocketStream');",
    "XMLHttpRequest": "hide(window, 'XMLHttpRequest');",
    # Before its end a response has no text: reading it is an error, and nothing tells of progress.
    "XHR progress": """
        ['responseText', 'response'].forEach(function (name) {
            var get = Object.getOwnPropertyDescriptor(XMLHttpRequest.prototype, name).get;
            Object.defineProperty(XMLHttpRequest.prototype, name, {configurable: true, get: function () {
                if (this.readyState < 4) throw new Error('The data is not yet available.');
                return get.call(this);
            }});
        });
        hide(XMLHttpRequestEventTarget.prototype, 'onprogress');
        var listen = EventTarget.prototype.addEventListener;
        EventTarget.prototype.addEventListener = function (type) {
            if (type !== 'progress') return listen.apply(this, arguments);
        };""",
    "fetch": "hide(window, 'fetch');",
    "localStorage": """
        ['localStorage', 'sessionStorage'].forEach(function (name) {
            Object.defineProperty(window, name, {get: function () {
                throw new DOMException('The operation is insecure.', 'SecurityError');
            }});
        });""",
    "locks": "hide(Navigator.prototype, 'locks');",
    "sendBeacon": "hide(Navigator.prototype, 'sendBeacon');",
}

_MODERN = (
    "AbortController",
    "BroadcastChannel",
    "ReadableStream",
    "SharedWorker",
    "fetch",
    "locks",
    "sendBeacon",
)

# What whole browsers lacked, as far as our client could tell.
BROWSERS_OF_OLD: dict[str, tuple[str, ...]] = {
    "2012": _MODERN,
    "ie10": (*_MODERN, "EventSource"),
    "android2": (*_MODERN, "WebSocket", "XHR progress"),
    "ie9": (*_MODERN, "EventSource", "WebSocket", "XHR progress", "CORS"),
    "script tags only": (*_MODERN, "EventSource", "WebSocket", "XMLHttpRequest", "localStorage"),
}


def mask_script(*features: str) -> str:
    """Return the script that removes these features, which are keys of `MASKS`."""
    # The masks of XMLHttpRequest's abilities need it still there.
    ordered = sorted(features, key=lambda name: name == "XMLHttpRequest")
    bodies = "".join(f"(function () {{ {MASKS[name]} }})();\n" for name in ordered)
    return f"""(function () {{ 'use strict';
        function hide(object, name) {{
            delete object[name];
            if (name in object) throw new Error('kept ' + name);
        }}
        {bodies}
    }})();"""
