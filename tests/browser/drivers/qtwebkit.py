"""Load a page in QtWebKit and write down what it says: qtwebkit.py URL."""

import sys

from PyQt5.QtCore import QUrl
from PyQt5.QtWebKitWidgets import QWebPage
from PyQt5.QtWidgets import QApplication


class Page(QWebPage):
    def javaScriptConsoleMessage(self, message, line, source):
        sys.stderr.write(f"{source}:{line}: {message}\n")


application = QApplication(sys.argv)
page = Page()
page.mainFrame().load(QUrl(sys.argv[1]))
sys.exit(application.exec_())
