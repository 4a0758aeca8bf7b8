"""`python -m image_api`: the service, with the server's own limits set."""

import uvicorn

from image_api.app import create_app_from_environment
from image_api.server.protocol import BoundedProtocol
from image_api.settings import ApiSettings
from image_core import process_memory

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
        # What asks for a WebSocket is a request as any other.
        ws="none",
        # Which proxies may be believed is `TRUSTED_PROXY_DEPTH`, not the server's guess.
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        # Requests of ours end by themselves two seconds before this; Cloud Run kills two seconds after it.
        timeout_graceful_shutdown=8,
    )
