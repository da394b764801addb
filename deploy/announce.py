"""`python -m deploy.announce`: tell the person at the terminal what is still loading, and when Parley listens.

A service that does not come up is named with the last line of its log, which is the sentence it stopped with.
"""

import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

PATIENCE_S = 120.0
COMPLAIN_AFTER_S = 10.0
EVERY_S = 0.25


def parts(url: str) -> dict[str, str]:
    """What the gateway says of itself and the services; `gateway` alone while it does not answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/ready", timeout=3) as answer:
            body = json.load(answer)
    except urllib.error.HTTPError as refusal:
        body = json.load(refusal)
    except OSError:
        return {"gateway": "is starting"}
    return {name: state for name, state in body["parts"].items() if state != "ready"}


def last_line(service: str) -> str:
    """The last line of a service's log, or nothing."""
    log = Path(os.environ["PARLEY_VAR"]) / "log" / f"{service}.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return lines[-1] if lines else ""


def main() -> None:
    url = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}"
    began_s, has_complained = time.monotonic(), False
    told: dict[str, str] = {}
    while (missing := parts(url)) and time.monotonic() - began_s < PATIENCE_S:
        for service, state in missing.items():
            if told.get(service) != state:
                print(f"{service} {state} …", flush=True)
        told = missing
        if not has_complained and time.monotonic() - began_s > COMPLAIN_AFTER_S:
            has_complained = True
            for service in missing:
                print(f"{service} takes long; the last line of its log: {last_line(service)}", flush=True)
        time.sleep(EVERY_S)
    if missing:
        print(f"Parley is not ready: {', '.join(missing)}. Logs: {os.environ['PARLEY_VAR']}/log", flush=True)
    else:
        print(f"Parley is listening on {url}", flush=True)


if __name__ == "__main__":
    main()
