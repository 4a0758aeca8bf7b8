"""`python -m image_processor`: the service, with the server's own limits set."""

import uvicorn

from image_core import process_memory
from image_engine.worker.confinement import deny_inspection
from image_processor.app import create_app_from_environment
from image_processor.settings import ProcessorSettings

if __name__ == "__main__":
    # Before secrets are read, although the workers that must not read them start later.
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
        # A job that is cancelled gives its claim back within the two seconds that are left.
        timeout_graceful_shutdown=8,
    )
