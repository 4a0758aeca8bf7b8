# The state after an apply, for the search for secrets (tests/infra).
mock_provider "google" {
  mock_resource "google_cloud_run_v2_service" {
    defaults = { uri = "https://service-abc-ew.a.run.app" }
  }

  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }

  mock_data "google_storage_project_service_account" {
    defaults = { email_address = "service-123456789012@gs-project-accounts.iam.gserviceaccount.com" }
  }
}

variables {
  project_id = "example-project"
  region     = "europe-west1"
  images = {
    api       = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    processor = "europe-west1-docker.pkg.dev/example-project/images/image-processor@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  }
  observability = { notification_emails = ["operations@example.com"] }
}

run "applies" {
  command = apply

  assert {
    condition     = output.admin_key_secret == "projects/example-project/secrets/image-manager-admin-key"
    error_message = "The migration job and the reader of the key look at different secrets."
  }
}
