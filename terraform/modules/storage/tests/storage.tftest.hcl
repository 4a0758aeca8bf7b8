mock_provider "google" {}

variables {
  project_id  = "example-project"
  location    = "EUROPE-WEST1"
  name_prefix = "example-project"
}

run "example_plans" {
  command = plan

  module {
    source = "./example"
  }
}

run "originals_take_no_object_rules" {
  command = plan

  assert {
    condition     = google_storage_bucket.originals.uniform_bucket_level_access
    error_message = "Objects may have rules of their own."
  }
}

run "originals_are_never_public" {
  command = plan

  assert {
    condition     = google_storage_bucket.originals.public_access_prevention == "enforced"
    error_message = "The bucket could be made public."
  }
}

run "originals_can_be_brought_back" {
  command = plan

  assert {
    condition     = google_storage_bucket.originals.soft_delete_policy[0].retention_duration_seconds == 604800
    error_message = "What is deleted is gone at once."
  }
}

run "originals_keep_older_generations" {
  command = plan

  assert {
    condition     = google_storage_bucket.originals.versioning[0].enabled
    error_message = "What is overwritten is gone at once."
  }
}

run "originals_survive_a_destroy" {
  command = plan

  assert {
    condition     = google_storage_bucket.originals.force_destroy == false
    error_message = "A destroy empties the bucket."
  }
}

run "originals_are_encrypted_with_the_key" {
  command = plan

  variables {
    kms_key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
  }

  assert {
    condition     = google_storage_bucket.originals.encryption[0].default_kms_key_name == var.kms_key
    error_message = "The key is not used."
  }
}

run "derivatives_take_no_object_rules" {
  command = plan

  assert {
    condition     = google_storage_bucket.derivatives.uniform_bucket_level_access
    error_message = "Objects may have rules of their own."
  }
}

run "derivatives_are_never_public" {
  command = plan

  assert {
    condition     = google_storage_bucket.derivatives.public_access_prevention == "enforced"
    error_message = "The bucket could be made public."
  }
}

run "derivatives_are_not_paid_for_after_they_are_removed" {
  command = plan

  assert {
    condition     = google_storage_bucket.derivatives.soft_delete_policy[0].retention_duration_seconds == 0 && google_storage_bucket.derivatives.versioning[0].enabled == false
    error_message = "What can be made again is kept and paid for."
  }
}

run "derivatives_survive_a_destroy" {
  command = plan

  assert {
    condition     = google_storage_bucket.derivatives.force_destroy == false
    error_message = "A destroy empties the bucket."
  }
}

run "derivatives_are_encrypted_with_the_key" {
  command = plan

  variables {
    kms_key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
  }

  assert {
    condition     = google_storage_bucket.derivatives.encryption[0].default_kms_key_name == var.kms_key
    error_message = "The key is not used."
  }
}

run "access_logs_take_no_object_rules" {
  command = plan

  assert {
    condition     = google_storage_bucket.access_logs.uniform_bucket_level_access
    error_message = "Objects may have rules of their own."
  }
}

run "access_logs_are_never_public" {
  command = plan

  assert {
    condition     = google_storage_bucket.access_logs.public_access_prevention == "enforced"
    error_message = "The bucket could be made public."
  }
}

run "access_logs_can_be_brought_back" {
  command = plan

  assert {
    condition     = google_storage_bucket.access_logs.soft_delete_policy[0].retention_duration_seconds == 604800
    error_message = "What is deleted is gone at once."
  }
}

run "access_logs_keep_older_generations" {
  command = plan

  assert {
    condition     = google_storage_bucket.access_logs.versioning[0].enabled
    error_message = "What is overwritten is gone at once."
  }
}

run "access_logs_survive_a_destroy" {
  command = plan

  assert {
    condition     = google_storage_bucket.access_logs.force_destroy == false
    error_message = "A destroy empties the bucket."
  }
}

run "access_logs_are_encrypted_with_the_key" {
  command = plan

  variables {
    kms_key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
  }

  assert {
    condition     = google_storage_bucket.access_logs.encryption[0].default_kms_key_name == var.kms_key
    error_message = "The key is not used."
  }
}

run "originals_give_up_unfinished_uploads" {
  command = plan

  assert {
    condition     = length([for rule in google_storage_bucket.originals.lifecycle_rule : rule if one(rule.action).type == "AbortIncompleteMultipartUpload" && one(rule.condition).age == 7]) == 1
    error_message = "Parts of unfinished uploads are kept for good."
  }
}

run "originals_log_their_access" {
  command = plan

  assert {
    condition     = google_storage_bucket.originals.logging[0].log_bucket == google_storage_bucket.access_logs.name
    error_message = "Access is not logged."
  }
}

run "derivatives_give_up_unfinished_uploads" {
  command = plan

  assert {
    condition     = length([for rule in google_storage_bucket.derivatives.lifecycle_rule : rule if one(rule.action).type == "AbortIncompleteMultipartUpload" && one(rule.condition).age == 7]) == 1
    error_message = "Parts of unfinished uploads are kept for good."
  }
}

run "derivatives_log_their_access" {
  command = plan

  assert {
    condition     = google_storage_bucket.derivatives.logging[0].log_bucket == google_storage_bucket.access_logs.name
    error_message = "Access is not logged."
  }
}

run "older_originals_go_after_a_month" {
  command = plan

  assert {
    condition     = length([for rule in google_storage_bucket.originals.lifecycle_rule : rule if one(rule.action).type == "Delete" && one(rule.condition).days_since_noncurrent_time == 30 && one(rule.condition).with_state == "ARCHIVED"]) == 1
    error_message = "Older generations are kept for good."
  }
}

