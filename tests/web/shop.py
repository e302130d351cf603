"""A small application on the web, as a user would write it."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route

from narrowboat import App, JobHandle
from narrowboat.web import Shown, Web

app = App("shop")


@app.task(name="shop.resize", queue="images")
def resize(photo: str, width: int = 320) -> str:
    """Stands for slow work; the tests play the worker."""
    return f"{photo} at {width}"


def describe(job: JobHandle[object]) -> Shown:
    """Words of this shop's own."""
    return Shown(title="Your photo")


web = Web(app, describe=describe)


async def upload(request: Request) -> Response:
    """Takes a photo's name from whoever says to be somebody."""
    sent = await request.json()
    visitor = web.visitor(request.headers.get("x-person", "nobody"), request.headers)
    return web.starlette(await visitor.asubmit(resize, **sent))


def page(request: Request) -> Response:
    """Shows the jobs that are named with their tokens."""
    shown = "".join(
        f'<job-status job="{pair.rpartition(",")[0]}" token="{pair.rpartition(",")[2]}" src="/jobs"></job-status>'
        for pair in request.query_params.getlist("job")
    )
    head = '<meta charset="utf-8"><title>Shop</title><script src="/jobs/static/job-status.js" type="module"></script>'
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head>{head}</head><body><main><h1>Shop</h1>{shown}</main></body></html>',
        headers={"Content-Security-Policy": "default-src 'self'"},
    )


site = Starlette(routes=[Route("/", page), Route("/photos", upload, methods=["POST"]), Mount("/jobs", web.asgi)])
