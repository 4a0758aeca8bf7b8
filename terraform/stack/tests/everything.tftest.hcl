# Plan and state with every option enabled, for the checks that read them as JSON (tests/infra).
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
  observability       = { budget = { billing_account = "012345-6789AB-CDEF01" } }
  edge                = { enabled = true, exclusive = true, domains = ["images.example.com"], cached_paths = ["/public/*"], delivery = { domain = "pictures.example.com", exclusive = true, cdn = true } }
  rate_limit_store    = { enabled = true }
  api                 = { max_instances = 2, public_base_url = "https://images.example.com", cors_allow_origins = ["https://pages.example.com"] }
  storage             = { direct_upload_origins = ["https://photos.example.com"] }
  delivery            = { max_instances = 1, public_base_url = "https://pictures.example.com", bytes_per_month = 1000000000000 }
  vision              = { enabled = true }
  kms_key             = "projects/keys/locations/europe-west1/keyRings/ring/cryptoKeys/key"
  processor           = { max_instances = 1, model_path = "gs://models/labels" }
}

run "plans" {
  command = plan

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
}

run "applies" {
  command = apply

  assert {
    condition     = output.edge_address != null && output.rate_limit_url != null
    error_message = "Not everything is switched on."
  }
}
