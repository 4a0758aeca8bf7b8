mock_provider "google" {}

variables {
  project_id = "example-project"
  region     = "europe-west1"
  name       = "image-api"
  purpose    = "Answers the HTTP API."
  container  = { image = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000", command = ["python", "-m", "image_api"], environment = { LOG_LEVEL = "INFO" } }
  scaling    = { max_instances = 4, concurrency = 40, request_timeout_seconds = 60 }
  access     = { ingress = "INGRESS_TRAFFIC_ALL", public = true }
  network    = { network_id = "projects/p/global/networks/n", subnet_id = "projects/p/regions/r/subnetworks/s" }
}

run "example_plans" {
  command = plan

  module {
    source = "./example"
  }
}

run "account_is_the_services_own" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].service_account == "image-api@example-project.iam.gserviceaccount.com" && google_service_account.this.account_id == "image-api"
    error_message = "The service runs as another account."
  }
}

run "startup_probe_asks_whether_it_lives" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].startup_probe[0].http_get[0].path == "/health/live"
    error_message = "Another startup probe."
  }
}

run "liveness_probe_asks_whether_it_lives" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].liveness_probe[0].http_get[0].path == "/health/live"
    error_message = "Another liveness probe."
  }
}

run "readiness_probe_asks_whether_it_is_ready" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].readiness_probe[0].http_get[0].path == "/health/ready"
    error_message = "Another readiness probe."
  }
}

run "no_probe_path_ends_in_z" {
  command = plan

  assert {
    condition     = alltrue([for probe in [google_cloud_run_v2_service.this.template[0].containers[0].startup_probe[0], google_cloud_run_v2_service.this.template[0].containers[0].liveness_probe[0], google_cloud_run_v2_service.this.template[0].containers[0].readiness_probe[0]] : !endswith(probe.http_get[0].path, "z")])
    error_message = "Cloud Run keeps paths that end in z for itself."
  }
}

run "health_checks_are_on" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].health_check_disabled == false
    error_message = "Health checks are off."
  }
}

run "cpu_is_taken_between_requests" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].resources[0].cpu_idle
    error_message = "The CPU is paid for between requests."
  }
}

run "cpu_is_kept_where_asked" {
  command = plan

  variables {
    container = { image = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000", command = ["python", "-m", "image_api"], environment = { LOG_LEVEL = "INFO" }, cpu_always_allocated = true }
  }

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].resources[0].cpu_idle == false
    error_message = "The CPU is taken away between requests."
  }
}

run "start_is_boosted" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].resources[0].startup_cpu_boost
    error_message = "No boost at the start."
  }
}

run "limits_are_said" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].resources[0].limits == tomap({ cpu = "1", memory = "512Mi" })
    error_message = "Other limits."
  }
}

run "service_is_bounded" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.scaling[0].max_instance_count == 4
    error_message = "The service has no most of instances."
  }
}

run "revision_is_bounded" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].scaling[0].max_instance_count == 4
    error_message = "A revision has no most of instances."
  }
}

run "minimum_is_the_services" {
  command = plan

  variables {
    scaling = { max_instances = 4, concurrency = 40, request_timeout_seconds = 60, min_instances = 2 }
  }

  assert {
    condition     = google_cloud_run_v2_service.this.scaling[0].min_instance_count == 2
    error_message = "The minimum is not the service's."
  }
}

run "concurrency_is_said" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].max_instance_request_concurrency == 40
    error_message = "Another concurrency."
  }
}

run "timeout_is_said" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].timeout == "60s"
    error_message = "Another timeout."
  }
}

run "only_private_ranges_go_through_the_network" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].vpc_access[0].egress == "PRIVATE_RANGES_ONLY"
    error_message = "All traffic goes through the network."
  }
}

run "network_is_reached_directly" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].vpc_access[0].connector == null && google_cloud_run_v2_service.this.template[0].vpc_access[0].network_interfaces[0].subnetwork == var.network.subnet_id
    error_message = "The network is not reached directly."
  }
}

run "ingress_is_as_asked" {
  command = plan

  variables {
    access = { ingress = "INGRESS_TRAFFIC_INTERNAL_ONLY" }
  }

  assert {
    condition     = google_cloud_run_v2_service.this.ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    error_message = "Another ingress."
  }
}

