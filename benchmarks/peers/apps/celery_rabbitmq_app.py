"""The jobs on Celery, with RabbitMQ as broker.

Messages are confirmed to who sends them (`confirm_publish`, of its AMQP library), as at-least-once needs; for the
rest, see `celery_app`.
"""

from __future__ import annotations

from .celery_app import IS_BULK, app, many, one

app.conf.broker_transport_options = {"confirm_publish": True}

__all__ = ["IS_BULK", "app", "many", "one"]
