"""`python -m gateway.migrations [revision]`: take the gateway's database to a step; without one, to the newest.

Going back forgets what the older tables have no place for. Stop every gateway before.
"""

import sys

import anyio

from gateway.database import address_of, connected
from gateway.schema import NEWEST, migrate
from gateway.settings import GatewaySettings


async def _main(revision: str) -> None:
    async with connected(address_of(GatewaySettings.load().database_url)) as engine:
        await migrate(engine, revision)


if __name__ == "__main__":
    anyio.run(_main, sys.argv[1] if len(sys.argv) > 1 else NEWEST)
