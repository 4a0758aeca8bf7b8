# The state after an apply, for the search for secrets (tests/infra).
mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id = "example-project"
  region     = "europe-west1"
  images = {
    api       = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    processor = "europe-west1-docker.pkg.dev/example-project/images/image-processor@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    tasks     = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    delivery  = "europe-west1-docker.pkg.dev/example-project/images/image-delivery@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  }
  notification_emails = ["operations@example.com"]
}

run "applies" {
  command = apply

  assert {
    condition     = output.admin_key_secret == "projects/example-project/secrets/image-manager-admin-key"
    error_message = "The migration job and the reader of the key look at different secrets."
  }
}
