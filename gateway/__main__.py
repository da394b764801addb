"""`python -m gateway`: serve the gateway."""

from gateway.app import build_app
from gateway.settings import GatewaySettings
from shared.app import serve

if __name__ == "__main__":
    settings = GatewaySettings.load()
    serve(build_app(settings), settings, "gateway")
