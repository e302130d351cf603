"""The same Web under each framework, as its documentation says to mount an ASGI application."""

from __future__ import annotations

from starlette.types import ASGIApp

from narrowboat.web import Web

from .shop import app, web


def in_fastapi() -> ASGIApp:
    from fastapi import FastAPI

    site = FastAPI()
    site.mount("/jobs", web.asgi)
    return site


def in_litestar() -> ASGIApp:
    from litestar import Litestar, asgi

    return Litestar([asgi("/jobs", is_mount=True, copy_scope=True)(web.asgi)])


def in_django() -> ASGIApp:
    """Django has no mount for ASGI; whoever serves it looks at the path first."""
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from starlette.applications import Starlette
    from starlette.routing import Mount

    settings.configure(SECRET_KEY="only for this test", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
    return Starlette(routes=[Mount("/jobs", web.asgi), Mount("/", get_asgi_application())])


def alone() -> ASGIApp:
    return Web(app, base="").asgi


urlpatterns: list[object] = []
