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
}

run "delivery_is_added" {
  command = plan

  variables {
    delivery = { service_name = "image-delivery", domain = "pictures.example.com", cdn = true }
  }
}
