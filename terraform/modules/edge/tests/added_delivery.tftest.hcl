# Delivery behind a load balancer that is already there, for the check of what the plan changes (tests/infra).
mock_provider "google" {}

variables {
  project_id   = "example-project"
  region       = "europe-west1"
  service_name = "image-api"
  domains      = ["images.example.com"]
}

run "api_alone" {
  command = apply

  assert {
    condition     = length(google_compute_backend_service.delivery) == 0
    error_message = "Delivery is there already."
  }
}

run "delivery_is_added" {
  command = plan

  variables {
    delivery = { service_name = "image-delivery", domain = "pictures.example.com", cdn = true }
  }

  assert {
    condition     = output.address == run.api_alone.address && length(google_compute_backend_service.delivery) == 2
    error_message = "The records of the domains would lead nowhere."
  }
}
