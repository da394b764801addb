"""Forget conversations whose newest turn is older than so many days, as soon as the gateway starts and then daily."""

import logging
from datetime import timedelta

import anyio
from sqlalchemy.exc import SQLAlchemyError

from gateway.store import Store
from shared import clock

DAY_S = 86_400.0
log = logging.getLogger(__name__)


async def run(store: Store, days: int) -> None:
    """Never ends; a database that fails today is asked again tomorrow."""
    while True:
        try:
            forgotten = await store.forget_before(clock.today() - timedelta(days=days))
            log.info("old conversations were forgotten", extra={"conversations": forgotten})
        except (SQLAlchemyError, OSError):
            log.exception("old conversations could not be forgotten")
        await anyio.sleep(DAY_S)
