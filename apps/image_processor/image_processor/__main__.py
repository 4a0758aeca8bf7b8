"""`python -m image_processor`: run the service with uvicorn, with explicit limits."""

import uvicorn

from image_core import process_memory
from image_engine.worker.confinement import deny_inspection
from image_processor.app import create_app_from_environment
from image_processor.settings import ProcessorSettings

if __name__ == "__main__":
    # Before any secret is read, because the workers, which start later, must not be able to read them.
    deny_inspection()
    process_memory.bound_allocator()
    settings = ProcessorSettings()
    uvicorn.run(
        create_app_from_environment(),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        # A cancelled job releases its claim within the remaining two seconds.
        timeout_graceful_shutdown=8,
    )
