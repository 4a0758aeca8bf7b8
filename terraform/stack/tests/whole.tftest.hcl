# The plan as a whole, for the checks that read it as JSON (scripts/infra/terraform_checks.py, tests/infra).
mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }

  mock_data "google_storage_project_service_account" {
    defaults = { email_address = "service-123456789012@gs-project-accounts.iam.gserviceaccount.com" }
  }
}

override_resource {
  target          = module.image_api.google_cloud_run_v2_service.this
  override_during = plan
  values          = { uri = "https://image-api-abc-ew.a.run.app" }
}

override_resource {
  target          = module.image_processor.google_cloud_run_v2_service.this
  override_during = plan
  values          = { uri = "https://image-processor-abc-ew.a.run.app" }
}

override_resource {
  target          = module.image_tasks[0].google_cloud_run_v2_service.this
  override_during = plan
  values          = { uri = "https://image-tasks-abc-ew.a.run.app" }
}

override_resource {
  target          = module.image_delivery[0].google_cloud_run_v2_service.this
  override_during = plan
  values          = { uri = "https://image-delivery-abc-ew.a.run.app" }
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

run "plans" {
  command = plan
}
