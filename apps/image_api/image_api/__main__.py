"""`python -m image_api`: run the service with uvicorn, with explicit limits."""

import uvicorn

from image_api.app import create_app_from_environment
from image_api.settings import ApiSettings
from image_core import process_memory
from image_core.server.protocol import BoundedProtocol

if __name__ == "__main__":
    process_memory.bound_allocator()
    settings = ApiSettings()
    uvicorn.run(
        create_app_from_environment(),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        http=BoundedProtocol,
        # A WebSocket upgrade is handled like any other request.
        ws="none",
        # `TRUSTED_PROXY_DEPTH` decides which proxies are trusted, not the server's heuristics.
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        # The application ends requests two seconds before this; Cloud Run kills the process two seconds after it.
        timeout_graceful_shutdown=8,
    )
