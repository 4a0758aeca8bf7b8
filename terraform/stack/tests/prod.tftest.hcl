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

run "database_is_protected" {
  command = plan

  assert {
    condition     = module.database.deletion_protection
    error_message = "Prod's database can be deleted."
  }
}

run "database_has_a_standby" {
  command = plan

  assert {
    condition     = module.database.availability_type == "REGIONAL"
    error_message = "Prod's database stands in one zone."
  }
}

run "buckets_survive_a_destroy" {
  command = plan

  assert {
    condition     = module.storage.force_destroy == false
    error_message = "A destroy empties prod's buckets."
  }
}

run "services_and_secrets_are_protected" {
  command = plan

  assert {
    condition     = alltrue([module.image_api.deletion_protection, module.image_processor.deletion_protection, module.image_tasks[0].deletion_protection, module.image_delivery[0].deletion_protection, module.image_migrate.deletion_protection, module.secrets.deletion_protection])
    error_message = "Something of prod can be deleted."
  }
}

run "one_api_is_kept_warm" {
  command = plan

  assert {
    condition     = var.api.min_instances == 1
    error_message = "The first caller waits for a start."
  }
}

run "one_delivery_is_kept_warm" {
  command = plan

  assert {
    condition     = module.image_delivery[0].size.min_instances == 1
    error_message = "The first picture waits for a start, and for the network of an instance that has just started."
  }
}

run "deleted_objects_come_back_for_a_month" {
  command = plan

  assert {
    condition     = var.storage.soft_delete_days == 30
    error_message = "Deleted objects are gone sooner."
  }
}

run "connections_stay_within_the_budget" {
  command = plan

  assert {
    condition     = output.connection_budget.needed == 218 && output.connection_budget.available == 230
    error_message = "The services may exhaust the database."
  }
}

run "alerts_are_all_of_them" {
  command = plan

  assert {
    condition     = module.observability.condition_count > 14
    error_message = "Slow burns, latency or uptime are not watched."
  }
}
