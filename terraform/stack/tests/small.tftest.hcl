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

run "everything_is_protected" {
  command = plan

  assert {
    condition     = alltrue([module.database.deletion_protection, module.image_api.deletion_protection, module.image_processor.deletion_protection, module.image_tasks[0].deletion_protection, module.image_delivery[0].deletion_protection, module.image_migrate.deletion_protection, module.secrets.deletion_protection, !module.storage.force_destroy])
    error_message = "Something that a team relies on can be deleted."
  }
}

run "database_has_no_standby" {
  command = plan

  assert {
    condition     = module.database.availability_type == "ZONAL"
    error_message = "A standby is paid for."
  }
}

run "nothing_is_kept_warm" {
  command = plan

  assert {
    condition     = var.api.min_instances == 0 && var.processor.min_instances == 0 && module.image_delivery[0].size.min_instances == 0
    error_message = "An idle instance is paid for."
  }
}

run "nothing_stands_before_or_beside_the_services" {
  command = plan

  assert {
    condition     = length(module.edge) == 0 && length(module.rate_limit_store) == 0
    error_message = "A load balancer or a store is paid for."
  }
}

run "alerts_are_the_essential_ones" {
  command = plan

  assert {
    condition     = module.observability.condition_count <= 14
    error_message = "Each condition is paid for every month."
  }
}

run "connections_stay_within_the_budget" {
  command = plan

  assert {
    condition     = output.connection_budget.needed == 38 && output.connection_budget.available == 48
    error_message = "The services may exhaust the database."
  }
}