run "identity_is_asked_for_by_default" {
  command = plan

  variables {
    access = { ingress = "INGRESS_TRAFFIC_ALL" }
  }

  assert {
    condition     = google_cloud_run_v2_service.this.invoker_iam_disabled == false
    error_message = "Anybody may call."
  }
}

run "public_service_asks_for_no_identity" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.invoker_iam_disabled
    error_message = "Callers need an identity."
  }
}

run "audiences_are_taken" {
  command = plan

  variables {
    access = { ingress = "INGRESS_TRAFFIC_ALL", custom_audiences = ["https://a.internal"] }
  }

  assert {
    condition     = tolist(google_cloud_run_v2_service.this.custom_audiences) == tolist(["https://a.internal"])
    error_message = "Another audience."
  }
}

run "environment_is_given" {
  command = plan

  assert {
    condition     = { for variable in google_cloud_run_v2_service.this.template[0].containers[0].env : variable.name => variable.value } == { LOG_LEVEL = "INFO" }
    error_message = "Another environment."
  }
}

run "second_generation_runs_it" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].execution_environment == "EXECUTION_ENVIRONMENT_GEN2"
    error_message = "Another execution environment."
  }
}

run "service_is_protected_by_default" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.deletion_protection
    error_message = "A plan may delete the service."
  }
}

run "tag_as_image_is_refused" {
  command = plan

  variables {
    container = { image = "europe-west1-docker.pkg.dev/p/images/image-api:latest", command = ["python", "-m", "image_api"], environment = { LOG_LEVEL = "INFO" } }
  }

  expect_failures = [var.container]
}

run "port_in_the_environment_is_refused" {
  command = plan

  variables {
    container = { image = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000", command = ["python", "-m", "image_api"], environment = { PORT = "80" } }
  }

  expect_failures = [var.container]
}

run "lower_case_variable_is_refused" {
  command = plan

  variables {
    container = { image = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000", command = ["python", "-m", "image_api"], environment = { log_level = "INFO" } }
  }

  expect_failures = [var.container]
}

run "fraction_of_a_cpu_is_refused" {
  command = plan

  variables {
    container = { image = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000", command = ["python", "-m", "image_api"], environment = { LOG_LEVEL = "INFO" }, cpu = "0.5" }
  }

  expect_failures = [var.container]
}

run "memory_without_unit_is_refused" {
  command = plan

  variables {
    container = { image = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000", command = ["python", "-m", "image_api"], environment = { LOG_LEVEL = "INFO" }, memory = "512" }
  }

  expect_failures = [var.container]
}

run "no_instances_are_refused" {
  command = plan

  variables {
    scaling = { max_instances = 0, concurrency = 40, request_timeout_seconds = 60 }
  }

  expect_failures = [var.scaling]
}

run "unlimited_instances_are_refused" {
  command = plan

  variables {
    scaling = { max_instances = 5000, concurrency = 40, request_timeout_seconds = 60 }
  }

  expect_failures = [var.scaling]
}

run "minimum_over_maximum_is_refused" {
  command = plan

  variables {
    scaling = { max_instances = 4, concurrency = 40, request_timeout_seconds = 60, min_instances = 5 }
  }

  expect_failures = [var.scaling]
}

run "no_concurrency_is_refused" {
  command = plan

  variables {
    scaling = { max_instances = 4, concurrency = 0, request_timeout_seconds = 60 }
  }

  expect_failures = [var.scaling]
}

run "timeout_over_an_hour_is_refused" {
  command = plan

  variables {
    scaling = { max_instances = 4, concurrency = 40, request_timeout_seconds = 4000 }
  }

  expect_failures = [var.scaling]
}

run "unknown_ingress_is_refused" {
  command = plan

  variables {
    access = { ingress = "all" }
  }

  expect_failures = [var.access]
}

run "audience_that_is_no_url_is_refused" {
  command = plan

  variables {
    access = { ingress = "INGRESS_TRAFFIC_ALL", custom_audiences = ["image-processor"] }
  }

  expect_failures = [var.access]
}

run "short_name_is_refused" {
  command = plan

  variables {
    name = "api"
  }

  expect_failures = [var.name]
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
