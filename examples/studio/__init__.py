"""The studio: a photo goes in by a web form, a worker makes its thumbnails and a WebP.

Worker: `narrowboat worker examples.studio:app` · web: `uvicorn examples.studio.web:web`
"""

from . import images as images
from .app import app as app
