"""Browser engines of every age with one face: `with ENGINES[name].open(url): ...` loads a page.

Nothing drives the page: it reports by itself what it has seen, to the server. None of these engines talks to
anything but this machine, and each is ended by its own time-out if the test forgets it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from foreground import Foreground, MissingProgram, find_program, foreground

TOOLS = Path(__file__).resolve().parents[2] / ".tools"
DRIVERS = Path(__file__).resolve().parent / "drivers"

DEAD_PORT = 9  # "discard": nothing listens there.

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--password-store=basic",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1",
)

FIREFOX_PREFERENCES: dict[str, bool | int | str] = {
    # Whatever it wants to tell its makers ends at a port where nobody listens.
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": DEAD_PORT,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": DEAD_PORT,
    "network.proxy.no_proxies_on": "localhost, 127.0.0.1",
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "http://127.0.0.1:9/",
    "termsofuse.bypassNotification": True,
    "toolkit.telemetry.enabled": False,
}


class Engine(ABC):
    """One engine. `full`: it takes part in the whole matrix only."""

    full = False

    @contextmanager
    def open(self, url: str, seconds: int = 90) -> Iterator[Foreground]:
        """Load the page for the length of the block, at most for so many seconds.

        What the engine and the page's console have said is the value's `output()`.

        Raises:
            MissingProgram: The engine is not installed.
        """
        with tempfile.TemporaryDirectory(prefix="cometware-browser-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            limited = [find_program("timeout"), "--kill-after=2", str(seconds), *self._command(url, folder)]
            environ = {"HOME": name, "XDG_CACHE_HOME": name, "XDG_CONFIG_HOME": name, **self._environ()}
            with foreground(limited, folder=folder, environ=environ) as process:
                yield process

    @abstractmethod
    def _command(self, url: str, folder: Path) -> Sequence[str | Path]:
        """Prepare the folder, which is also the home of the program, and return the command line."""

    def _environ(self) -> dict[str, str]:
        return {}


class InternetExplorer(Engine):
    """Internet Explorer 6, 7, 8 or 9 as HtmlUnit emulates it."""

    def __init__(self, version: int) -> None:
        self._version = version
        self.full = version > 6  # the one that can least; each costs a Java that starts

    def _command(self, url: str, folder: Path) -> Sequence[str | Path]:
        jar = tool("htmlunit/htmlunit.jar")
        # Its life is short: less compiling at run time, and no threads for collecting garbage.
        quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]
        classes = os.pathsep.join([str(jar), str(compiled(DRIVERS / "InternetExplorer.java", jar))])
        return [find_program("java"), *quick, "-cp", classes, "InternetExplorer", str(self._version), url]


class PhantomJS(Engine):
    """WebKit of 2013."""

    def _command(self, url: str, folder: Path) -> Sequence[str | Path]:
        flags = ["--ignore-ssl-errors=yes", "--proxy-type=none"]
        return [tool("phantomjs/phantomjs"), *flags, DRIVERS / "phantom.js", url]

    def _environ(self) -> dict[str, str]:
        return {"OPENSSL_CONF": "/dev/null"}


class QtWebKit(Engine):
    """WebKit of 2016, about Safari 10."""

    full = True

    def _command(self, url: str, folder: Path) -> Sequence[str | Path]:
        # The module belongs to the system's Python, not to ours.
        python = Path("/usr/bin/python3")
        if not list(Path("/usr/lib/python3/dist-packages/PyQt5").glob("QtWebKitWidgets.*")):
            raise MissingProgram("QtWebKit", ".ci/install-system --full")
        return [python, DRIVERS / "qtwebkit.py", url]

    def _environ(self) -> dict[str, str]:
        return {"QT_QPA_PLATFORM": "offscreen"}


class Chromium(Engine):
    """The Chromium of the system."""

    def _command(self, url: str, folder: Path) -> Sequence[str | Path]:
        return [self._program(), *CHROMIUM_FLAGS, *self._flags(folder), url]

    def _program(self) -> str | Path:
        return find_program("chromium")

    def _flags(self, folder: Path) -> Sequence[str]:
        # Without a port for debugging it would end as soon as the page is loaded.
        return [
            "--headless",
            "--remote-debugging-port=0",
            "--ignore-certificate-errors",
            f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr",
        ]


class Chromium64(Chromium):
    """Chromium of January 2018: fetch and streams, but no AbortController."""

    full = True

    def _program(self) -> Path:
        return tool("chromium64/chromium", ".ci/install-system --full")


class Firefox(Engine):
    """The Firefox ESR of the system."""

    def _command(self, url: str, folder: Path) -> Sequence[str | Path]:
        profile = folder / "profile"
        profile.mkdir()
        lines = [f"user_pref({quoted(name)}, {quoted(value)});\n" for name, value in FIREFOX_PREFERENCES.items()]
        (profile / "user.js").write_text("".join(lines))
        return [find_program("firefox-esr"), "--headless", "--no-remote", "--profile", profile, url]

    def _environ(self) -> dict[str, str]:
        return {"MOZ_CRASHREPORTER_DISABLE": "1"}


ENGINES: dict[str, Engine] = {
    "ie6": InternetExplorer(6),
    "ie7": InternetExplorer(7),
    "ie8": InternetExplorer(8),
    "ie9": InternetExplorer(9),
    "phantomjs": PhantomJS(),
    "qtwebkit": QtWebKit(),
    "chromium64": Chromium64(),
    "chromium": Chromium(),
    "firefox": Firefox(),
}


def tool(name: str, installer: str = ".ci/install-system") -> Path:
    """Return the path of a piece in `.tools/`.

    Raises:
        MissingProgram: It is not there.
    """
    path = TOOLS / name
    if not path.exists():
        raise MissingProgram(f".tools/{name}", installer)
    return path


def compiled(source: Path, jar: Path) -> Path:
    """Return the folder of the class that the Java source makes, compiled again if it has changed."""
    classes = jar.parent / "classes"
    result = classes / f"{source.stem}.class"
    if result.exists() and result.stat().st_mtime_ns >= source.stat().st_mtime_ns:
        return classes
    with tempfile.TemporaryDirectory(dir=jar.parent) as fresh:
        subprocess.run([find_program("javac"), "-cp", jar, "-d", fresh, source], check=True, capture_output=True)
        classes.mkdir(exist_ok=True)
        for file in Path(fresh).iterdir():
            shutil.move(file, classes / file.name)
    return classes


def quoted(value: bool | int | str) -> str:
    """Return the value as it stands in Firefox's preferences."""
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
