mock_provider "google" {}

variables {
  project_id = "example-project"
  region     = "europe-west1"
  name       = "image-migrate"
  purpose    = "Brings the schema to the newest revision."
  container  = { image = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000", command = ["image-manager-admin"], arguments = ["migrate"], environment = { DATABASE_NAME = "image_manager" } }
  run        = { timeout_seconds = 1200 }
  network    = { network_id = "projects/p/global/networks/n", subnet_id = "projects/p/regions/r/subnetworks/s" }
}

run "example_plans" {
  command = plan

  module {
    source = "./example"
  }
}

run "account_is_the_jobs_own" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_job.this.template[0].template[0].service_account == "image-migrate@example-project.iam.gserviceaccount.com"
    error_message = "The job runs as another account."
  }
}

run "one_task_runs" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_job.this.template[0].task_count == 1 && google_cloud_run_v2_job.this.template[0].parallelism == 1
    error_message = "More than one task runs."
  }
}

run "nothing_is_tried_again_by_default" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_job.this.template[0].template[0].max_retries == 0
    error_message = "A failed run starts again by itself."
  }
}

run "timeout_is_said" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_job.this.template[0].template[0].timeout == "1200s"
    error_message = "Another timeout."
  }
}

run "only_private_ranges_go_through_the_network" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_job.this.template[0].template[0].vpc_access[0].egress == "PRIVATE_RANGES_ONLY"
    error_message = "All traffic goes through the network."
  }
}

run "command_is_given" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_job.this.template[0].template[0].containers[0].command == tolist(["image-manager-admin"]) && google_cloud_run_v2_job.this.template[0].template[0].containers[0].args == tolist(["migrate"])
    error_message = "Another command."
  }
}

run "environment_is_given" {
  command = plan

  assert {
    condition     = { for variable in google_cloud_run_v2_job.this.template[0].template[0].containers[0].env : variable.name => variable.value } == { DATABASE_NAME = "image_manager" }
    error_message = "Another environment."
  }
}

run "job_is_protected_by_default" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_job.this.deletion_protection
    error_message = "A plan may delete the job."
  }
}

run "tag_as_image_is_refused" {
  command = plan

  variables {
    container = { image = "europe-west1-docker.pkg.dev/p/images/image-api:latest", command = ["image-manager-admin"], arguments = ["migrate"], environment = { DATABASE_NAME = "image_manager" } }
  }

  expect_failures = [var.container]
}

run "lower_case_variable_is_refused" {
  command = plan

  variables {
    container = { image = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000", command = ["image-manager-admin"], arguments = ["migrate"], environment = { database = "x" } }
  }

  expect_failures = [var.container]
}

run "no_time_is_refused" {
  command = plan

  variables {
    run = { timeout_seconds = 0 }
  }

  expect_failures = [var.run]
}

run "endless_retries_are_refused" {
  command = plan

  variables {
    run = { timeout_seconds = 60, max_retries = 11 }
  }

  expect_failures = [var.run]
}

run "short_name_is_refused" {
  command = plan

  variables {
    name = "job"
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