run "live_originals_are_never_deleted_by_age" {
  command = plan

  assert {
    condition     = alltrue([for rule in google_storage_bucket.originals.lifecycle_rule : one(rule.action).type != "Delete" || one(rule.condition).with_state == "ARCHIVED"])
    error_message = "A rule deletes live originals."
  }
}

run "live_derivatives_are_never_deleted_by_age" {
  command = plan

  assert {
    condition     = alltrue([for rule in google_storage_bucket.derivatives.lifecycle_rule : one(rule.action).type != "Delete" || one(rule.condition).with_state == "ARCHIVED"])
    error_message = "A rule deletes live derivatives."
  }
}

run "access_logs_go_after_their_time" {
  command = plan

  assert {
    condition     = length([for rule in google_storage_bucket.access_logs.lifecycle_rule : rule if one(rule.condition).age == 90]) == 1
    error_message = "Access logs are kept for good."
  }
}

run "no_page_may_upload_by_default" {
  command = plan

  assert {
    condition     = length(google_storage_bucket.originals.cors) == 0
    error_message = "Pages of other origins may upload."
  }
}

run "named_pages_may_upload" {
  command = plan

  variables {
    direct_upload_origins = ["https://photos.example.com"]
  }

  assert {
    condition     = google_storage_bucket.originals.cors[0].origin == tolist(["https://photos.example.com"])
    error_message = "The named origin may not upload."
  }
}

# A page that was interrupted reads there how much has arrived.
run "pages_read_how_much_has_arrived" {
  command = plan

  variables {
    direct_upload_origins = ["https://photos.example.com"]
  }

  assert {
    condition     = contains(google_storage_bucket.originals.cors[0].response_header, "Range")
    error_message = "A page cannot resume an upload: the header Range is not exposed."
  }
}

run "pages_may_not_read" {
  command = plan

  variables {
    direct_upload_origins = ["https://photos.example.com"]
  }

  assert {
    condition     = !contains(google_storage_bucket.originals.cors[0].method, "GET") && !contains(google_storage_bucket.originals.cors[0].method, "DELETE")
    error_message = "Pages may do more than upload."
  }
}

run "every_origin_is_refused" {
  command = plan

  variables {
    direct_upload_origins = ["*"]
  }

  expect_failures = [var.direct_upload_origins]
}

run "origin_with_a_path_is_refused" {
  command = plan

  variables {
    direct_upload_origins = ["https://example.com/app"]
  }

  expect_failures = [var.direct_upload_origins]
}

run "short_soft_delete_is_refused" {
  command = plan

  variables {
    retention = { soft_delete_days = 0 }
  }

  expect_failures = [var.retention]
}

run "no_retention_of_logs_is_refused" {
  command = plan

  variables {
    retention = { access_logs_days = 0 }
  }

  expect_failures = [var.retention]
}

run "reserved_word_is_refused" {
  command = plan

  variables {
    name_prefix = "my-google-images"
  }

  expect_failures = [var.name_prefix]
}

run "lower_case_location_is_refused" {
  command = plan

  variables {
    location = "europe-west1"
  }

  expect_failures = [var.location]
}

run "malformed_project_is_refused" {
  command = plan

  variables {
    project_id = "Example"
  }

  expect_failures = [var.project_id]
}

run "scratch_takes_no_object_rules" {
  command = plan

  assert {
    condition     = google_storage_bucket.scratch.uniform_bucket_level_access
    error_message = "Objects may have rules of their own."
  }
}

run "scratch_is_never_public" {
  command = plan

  assert {
    condition     = google_storage_bucket.scratch.public_access_prevention == "enforced"
    error_message = "The bucket could be made public."
  }
}

run "scratch_keeps_nothing_that_is_removed" {
  command = plan

  assert {
    condition     = google_storage_bucket.scratch.soft_delete_policy[0].retention_duration_seconds == 0 && google_storage_bucket.scratch.versioning[0].enabled == false
    error_message = "What is removed is kept."
  }
}

run "scratch_goes_after_a_day" {
  command = plan

  assert {
    condition     = length([for rule in google_storage_bucket.scratch.lifecycle_rule : rule if one(rule.action).type == "Delete" && one(rule.condition).age == 1 && one(rule.condition).with_state == "ANY"]) == 1
    error_message = "Files that were only analysed are kept."
  }
}

run "scratch_gives_up_unfinished_uploads" {
  command = plan

  assert {
    condition     = length([for rule in google_storage_bucket.scratch.lifecycle_rule : rule if one(rule.action).type == "AbortIncompleteMultipartUpload" && one(rule.condition).age == 1]) == 1
    error_message = "Parts of unfinished uploads are kept for good."
  }
}

run "scratch_logs_its_access" {
  command = plan

  assert {
    condition     = google_storage_bucket.scratch.logging[0].log_bucket == google_storage_bucket.access_logs.name
    error_message = "Access is not logged."
  }
}

run "scratch_survives_a_destroy" {
  command = plan

  assert {
    condition     = google_storage_bucket.scratch.force_destroy == false
    error_message = "A destroy empties the bucket."
  }
}

run "scratch_is_encrypted_with_the_key" {
  command = plan

  variables {
    kms_key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
  }

  assert {
    condition     = google_storage_bucket.scratch.encryption[0].default_kms_key_name == var.kms_key
    error_message = "The key is not used."
  }
}
