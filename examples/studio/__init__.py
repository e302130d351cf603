"""The studio: photos become thumbnails, orders become invoices, a newsletter becomes letters, all done by a worker.

Worker: `narrowboat worker examples.studio:app` · web: `uvicorn examples.studio.web:web`
"""

from . import hostile as hostile
from . import images as images
from . import invoices as invoices
from . import letters as letters
from . import sketches as sketches
from .app import app as app
