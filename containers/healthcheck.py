"""Asks the service in this container for its health and exits with 1 unless it answers 200.

`python healthcheck.py PORT /health/live` reads the port from the variable PORT. Slim images have no curl.
"""

import http.client
import os
import sys

TIMEOUT_SECONDS = 4


def main() -> int:
    """Ask once."""
    port_variable, path = sys.argv[1:]
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ[port_variable]), timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return 0 if connection.getresponse().status == 200 else 1
    except (OSError, http.client.HTTPException):
        return 1


if __name__ == "__main__":
    sys.exit(main())
