"""Ask another service whether it is ready."""

import httpx

from shared.health import READY, Check


def probe_service(url: str) -> Check:
    """A check of the service at `url` (http or ws): `ready`, or what it lacks."""
    address = url.replace("ws", "http", 1) if url.startswith("ws") else url

    async def check() -> str:
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=1.0) as http:
                answer = await http.get(f"{address}/ready")
        except httpx.HTTPError:
            return "does not answer"
        return READY if answer.status_code == 200 else "is still loading"

    return check
