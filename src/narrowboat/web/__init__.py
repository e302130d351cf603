"""What a browser sees of jobs: handing them in, and watching one's own.

`Web` is the way in. Nothing of a web framework is loaded before `Web.asgi` is asked for, so a WSGI application
pays for none.
"""

from __future__ import annotations

from .answer import Answer, Ask
from .document import Document, Shown
from .submit import Visitor
from .web import Web

__all__ = ["Answer", "Ask", "Document", "Shown", "Visitor", "Web"]
