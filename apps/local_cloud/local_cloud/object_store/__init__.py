"""An object store that implements the parts of the Cloud Storage JSON and XML APIs that the services use."""
