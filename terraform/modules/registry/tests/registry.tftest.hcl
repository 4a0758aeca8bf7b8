mock_provider "google" {}

variables {
  project_id = "example-project"
  region     = "europe-west1"
}

run "example_plans" {
  command = plan

  module {
    source = "./example"
  }
}

run "images_are_kept_here" {
  command = plan

  assert {
    condition     = google_artifact_registry_repository.this.format == "DOCKER"
    error_message = "Another format."
  }
}

run "tags_cannot_be_moved" {
  command = plan

  assert {
    condition     = google_artifact_registry_repository.this.docker_config[0].immutable_tags
    error_message = "A tag can be moved."
  }
}

run "images_are_scanned" {
  command = plan

  assert {
    condition     = google_artifact_registry_repository.this.vulnerability_scanning_config[0].enablement_config == "INHERITED"
    error_message = "Images are not scanned."
  }
}

run "newest_versions_are_kept" {
  command = plan

  assert {
    condition     = length([for policy in google_artifact_registry_repository.this.cleanup_policies : policy if policy.action == "KEEP" && try(policy.most_recent_versions[0].keep_count, 0) == 20]) == 1
    error_message = "The newest versions are not kept."
  }
}

run "old_versions_are_deleted" {
  command = plan

  assert {
    condition     = length([for policy in google_artifact_registry_repository.this.cleanup_policies : policy if policy.action == "DELETE" && try(policy.condition[0].older_than, "") == "7776000s"]) == 1
    error_message = "Old versions are kept for good."
  }
}

run "cleanup_is_real" {
  command = plan

  assert {
    condition     = google_artifact_registry_repository.this.cleanup_policy_dry_run == false
    error_message = "The cleanup only pretends."
  }
}

run "url_names_project_and_region" {
  command = plan

  assert {
    condition     = output.url == "europe-west1-docker.pkg.dev/example-project/images"
    error_message = "Another URL."
  }
}

run "a_key_of_ones_own_is_used" {
  command = plan

  variables {
    kms_key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
  }

  assert {
    condition     = google_artifact_registry_repository.this.kms_key_name == var.kms_key
    error_message = "The key is not used."
  }
}

run "one_version_is_refused" {
  command = plan

  variables {
    cleanup = { kept_versions = 1 }
  }

  expect_failures = [var.cleanup]
}

run "no_days_are_refused" {
  command = plan

  variables {
    cleanup = { delete_after_days = 0 }
  }

  expect_failures = [var.cleanup]
}

run "capital_name_is_refused" {
  command = plan

  variables {
    repository_id = "Images"
  }

  expect_failures = [var.repository_id]
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
