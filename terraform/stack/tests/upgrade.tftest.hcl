# An installation of the first two services gets the other two by applies; what is there stays.
mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id          = "example-project"
  region              = "europe-west1"
  notification_emails = ["operations@example.com"]
}

run "two_services_run" {
  command = apply

  variables {
    images = {
      api       = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      processor = "europe-west1-docker.pkg.dev/example-project/images/image-processor@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    }
  }

  assert {
    condition     = keys(module.observability.watched.services) == tolist(["image-api", "image-processor"]) && toset(keys(module.database.user_names)) == toset(["api", "migrator", "processor"])
    error_message = "A service that has no image is there."
  }
}

run "the_other_two_come_by_an_apply" {
  command = apply

  variables {
    images = {
      api       = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      processor = "europe-west1-docker.pkg.dev/example-project/images/image-processor@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      tasks     = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      delivery  = "europe-west1-docker.pkg.dev/example-project/images/image-delivery@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    }
  }

  assert {
    condition = alltrue([
      keys(module.observability.watched.services) == tolist(["image-api", "image-delivery", "image-processor", "image-tasks"]),
      module.database.user_names == { for name, account in { api = "image-api", delivery = "image-delivery", migrator = "image-migrate", processor = "image-processor", tasks = "image-tasks" } : name => "${account}@example-project.iam" },
      local.migration_environment["DELIVERY_DATABASE_USER"] == module.database.user_names["delivery"],
      local.api_environment["DELIVERY_URL"] == module.image_delivery[0].uri,
      length(local.grants) == length([for row in local.capabilities : row if !contains(keys(row), "when")]),
    ])
    error_message = "A service lacks something that the others have."
  }
}

run "connections_of_all_were_counted_before" {
  command = plan

  variables {
    images = {
      api       = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      processor = "europe-west1-docker.pkg.dev/example-project/images/image-processor@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      tasks     = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      delivery  = "europe-west1-docker.pkg.dev/example-project/images/image-delivery@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    }
  }

  assert {
    condition     = output.connection_budget.needed == run.two_services_run.connection_budget.needed
    error_message = "The new services take connections that nobody has."
  }
}

run "one_service_without_the_other" {
  command = plan

  variables {
    images = {
      api       = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      processor = "europe-west1-docker.pkg.dev/example-project/images/image-processor@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      delivery  = "europe-west1-docker.pkg.dev/example-project/images/image-delivery@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    }
  }

  assert {
    condition     = keys(module.observability.watched.services) == tolist(["image-api", "image-delivery", "image-processor"]) && output.delivery_url != null
    error_message = "image-delivery comes only with image-tasks."
  }
}
