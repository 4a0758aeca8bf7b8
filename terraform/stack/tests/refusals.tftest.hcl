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

run "exclusive_without_a_load_balancer_is_refused" {
  command = plan

  variables {
    edge = { exclusive = true, domains = ["images.example.com"] }
    api  = { max_instances = 1, public_base_url = "https://images.example.com" }
  }

  expect_failures = [var.edge]
}

run "exclusive_with_links_to_the_old_address_is_refused" {
  command = plan

  variables {
    edge = { enabled = true, exclusive = true, domains = ["images.example.com"] }
  }

  expect_failures = [var.edge]
}

run "negative_quota_is_refused" {
  command = plan

  variables {
    storage = { default_quota_images = -1 }
  }

  expect_failures = [var.storage]
}

run "team_without_an_id_is_refused" {
  command = plan

  variables {
    api = { max_instances = 2, open_registration_team_id = "photographers" }
  }

  expect_failures = [var.api]
}

run "host_name_in_place_of_a_network_is_refused" {
  command = plan

  variables {
    api = { max_instances = 2, fetch_allow_addresses = ["pictures.example.com"] }
  }

  expect_failures = [var.api]
}

run "address_with_the_size_of_its_network_is_refused" {
  command = plan

  variables {
    api = { max_instances = 2, fetch_allow_addresses = ["10.1.2.3/24"] }
  }

  expect_failures = [var.api]
}

run "own_bucket_to_import_from_is_refused" {
  command = plan

  variables {
    storage = { import_buckets = ["example-project-originals"] }
  }

  expect_failures = [var.storage]
}

run "address_in_place_of_a_bucket_to_import_from_is_refused" {
  command = plan

  variables {
    storage = { import_buckets = ["gs://example-old-site"] }
  }

  expect_failures = [var.storage]
}

run "session_without_an_end_is_refused" {
  command = plan

  variables {
    api = { max_instances = 2, session_hours = 0 }
  }

  expect_failures = [var.api]
}

run "connections_over_the_budget_are_refused" {
  command = plan

  variables {
    database = { name_suffix = "t001", max_connections = 40 }
    api      = { max_instances = 10 }
  }

  expect_failures = [terraform_data.connection_budget]
}

run "tag_as_image_is_refused" {
  command = plan

  variables {
    images = { api = "image-api:latest", processor = "image-processor:latest" }
  }

  expect_failures = [var.images]
}

run "unknown_environment_is_refused" {
  command = plan

  variables {
    environment = "staging"
  }

  expect_failures = [var.environment]
}

run "suffix_without_a_digit_is_refused" {
  command = plan

  variables {
    database = { name_suffix = "prod" }
  }

  expect_failures = [var.database]
}

run "no_reserved_connections_are_refused" {
  command = plan

  variables {
    database = { name_suffix = "t001", reserved_connections = 0 }
  }

  expect_failures = [var.database]
}

run "every_origin_is_refused" {
  command = plan

  variables {
    api = { cors_allow_origins = ["*"] }
  }

  expect_failures = [var.api]
}

run "plain_http_base_url_is_refused" {
  command = plan

  variables {
    api = { public_base_url = "http://images.example.com" }
  }

  expect_failures = [var.api]
}

run "unknown_log_level_is_refused" {
  command = plan

  variables {
    api = { log_level = "LOUD" }
  }

  expect_failures = [var.api]
}

run "empty_pool_is_refused" {
  command = plan

  variables {
    api = { database_pool_size = 0 }
  }

  expect_failures = [var.api]
}

run "high_concurrency_of_the_processor_is_refused" {
  command = plan

  variables {
    processor = { concurrency = 40 }
  }

  expect_failures = [var.processor]
}

run "more_workers_than_requests_are_refused" {
  command = plan

  variables {
    processor = { worker_count = 3 }
  }

  expect_failures = [var.processor]
}

