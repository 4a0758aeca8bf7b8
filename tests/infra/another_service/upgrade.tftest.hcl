mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id          = "example-project"
  region              = "europe-west1"
  notification_emails = ["operations@example.com"]
  images = {
    api       = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    processor = "europe-west1-docker.pkg.dev/example-project/images/image-processor@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    tasks     = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    delivery  = "europe-west1-docker.pkg.dev/example-project/images/image-delivery@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  }
}

run "four_services_run" {
  command = apply

  assert {
    condition     = keys(module.observability.watched.services) == tolist(["image-api", "image-delivery", "image-processor", "image-tasks"]) && length(module.image_another) == 0 && length([for key, grant in local.grants : key if strcontains(key, "image-another")]) == 0
    error_message = "A service that has no image is there."
  }
}

run "the_fifth_comes_by_an_apply" {
  command = apply

  variables {
    images = {
      api       = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      processor = "europe-west1-docker.pkg.dev/example-project/images/image-processor@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      tasks     = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      delivery  = "europe-west1-docker.pkg.dev/example-project/images/image-delivery@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      another   = "europe-west1-docker.pkg.dev/example-project/images/image-another@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    }
  }

  assert {
    condition = alltrue([
      length(module.image_another) == 1,
      keys(module.observability.watched.services) == tolist(["image-another", "image-api", "image-delivery", "image-processor", "image-tasks"]),
      module.database.user_names["another"] == "image-another@example-project.iam",
      google_cloud_run_v2_service_iam_member.table["github-deploy roles/run.developer service:image-another"].name == "image-another",
      google_project_iam_member.table["image-another roles/cloudsql.client project"].member == "serviceAccount:image-another@example-project.iam.gserviceaccount.com",
      length(google_service_account_iam_member.table) == length([for row in local.capabilities : row if startswith(row.resource, "account:")]),
    ])
    error_message = "The service lacks something that the others have."
  }
}

run "its_connections_were_counted_before_it_came" {
  command = plan

  assert {
    condition     = output.connection_budget.needed == run.four_services_run.connection_budget.needed && output.connection_budget.needed == var.api.max_instances * var.api.database_pool_size + var.processor.max_instances * var.processor.database_pool_size + var.tasks.max_instances * var.tasks.database_pool_size + var.delivery.max_instances * var.delivery.database_pool_size + var.another.max_instances * var.another.database_pool_size
    error_message = "The service takes connections that nobody has."
  }
}
