"""An object store that speaks the parts of the Cloud Storage JSON and XML APIs which the services use."""