run "too_little_memory_for_the_workers_is_refused" {
  command = plan

  variables {
    processor = { memory_mib = 1024 }
  }

  expect_failures = [var.processor]
}

run "edge_without_a_domain_is_refused" {
  command = plan

  variables {
    edge = { enabled = true }
  }

  expect_failures = [var.edge]
}

run "malformed_key_is_refused" {
  command = plan

  variables {
    kms_key = "my-key"
  }

  expect_failures = [var.kms_key]
}

run "half_a_day_in_the_trash_is_refused" {
  command = plan

  variables {
    storage = { trash_days = 0.5 }
  }

  expect_failures = [var.storage]
}

run "zone_is_refused" {
  command = plan

  variables {
    region = "europe-west1-b"
  }

  expect_failures = [var.region]
}

run "malformed_project_is_refused" {
  command = plan

  variables {
    project_id = "Example"
  }

  expect_failures = [var.project_id]
}

run "model_path_is_a_bucket" {
  command = plan

  variables {
    processor = { model_path = "/models/labels" }
  }

  expect_failures = [var.processor]
}

run "other_endpoint_of_vision_is_refused" {
  command = plan

  variables {
    vision = { enabled = true, endpoint = "vision.example.com" }
  }

  expect_failures = [var.vision]
}

run "embedding_model_path_is_a_bucket" {
  command = plan

  variables {
    processor = { max_instances = 2, embedding_model_path = "/models/embedding" }
  }

  expect_failures = [var.processor]
}

run "models_in_two_buckets_are_refused" {
  command = plan

  variables {
    processor = { max_instances = 2, model_path = "gs://example-models/labels", embedding_model_path = "gs://other-models/embedding" }
  }

  expect_failures = [var.processor]
}

run "delivery_of_less_than_a_gibibyte_is_refused" {
  command = plan

  variables {
    delivery = { memory_mib = 1023 }
  }

  expect_failures = [var.delivery]
}

run "too_little_memory_for_two_workers_of_delivery_is_refused" {
  command = plan

  variables {
    delivery = { memory_mib = 1599, worker_count = 2 }
  }

  expect_failures = [var.delivery]
}

run "delivery_without_a_worker_is_refused" {
  command = plan

  variables {
    delivery = { worker_count = 0 }
  }

  expect_failures = [var.delivery]
}

run "empty_pool_of_delivery_is_refused" {
  command = plan

  variables {
    delivery = { database_pool_size = 0 }
  }

  expect_failures = [var.delivery]
}

run "path_in_delivery_addresses_is_refused" {
  command = plan

  variables {
    delivery = { public_base_url = "https://pictures.example.com/i" }
  }

  expect_failures = [var.delivery]
}

run "half_a_byte_a_month_is_refused" {
  command = plan

  variables {
    delivery = { bytes_per_month = 0.5 }
  }

  expect_failures = [var.delivery]
}

run "unknown_log_level_of_delivery_is_refused" {
  command = plan

  variables {
    delivery = { log_level = "LOUD" }
  }

  expect_failures = [var.delivery]
}

run "exclusive_delivery_with_addresses_on_another_host_is_refused" {
  command = plan

  variables {
    edge = { enabled = true, domains = ["images.example.com"], delivery = { domain = "pictures.example.com", exclusive = true } }
  }

  expect_failures = [var.edge]
}

run "host_for_a_delivery_that_is_not_there_is_refused" {
  command = plan

  variables {
    images = {
      api       = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      processor = "europe-west1-docker.pkg.dev/example-project/images/image-processor@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    }
    edge = { enabled = true, domains = ["images.example.com"], delivery = { domain = "pictures.example.com" } }
  }

  expect_failures = [var.edge]
}

run "host_of_delivery_without_a_load_balancer_is_refused" {
  command = plan

  variables {
    edge = { delivery = { domain = "pictures.example.com" } }
  }

  expect_failures = [var.edge]
}
