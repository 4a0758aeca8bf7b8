"""`python -m image_delivery`: the service, with the server's own limits set."""

import uvicorn

from image_core import process_memory
from image_core.server.protocol import BoundedProtocol
from image_delivery.app import create_app_from_environment
from image_delivery.settings import DeliverySettings
from image_engine.worker.confinement import deny_inspection

if __name__ == "__main__":
    # Before secrets are read, although the workers that must not read them start later.
    deny_inspection()
    process_memory.bound_allocator()
    settings = DeliverySettings()
    uvicorn.run(
        create_app_from_environment(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        http=BoundedProtocol,
        # What asks for a WebSocket is a request as any other.
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=8,
    )
