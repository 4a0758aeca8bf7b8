mock_provider "google" {}

variables {
  project_id = "example-project"
  region     = "europe-west1"
  secrets    = { admin-key = "The first admin key." }
}

run "example_plans" {
  command = plan

  module {
    source = "./example"
  }
}

run "secret_stays_in_its_region" {
  command = plan

  assert {
    condition     = google_secret_manager_secret.this["admin-key"].replication[0].user_managed[0].replicas[0].location == "europe-west1" && length(google_secret_manager_secret.this["admin-key"].replication[0].auto) == 0
    error_message = "The secret leaves its region."
  }
}

run "destroyed_versions_can_be_brought_back" {
  command = plan

  assert {
    condition     = google_secret_manager_secret.this["admin-key"].version_destroy_ttl == "2592000s"
    error_message = "A destroyed version is gone at once."
  }
}

run "secret_is_protected_by_default" {
  command = plan

  assert {
    condition     = google_secret_manager_secret.this["admin-key"].deletion_protection
    error_message = "A plan may delete the secret."
  }
}

run "full_name_is_told" {
  command = plan

  assert {
    condition     = output.secret_names["admin-key"] == "projects/example-project/secrets/admin-key"
    error_message = "Another name."
  }
}

run "a_key_of_ones_own_is_used" {
  command = plan

  variables {
    kms_key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
  }

  assert {
    condition     = google_secret_manager_secret.this["admin-key"].replication[0].user_managed[0].replicas[0].customer_managed_encryption[0].kms_key_name == var.kms_key
    error_message = "The key is not used."
  }
}

run "secret_without_purpose_is_refused" {
  command = plan

  variables {
    secrets = { admin-key = "" }
  }

  expect_failures = [var.secrets]
}

run "capital_name_is_refused" {
  command = plan

  variables {
    secrets = { ADMIN_KEY = "The first admin key." }
  }

  expect_failures = [var.secrets]
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
