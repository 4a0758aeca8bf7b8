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

run "grants_on_each_bucket_are_exact" {
  command = plan

  assert {
    condition = toset([for grant in google_storage_bucket_iam_member.table : "${grant.member} ${grant.role} ${grant.bucket}"]) == toset([
      "group:cloud-storage-analytics@google.com roles/storage.objectCreator example-project-access-logs",
      "serviceAccount:image-api@example-project.iam.gserviceaccount.com roles/storage.objectCreator example-project-originals",
      "serviceAccount:image-api@example-project.iam.gserviceaccount.com roles/storage.objectViewer example-project-derivatives",
      "serviceAccount:image-api@example-project.iam.gserviceaccount.com roles/storage.objectViewer example-project-originals",
      "serviceAccount:image-api@example-project.iam.gserviceaccount.com roles/storage.objectUser example-project-scratch",
      "serviceAccount:image-delivery@example-project.iam.gserviceaccount.com roles/storage.objectCreator example-project-derivatives",
      "serviceAccount:image-delivery@example-project.iam.gserviceaccount.com roles/storage.objectViewer example-project-derivatives",
      "serviceAccount:image-delivery@example-project.iam.gserviceaccount.com roles/storage.objectViewer example-project-originals",
      "serviceAccount:image-processor@example-project.iam.gserviceaccount.com roles/storage.objectCreator example-project-derivatives",
      "serviceAccount:image-processor@example-project.iam.gserviceaccount.com roles/storage.objectViewer example-project-derivatives",
      "serviceAccount:image-processor@example-project.iam.gserviceaccount.com roles/storage.objectViewer example-project-originals",
      "serviceAccount:image-processor@example-project.iam.gserviceaccount.com roles/storage.objectUser example-project-scratch",
      "serviceAccount:image-tasks@example-project.iam.gserviceaccount.com roles/storage.objectUser example-project-derivatives",
      "serviceAccount:image-tasks@example-project.iam.gserviceaccount.com roles/storage.objectUser example-project-originals",
    ])
    error_message = "The grants on each bucket are others."
  }
}

run "grants_on_each_topic_are_exact" {
  command = plan

  assert {
    condition = toset([for grant in google_pubsub_topic_iam_member.table : "${grant.member} ${grant.role} ${grant.topic}"]) == toset([
      "serviceAccount:image-api@example-project.iam.gserviceaccount.com roles/pubsub.publisher image-analyses",
      "serviceAccount:image-api@example-project.iam.gserviceaccount.com roles/pubsub.publisher image-events",
      "serviceAccount:image-api@example-project.iam.gserviceaccount.com roles/pubsub.publisher image-tasks",
      "serviceAccount:image-api@example-project.iam.gserviceaccount.com roles/pubsub.publisher image-renditions",
      "serviceAccount:image-api@example-project.iam.gserviceaccount.com roles/pubsub.publisher image-uploads",
      "serviceAccount:image-processor@example-project.iam.gserviceaccount.com roles/pubsub.publisher image-analyses",
      "serviceAccount:image-processor@example-project.iam.gserviceaccount.com roles/pubsub.publisher image-events",
      "serviceAccount:image-processor@example-project.iam.gserviceaccount.com roles/pubsub.publisher image-renditions",
      "serviceAccount:image-delivery@example-project.iam.gserviceaccount.com roles/pubsub.publisher image-renditions",
      "serviceAccount:image-tasks@example-project.iam.gserviceaccount.com roles/pubsub.publisher image-analyses",
      "serviceAccount:image-tasks@example-project.iam.gserviceaccount.com roles/pubsub.publisher image-events",
      "serviceAccount:image-tasks@example-project.iam.gserviceaccount.com roles/pubsub.publisher image-renditions",
      "serviceAccount:image-tasks@example-project.iam.gserviceaccount.com roles/pubsub.publisher image-tasks",
      "serviceAccount:image-tasks@example-project.iam.gserviceaccount.com roles/pubsub.publisher image-uploads",
      "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com roles/pubsub.publisher image-dead-letters",
      "serviceAccount:service-123456789012@gs-project-accounts.iam.gserviceaccount.com roles/pubsub.publisher image-uploads",
    ])
    error_message = "The grants on each topic are others."
  }
}

run "grants_on_each_subscription_are_exact" {
  command = plan

  assert {
    condition = toset([for grant in google_pubsub_subscription_iam_member.table : "${grant.member} ${grant.role} ${grant.subscription}"]) == toset([
      "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com roles/pubsub.subscriber image-analyses-push",
      "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com roles/pubsub.subscriber image-renditions-push",
      "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com roles/pubsub.subscriber image-uploads-push",
    ])
    error_message = "The grants on each subscription are others."
  }
}

run "grants_on_each_secret_are_exact" {
  command = plan

  assert {
    condition = toset([for grant in google_secret_manager_secret_iam_member.table : "${grant.member} ${grant.role} ${grant.secret_id}"]) == toset([
      "serviceAccount:image-api@example-project.iam.gserviceaccount.com roles/secretmanager.secretAccessor projects/example-project/secrets/image-manager-token-signing-keys",
      "serviceAccount:image-api@example-project.iam.gserviceaccount.com roles/secretmanager.secretAccessor projects/example-project/secrets/image-manager-delivery-master",
      "serviceAccount:image-delivery@example-project.iam.gserviceaccount.com roles/secretmanager.secretAccessor projects/example-project/secrets/image-manager-delivery-master",
      "serviceAccount:image-migrate@example-project.iam.gserviceaccount.com roles/secretmanager.secretAccessor projects/example-project/secrets/image-manager-token-signing-keys",
      "serviceAccount:image-migrate@example-project.iam.gserviceaccount.com roles/secretmanager.secretAccessor projects/example-project/secrets/image-manager-delivery-master",
      "serviceAccount:image-migrate@example-project.iam.gserviceaccount.com roles/secretmanager.secretVersionAdder projects/example-project/secrets/image-manager-delivery-master",
      "serviceAccount:image-migrate@example-project.iam.gserviceaccount.com roles/secretmanager.secretVersionAdder projects/example-project/secrets/image-manager-admin-key",
      "serviceAccount:image-migrate@example-project.iam.gserviceaccount.com roles/secretmanager.secretVersionAdder projects/example-project/secrets/image-manager-token-signing-keys",
      "serviceAccount:image-api@example-project.iam.gserviceaccount.com roles/secretmanager.secretAccessor projects/example-project/secrets/image-manager-purged-hash-master",
      "serviceAccount:image-tasks@example-project.iam.gserviceaccount.com roles/secretmanager.secretAccessor projects/example-project/secrets/image-manager-purged-hash-master",
      "serviceAccount:image-tasks@example-project.iam.gserviceaccount.com roles/secretmanager.secretAccessor projects/example-project/secrets/image-manager-webhook-master",
      "serviceAccount:image-migrate@example-project.iam.gserviceaccount.com roles/secretmanager.secretAccessor projects/example-project/secrets/image-manager-purged-hash-master",
      "serviceAccount:image-migrate@example-project.iam.gserviceaccount.com roles/secretmanager.secretVersionAdder projects/example-project/secrets/image-manager-purged-hash-master",
      "serviceAccount:image-api@example-project.iam.gserviceaccount.com roles/secretmanager.secretAccessor projects/example-project/secrets/image-manager-upload-session-master",
      "serviceAccount:image-api@example-project.iam.gserviceaccount.com roles/secretmanager.secretAccessor projects/example-project/secrets/image-manager-webhook-master",
      "serviceAccount:image-migrate@example-project.iam.gserviceaccount.com roles/secretmanager.secretAccessor projects/example-project/secrets/image-manager-upload-session-master",
      "serviceAccount:image-migrate@example-project.iam.gserviceaccount.com roles/secretmanager.secretAccessor projects/example-project/secrets/image-manager-webhook-master",
      "serviceAccount:image-migrate@example-project.iam.gserviceaccount.com roles/secretmanager.secretVersionAdder projects/example-project/secrets/image-manager-upload-session-master",
      "serviceAccount:image-migrate@example-project.iam.gserviceaccount.com roles/secretmanager.secretVersionAdder projects/example-project/secrets/image-manager-webhook-master",
    ])
    error_message = "The grants on each secret are others."
  }
}

run "grants_on_each_account_are_exact" {
  command = plan

  assert {
    condition = toset([for grant in google_service_account_iam_member.table : "${grant.member} ${grant.role} ${grant.service_account_id}"]) == toset([
      "serviceAccount:github-apply@example-project.iam.gserviceaccount.com roles/iam.serviceAccountUser projects/example-project/serviceAccounts/image-api@example-project.iam.gserviceaccount.com",
      "serviceAccount:github-apply@example-project.iam.gserviceaccount.com roles/iam.serviceAccountUser projects/example-project/serviceAccounts/image-delivery@example-project.iam.gserviceaccount.com",
      "serviceAccount:github-apply@example-project.iam.gserviceaccount.com roles/iam.serviceAccountUser projects/example-project/serviceAccounts/image-migrate@example-project.iam.gserviceaccount.com",
      "serviceAccount:github-apply@example-project.iam.gserviceaccount.com roles/iam.serviceAccountUser projects/example-project/serviceAccounts/image-processor@example-project.iam.gserviceaccount.com",
      "serviceAccount:github-apply@example-project.iam.gserviceaccount.com roles/iam.serviceAccountUser projects/example-project/serviceAccounts/image-tasks@example-project.iam.gserviceaccount.com",
      "serviceAccount:github-apply@example-project.iam.gserviceaccount.com roles/iam.serviceAccountUser projects/example-project/serviceAccounts/image-push@example-project.iam.gserviceaccount.com",
      "serviceAccount:github-apply@example-project.iam.gserviceaccount.com roles/iam.serviceAccountUser projects/example-project/serviceAccounts/image-scheduler@example-project.iam.gserviceaccount.com",
      "serviceAccount:github-deploy@example-project.iam.gserviceaccount.com roles/iam.serviceAccountUser projects/example-project/serviceAccounts/image-api@example-project.iam.gserviceaccount.com",
      "serviceAccount:github-deploy@example-project.iam.gserviceaccount.com roles/iam.serviceAccountUser projects/example-project/serviceAccounts/image-delivery@example-project.iam.gserviceaccount.com",
      "serviceAccount:github-deploy@example-project.iam.gserviceaccount.com roles/iam.serviceAccountUser projects/example-project/serviceAccounts/image-migrate@example-project.iam.gserviceaccount.com",
      "serviceAccount:github-deploy@example-project.iam.gserviceaccount.com roles/iam.serviceAccountUser projects/example-project/serviceAccounts/image-processor@example-project.iam.gserviceaccount.com",
      "serviceAccount:github-deploy@example-project.iam.gserviceaccount.com roles/iam.serviceAccountUser projects/example-project/serviceAccounts/image-tasks@example-project.iam.gserviceaccount.com",
      "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com roles/iam.serviceAccountTokenCreator projects/example-project/serviceAccounts/image-push@example-project.iam.gserviceaccount.com",
    ])
    error_message = "The grants on each account are others."
  }
}

run "grants_on_each_service_are_exact" {
  command = plan

  assert {
    condition = toset([for grant in google_cloud_run_v2_service_iam_member.table : "${grant.member} ${grant.role} ${grant.name}"]) == toset([
      "serviceAccount:github-deploy@example-project.iam.gserviceaccount.com roles/run.developer image-api",
      "serviceAccount:github-deploy@example-project.iam.gserviceaccount.com roles/run.developer image-delivery",
      "serviceAccount:github-deploy@example-project.iam.gserviceaccount.com roles/run.developer image-processor",
      "serviceAccount:github-deploy@example-project.iam.gserviceaccount.com roles/run.developer image-tasks",
      "serviceAccount:image-push@example-project.iam.gserviceaccount.com roles/run.invoker image-processor",
      "serviceAccount:image-push@example-project.iam.gserviceaccount.com roles/run.invoker image-tasks",
      "serviceAccount:image-scheduler@example-project.iam.gserviceaccount.com roles/run.invoker image-tasks",
    ])
    error_message = "The grants on each service are others."
  }
}

run "grants_on_each_job_are_exact" {
  command = plan

  assert {
    condition = toset([for grant in google_cloud_run_v2_job_iam_member.table : "${grant.member} ${grant.role} ${grant.name}"]) == toset([
      "serviceAccount:github-deploy@example-project.iam.gserviceaccount.com roles/run.developer image-migrate",
      "serviceAccount:image-scheduler@example-project.iam.gserviceaccount.com roles/run.invoker image-migrate",
    ])
    error_message = "The grants on each job are others."
  }
}

run "grants_on_the_project_are_exact" {
  command = plan

  assert {
    condition = toset([for grant in google_project_iam_member.table : "${grant.member} ${grant.role}"]) == toset([
      "serviceAccount:image-api@example-project.iam.gserviceaccount.com roles/cloudsql.client",
      "serviceAccount:image-api@example-project.iam.gserviceaccount.com roles/cloudsql.instanceUser",
      "serviceAccount:image-delivery@example-project.iam.gserviceaccount.com roles/cloudsql.client",
      "serviceAccount:image-delivery@example-project.iam.gserviceaccount.com roles/cloudsql.instanceUser",
      "serviceAccount:image-migrate@example-project.iam.gserviceaccount.com roles/cloudsql.client",
      "serviceAccount:image-migrate@example-project.iam.gserviceaccount.com roles/cloudsql.instanceUser",
      "serviceAccount:image-processor@example-project.iam.gserviceaccount.com roles/cloudsql.client",
      "serviceAccount:image-processor@example-project.iam.gserviceaccount.com roles/cloudsql.instanceUser",
      "serviceAccount:image-tasks@example-project.iam.gserviceaccount.com roles/cloudsql.client",
      "serviceAccount:image-tasks@example-project.iam.gserviceaccount.com roles/cloudsql.instanceUser",
    ])
    error_message = "The grants on the project are others."
  }
}

run "grants_on_the_project_are_for_one_instance" {
  command = plan

  assert {
    condition     = alltrue([for grant in google_project_iam_member.table : grant.condition[0].expression == "resource.type == 'sqladmin.googleapis.com/Instance' && resource.name == 'projects/example-project/instances/${module.database.instance_name}'"])
    error_message = "A grant holds for every database of the project."
  }
}

run "no_token_creator_on_the_project" {
  command = plan

  assert {
    condition     = length([for grant in google_project_iam_member.table : grant if grant.role == "roles/iam.serviceAccountTokenCreator"]) == 0
    error_message = "Somebody mints tokens of every account."
  }
}

run "no_grant_to_everybody" {
  command = plan

  assert {
    condition     = length([for key, grant in local.grants : key if contains(["allUsers", "allAuthenticatedUsers"], grant.member)]) == 0
    error_message = "Everybody holds a role."
  }
}

run "push_audience_is_the_processors_own" {
  command = plan

  assert {
    condition     = contains(module.image_processor.custom_audiences, local.processor_environment["PUSH_AUDIENCE"]) && local.processor_environment["PUSH_AUDIENCE"] == "https://image-processor.example-project.internal"
    error_message = "Pushes are refused: another audience."
  }
}

run "push_is_for_the_processors_audience" {
  command = plan

  assert {
    condition     = alltrue([for push in module.events.push : push.audience == local.processor_environment["PUSH_AUDIENCE"]])
    error_message = "Pushes are refused: another audience."
  }
}

run "push_goes_to_the_processor" {
  command = plan

  assert {
    condition     = alltrue([for key, push in module.events.push : push.endpoint == "https://image-processor-abc-ew.a.run.app/push/${key}"])
    error_message = "Messages are pushed elsewhere."
  }
}

run "scheduler_names_the_same_audience" {
  command = plan

  assert {
    condition     = google_cloud_scheduler_job.sweep.http_target[0].oidc_token[0].audience == local.tasks_environment["TASKS_AUDIENCE"] && module.image_tasks[0].custom_audiences == tolist([local.tasks_environment["TASKS_AUDIENCE"]]) && local.tasks_environment["TASKS_AUDIENCE"] == "https://image-tasks.example-project.internal"
    error_message = "Sweeps are refused: another audience."
  }
}

run "scheduler_calls_the_sweep" {
  command = plan

  assert {
    condition     = google_cloud_scheduler_job.sweep.http_target[0].uri == "https://image-tasks-abc-ew.a.run.app/tasks/sweep" && google_cloud_scheduler_job.sweep.http_target[0].http_method == "POST"
    error_message = "Another route is called."
  }
}

run "scheduler_calls_every_minute" {
  command = plan

  assert {
    condition     = google_cloud_scheduler_job.sweep.schedule == "* * * * *" && google_cloud_scheduler_job.sweep.paused == false
    error_message = "Another schedule."
  }
}

run "scheduler_runs_the_job_that_removes_old_audit_events" {
  command = plan

  assert {
    condition     = google_cloud_scheduler_job.retention.http_target[0].uri == "https://run.googleapis.com/v2/projects/example-project/locations/${var.region}/jobs/image-migrate:run" && google_cloud_scheduler_job.retention.http_target[0].http_method == "POST"
    error_message = "Another job is run."
  }
}

run "scheduler_removes_old_audit_events_every_night" {
  command = plan

  assert {
    condition     = google_cloud_scheduler_job.retention.schedule == "20 3 * * *" && google_cloud_scheduler_job.retention.paused == false && google_cloud_scheduler_job.retention.retry_config[0].retry_count == 0
    error_message = "Another schedule."
  }
}

run "scheduler_runs_the_job_as_its_account" {
  command = plan

  assert {
    condition     = google_cloud_scheduler_job.retention.http_target[0].oauth_token[0].service_account_email == "image-scheduler@example-project.iam.gserviceaccount.com"
    error_message = "The job is run by another account."
  }
}

run "scheduler_signs_as_its_account" {
  command = plan

  assert {
    condition     = google_cloud_scheduler_job.sweep.http_target[0].oidc_token[0].service_account_email == local.tasks_environment["SCHEDULER_SERVICE_ACCOUNT_EMAIL"]
    error_message = "The sweep is signed by another account."
  }
}

run "push_account_is_the_one_expected" {
  command = plan

  assert {
    condition     = local.processor_environment["PUSH_SERVICE_ACCOUNT_EMAIL"] == "image-push@example-project.iam.gserviceaccount.com"
    error_message = "Another account is expected."
  }
}

run "only_new_objects_are_announced" {
  command = plan

  assert {
    condition     = google_storage_notification.originals.event_types == toset(["OBJECT_FINALIZE"])
    error_message = "Other events are announced as well."
  }
}

run "only_originals_are_announced" {
  command = plan

  assert {
    condition     = google_storage_notification.originals.bucket == "example-project-originals"
    error_message = "Processing could trigger itself."
  }
}

run "announcements_are_json" {
  command = plan

  assert {
    condition     = google_storage_notification.originals.payload_format == "JSON_API_V1"
    error_message = "The processor reads JSON."
  }
}

run "announcements_go_to_the_uploads" {
  command = plan

  assert {
    condition     = google_storage_notification.originals.topic == "projects/example-project/topics/image-uploads"
    error_message = "Announcements go elsewhere."
  }
}

run "services_and_topics_agree" {
  command = plan

  assert {
    condition     = local.api_environment["PUBSUB_UPLOADS_TOPIC"] == module.events.topic_names["uploads"] && local.processor_environment["PUBSUB_EVENTS_TOPIC"] == module.events.topic_names["events"] && local.api_environment["PUBSUB_ANALYSES_TOPIC"] == module.events.topic_names["analyses"] && alltrue([for told in [local.api_environment, local.processor_environment, local.tasks_environment, local.delivery_environment] : told["PUBSUB_RENDITIONS_TOPIC"] == module.events.topic_names["renditions"] && told["PUBSUB_TASKS_TOPIC"] == module.events.topic_names["tasks"]])
    error_message = "The services publish elsewhere."
  }
}

run "buckets_are_not_mixed_up" {
  command = plan

  assert {
    condition     = local.api_environment["IMAGE_UPLOAD_BUCKET_NAME"] == "example-project-originals" && local.processor_environment["IMAGE_DERIVATIVES_BUCKET_NAME"] == "example-project-derivatives" && local.api_environment["IMAGE_SCRATCH_BUCKET_NAME"] == "example-project-scratch"
    error_message = "A service writes into the wrong bucket."
  }
}

run "each_service_logs_in_as_itself" {
  command = plan

  assert {
    condition     = local.api_environment["DATABASE_USER"] == "image-api@example-project.iam" && local.processor_environment["DATABASE_USER"] == "image-processor@example-project.iam"
    error_message = "A service logs in as another."
  }
}

run "database_is_named_in_full" {
  command = plan

  assert {
    condition     = local.api_environment["CLOUD_SQL_INSTANCE"] == "example-project:europe-west1:${module.database.instance_name}"
    error_message = "The services look for another instance."
  }
}

run "no_environment_holds_a_url_of_the_database" {
  command = plan

  assert {
    condition     = !contains(keys(merge(local.api_environment, local.processor_environment, local.tasks_environment, local.delivery_environment)), "DATABASE_URL")
    error_message = "A URL may hold a password."
  }
}

run "delivery_attempts_agree" {
  command = plan

  assert {
    condition     = { for key, attempts in module.events.max_delivery_attempts : key => tostring(attempts) } == { uploads = local.processor_environment["PUSH_MAX_DELIVERY_ATTEMPTS"], analyses = local.processor_environment["PUSH_MAX_DELIVERY_ATTEMPTS"], renditions = local.processor_environment["PUSH_RENDITIONS_MAX_DELIVERY_ATTEMPTS"] }
    error_message = "The processor counts other attempts."
  }
}

run "lease_is_longer_than_the_job" {
  command = plan

  assert {
    condition     = tonumber(local.processor_environment["LEASE_SECONDS"]) > tonumber(local.processor_environment["JOB_DEADLINE_SECONDS"])
    error_message = "A claim ends before its job."
  }
}

run "pushes_are_answered_before_they_come_again" {
  command = plan

  assert {
    condition     = module.events.ack_deadline_seconds > module.image_processor.request_timeout_seconds
    error_message = "A message comes again while it is in work."
  }
}

run "claims_are_given_back_within_their_request" {
  command = plan

  assert {
    # After nine tenths of the lease; with a longer lease nobody would process the image.
    condition     = tonumber(local.processor_environment["LEASE_SECONDS"]) * 0.9 < module.image_processor.request_timeout_seconds && tonumber(local.processor_environment["LEASE_SECONDS"]) <= module.events.ack_deadline_seconds
    error_message = "A request ends before its claim is given back."
  }
}

run "uploads_end_with_their_request" {
  command = plan

  assert {
    condition     = tonumber(local.api_environment["UPLOAD_DEADLINE_SECONDS"]) == module.image_api.request_timeout_seconds
    error_message = "An upload outlives its row, or its row the upload."
  }
}

run "scheduler_waits_as_long_as_a_sweep_may_take" {
  command = plan

  assert {
    condition     = tonumber(trimsuffix(google_cloud_scheduler_job.sweep.attempt_deadline, "s")) >= module.image_tasks[0].request_timeout_seconds
    error_message = "A sweep that goes on counts as failed."
  }
}

run "workers_fit_into_their_instance" {
  command = plan

  assert {
    condition     = tonumber(local.processor_environment["WORKER_COUNT"]) * tonumber(local.processor_environment["WORKER_MEMORY_LIMIT_BYTES"]) / 1048576 + var.processor.concurrency * 200 + 256 <= var.processor.memory_mib
    error_message = "An instance is ended for its memory before a worker is."
  }
}

run "database_takes_the_connections_that_are_budgeted" {
  command = plan

  assert {
    condition     = module.database.max_connections == output.connection_budget.available + var.database.reserved_connections
    error_message = "The budget counts connections that the database does not take."
  }
}

run "audit_events_are_kept_as_long_in_both_places" {
  command = plan

  assert {
    condition     = tonumber(local.migration_environment["AUDIT_RETENTION_DAYS"]) == module.observability.audit_retention_days
    error_message = "The database forgets what the log keeps, or keeps what it forgets."
  }
}

run "schema_comes_before_its_keys_and_its_pruning" {
  command = plan

  assert {
    condition     = module.image_migrate.arguments == tolist(["image-manager-admin migrate\nimage-manager-admin bootstrap\nimage-manager-admin audit prune"]) && module.image_migrate.command == tolist(["sh", "-ec"])
    error_message = "The job does something before the schema is there, or goes on after a failure."
  }
}

run "migrations_own_the_schema_and_nobody_else" {
  command = plan

  assert {
    condition     = { for name, roles in module.database.user_roles : name => join(",", roles) if roles != null } == { migrator = "cloudsqlsuperuser" }
    error_message = "A service holds more than the migrations grant it."
  }
}

run "connections_stay_within_the_budget" {
  command = plan

  assert {
    condition     = terraform_data.connection_budget.input.needed <= terraform_data.connection_budget.input.available
    error_message = "The services may exhaust the database."
  }
}

run "processor_is_reached_from_inside_only" {
  command = plan

  assert {
    condition     = module.image_processor.access.ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY" && module.image_processor.access.public == false
    error_message = "The processor is reached from outside."
  }
}

run "api_is_reached_by_everybody" {
  command = plan

  assert {
    condition     = module.image_api.access.ingress == "INGRESS_TRAFFIC_ALL" && module.image_api.access.public
    error_message = "The API is not reached."
  }
}

run "both_ways_to_the_api_are_open_at_first" {
  command = plan

  variables {
    edge = { enabled = true, domains = ["images.example.com"] }
  }

  assert {
    condition     = module.image_api.access.ingress == "INGRESS_TRAFFIC_ALL" && length(module.edge) == 1
    error_message = "Nobody reaches the API until domain and certificate are ready."
  }
}

run "load_balancer_is_the_only_way_to_the_api_when_asked" {
  command = plan

  variables {
    api  = { max_instances = 1, public_base_url = "https://images.example.com" }
    edge = { enabled = true, exclusive = true, domains = ["images.example.com"] }
  }

  assert {
    condition     = module.image_api.access.ingress == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
    error_message = "Callers go round the load balancer."
  }
}

run "apis_stay_on" {
  command = plan

  assert {
    condition     = alltrue([for api in google_project_service.this : api.disable_on_destroy == false])
    error_message = "A destroy switches APIs off."
  }
}

run "no_load_balancer_by_default" {
  command = plan

  assert {
    condition     = length(module.edge) == 0
    error_message = "The load balancer is on."
  }
}

run "api_believes_one_proxy" {
  command = plan

  assert {
    condition     = local.api_environment["TRUSTED_PROXY_DEPTH"] == "1"
    error_message = "The caller's address can be forged."
  }
}

run "api_knows_the_load_balancer_by_its_address" {
  command = plan

  variables {
    edge = { enabled = true, domains = ["images.example.com"] }
  }

  override_resource {
    target          = module.edge[0].google_compute_global_address.this
    override_during = plan
    values          = { address = "203.0.113.7" }
  }

  assert {
    condition     = local.api_environment["TRUSTED_PROXY_ADDRESSES"] == jsonencode(["203.0.113.7"]) && local.api_environment["TRUSTED_PROXY_DEPTH"] == "1"
    error_message = "The caller's address is the load balancer's."
  }
}

run "api_knows_no_load_balancer_by_default" {
  command = plan

  assert {
    condition     = local.api_environment["TRUSTED_PROXY_ADDRESSES"] == "[]"
    error_message = "An address is believed that is not ours."
  }
}

run "links_stay_where_they_are_until_asked" {
  command = plan

  variables {
    edge = { enabled = true, domains = ["images.example.com"] }
  }

  assert {
    condition     = !contains(keys(local.api_environment), "PUBLIC_BASE_URL")
    error_message = "Links lead to a domain that is not there yet."
  }
}

run "api_of_the_certificates_is_on" {
  command = plan

  variables {
    edge = { enabled = true, domains = ["images.example.com"] }
  }

  assert {
    condition     = google_project_service.edge[0].service == "certificatemanager.googleapis.com" && google_project_service.edge[0].disable_on_destroy == false
    error_message = "Certificates cannot be made."
  }
}

run "load_balancer_stands_before_the_api" {
  command = plan

  variables {
    edge = { enabled = true, domains = ["images.example.com"] }
  }

  assert {
    condition     = length(module.edge) == 1
    error_message = "No load balancer."
  }
}

run "rate_limits_know_the_instances" {
  command = plan

  assert {
    condition     = local.api_environment["MAX_INSTANCES"] == tostring(var.api.max_instances)
    error_message = "Each instance takes the whole of a limit."
  }
}

run "streams_know_how_many_requests_an_instance_takes" {
  command = plan

  assert {
    condition     = local.api_environment["REQUEST_CONCURRENCY"] == tostring(var.api.concurrency)
    error_message = "Streams could take all of an instance."
  }
}

run "api_reads_the_signing_keys_from_their_secret" {
  command = plan

  assert {
    condition     = local.api_environment["TOKEN_SIGNING_SECRET"] == "projects/example-project/secrets/image-manager-token-signing-keys"
    error_message = "The API looks for its keys in another secret."
  }
}

run "api_is_told_no_key" {
  command = plan

  assert {
    condition     = !contains(keys(local.api_environment), "TOKEN_SIGNING_KEYS")
    error_message = "A key would be in the state."
  }
}

run "registration_is_closed" {
  command = plan

  assert {
    condition     = !contains(keys(local.api_environment), "OPEN_REGISTRATION_TEAM_ID")
    error_message = "Anybody may register."
  }
}

run "registration_opens_for_one_team" {
  command = plan

  variables {
    api = { max_instances = 2, open_registration_team_id = "0197f1a0-0000-7000-8000-000000000001" }
  }

  assert {
    condition     = local.api_environment["OPEN_REGISTRATION_TEAM_ID"] == "0197f1a0-0000-7000-8000-000000000001"
    error_message = "Registration does not lead into the team that was named."
  }
}

run "teams_have_no_quota_of_their_own" {
  command = plan

  assert {
    condition     = !contains(keys(local.shared_environment), "DEFAULT_QUOTA_BYTES")
    error_message = "Uploads end at a quota that nobody chose."
  }
}

run "quota_holds_for_both_services" {
  command = plan

  variables {
    storage = { default_quota_bytes = 10000000000 }
  }

  assert {
    condition     = alltrue([for told in [local.api_environment, local.processor_environment] : told["DEFAULT_QUOTA_BYTES"] == "10000000000"])
    error_message = "A service knows another quota."
  }
}

run "imports_reach_no_inner_network" {
  command = plan

  assert {
    condition     = local.api_environment["FETCH_ALLOW_ADDRESSES"] == "[]"
    error_message = "An import can fetch from inside."
  }
}

run "imports_reach_the_networks_that_are_named" {
  command = plan

  variables {
    api = { max_instances = 2, fetch_allow_addresses = ["10.1.2.0/24"] }
  }

  assert {
    condition     = local.api_environment["FETCH_ALLOW_ADDRESSES"] == "[\"10.1.2.0/24\"]"
    error_message = "Imports cannot reach the picture server inside."
  }
}

run "buckets_to_import_from_are_read_by_image_tasks_alone" {
  command = plan

  variables {
    storage = { import_buckets = ["example-old-site"] }
  }

  assert {
    condition = [for grant in google_storage_bucket_iam_member.table : "${grant.member} ${grant.role}" if grant.bucket == "example-old-site"] == [
      "serviceAccount:image-tasks@example-project.iam.gserviceaccount.com roles/storage.objectViewer",
    ]
    error_message = "A bucket to import from is read by nobody, or by another account, or may be written."
  }
}

run "imports_of_urls_fetch_nothing_from_inside" {
  command = plan

  assert {
    condition     = local.tasks_environment["FETCH_ALLOW_ADDRESSES"] == "[]"
    error_message = "An import of many URLs can fetch from inside."
  }
}

run "no_bucket_to_import_from_by_default" {
  command = plan

  assert {
    condition     = length([for key in keys(google_storage_bucket_iam_member.table) : key if strcontains(key, "import_sources")]) == 0
    error_message = "image-tasks may read a bucket that nobody has named."
  }
}

run "no_rate_limit_store_by_default" {
  command = plan

  assert {
    condition     = length(module.rate_limit_store) == 0 && length(google_project_service.rate_limit_store) == 0 && !contains(keys(local.api_environment), "RATE_LIMIT_URL")
    error_message = "The store is on."
  }
}

run "api_alone_is_told_of_the_rate_limit_store" {
  command = plan

  variables {
    rate_limit_store = { enabled = true }
  }

  assert {
    condition     = length(module.rate_limit_store) == 1 && contains(keys(local.api_environment), "RATE_LIMIT_URL") && contains(keys(local.api_environment), "RATE_LIMIT_CA_PEM") && !contains(keys(local.processor_environment), "RATE_LIMIT_URL")
    error_message = "The API does not count in the store."
  }
}

run "apis_of_the_rate_limit_store_are_on" {
  command = plan

  variables {
    rate_limit_store = { enabled = true }
  }

  assert {
    condition     = toset(keys(google_project_service.rate_limit_store)) == toset(["memorystore.googleapis.com", "networkconnectivity.googleapis.com"])
    error_message = "An API that the store needs is off."
  }
}

run "others_are_kept_from_the_rate_limit_store" {
  command = plan

  variables {
    rate_limit_store = { enabled = true }
  }

  assert {
    condition     = jsonencode(local.denied_tags) == jsonencode({ processor = ["image-processor"], tasks = ["image-tasks"], delivery = ["image-delivery"], migrate = ["image-migrate"] })
    error_message = "Others reach the store."
  }
}

run "model_is_read_where_one_is_named" {
  command = plan

  variables {
    processor = { max_instances = 2, model_path = "gs://example-models/labels/v1" }
  }

  assert {
    condition     = contains([for grant in google_storage_bucket_iam_member.table : "${grant.member} ${grant.role} ${grant.bucket}"], "serviceAccount:image-processor@example-project.iam.gserviceaccount.com roles/storage.objectViewer example-models")
    error_message = "The processor reads its model."
  }
}

run "processor_is_told_of_the_model" {
  command = plan

  variables {
    processor = { max_instances = 2, model_path = "gs://example-models/labels/v1" }
  }

  assert {
    condition     = local.processor_environment["MODEL_PATH"] == "gs://example-models/labels/v1"
    error_message = "The processor is told where its model is."
  }
}

run "no_model_is_named_unless_asked_for" {
  command = plan

  assert {
    condition     = !contains(keys(local.processor_environment), "MODEL_PATH") && length([for key in keys(google_storage_bucket_iam_member.table) : key if strcontains(key, "bucket:models")]) == 0
    error_message = "A model is asked for."
  }
}

run "no_vision_by_default" {
  command = plan

  assert {
    condition     = length(google_project_service.vision) == 0 && !contains(keys(local.api_environment), "VISION_ENABLED") && !contains(keys(local.processor_environment), "VISION_ENDPOINT")
    error_message = "Cloud Vision is on."
  }
}

run "api_of_vision_is_on" {
  command = plan

  variables {
    vision = { enabled = true }
  }

  assert {
    condition     = google_project_service.vision[0].service == "vision.googleapis.com" && !google_project_service.vision[0].disable_on_destroy
    error_message = "Cloud Vision's API is off."
  }
}

run "services_are_told_of_vision" {
  command = plan

  variables {
    vision = { enabled = true, endpoint = "eu-vision.googleapis.com" }
  }

  assert {
    condition     = local.api_environment["VISION_ENABLED"] == "true" && local.processor_environment["VISION_ENDPOINT"] == "eu-vision.googleapis.com"
    error_message = "The services do not know of Cloud Vision."
  }
}

run "embedding_model_is_read_where_one_is_named" {
  command = plan

  variables {
    processor = { max_instances = 2, embedding_model_path = "gs://example-models/embedding/v1" }
  }

  assert {
    condition     = local.processor_environment["EMBEDDING_MODEL_PATH"] == "gs://example-models/embedding/v1" && contains([for grant in google_storage_bucket_iam_member.table : "${grant.member} ${grant.role} ${grant.bucket}"], "serviceAccount:image-processor@example-project.iam.gserviceaccount.com roles/storage.objectViewer example-models")
    error_message = "The processor does not get the model that makes vectors."
  }
}

run "housekeeping_is_reached_from_inside_only" {
  command = plan

  assert {
    condition     = module.image_tasks[0].access.ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY" && module.image_tasks[0].access.public == false
    error_message = "Housekeeping is reached from outside."
  }
}

run "housekeeping_is_the_apis_other_door" {
  command = plan

  assert {
    condition     = local.tasks_environment["DATABASE_USER"] == "image-tasks@example-project.iam" && local.migration_environment["TASKS_DATABASE_USER"] == "image-tasks@example-project.iam"
    error_message = "Another program, or another login."
  }
}

run "housekeeping_knows_how_long_a_claim_holds" {
  command = plan

  assert {
    condition     = local.tasks_environment["LEASE_SECONDS"] == local.processor_environment["LEASE_SECONDS"]
    error_message = "Claims that still hold are taken back."
  }
}

run "until_image_tasks_is_there_the_previous_release_sweeps" {
  command = plan

  variables {
    images = {
      api       = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      processor = "europe-west1-docker.pkg.dev/example-project/images/image-processor@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    }
  }

  assert {
    condition = alltrue([
      google_cloud_scheduler_job.sweep.http_target[0].uri == "https://image-processor-abc-ew.a.run.app/tasks/sweep",
      google_cloud_scheduler_job.sweep.http_target[0].oidc_token[0].audience == local.processor_environment["PUSH_AUDIENCE"],
      local.processor_environment["SCHEDULER_SERVICE_ACCOUNT_EMAIL"] == "image-scheduler@example-project.iam.gserviceaccount.com",
      contains(keys(google_cloud_run_v2_service_iam_member.table), "image-scheduler roles/run.invoker service:image-processor"),
      contains(keys(google_storage_bucket_iam_member.table), "image-processor roles/storage.objectUser bucket:originals"),
      length([for key in keys(local.grants) : key if strcontains(key, "image-tasks")]) == 0,
      !contains(keys(local.migration_environment), "TASKS_DATABASE_USER"),
    ])
    error_message = "Nobody sweeps until image-tasks is there."
  }
}

run "everything_that_waits_and_runs_is_watched" {
  command = plan

  assert {
    condition = jsonencode(module.observability.watched) == jsonencode({
      max_connections = module.database.max_connections
      services        = { image-api = { max_instances = var.api.max_instances }, image-delivery = { max_instances = var.delivery.max_instances }, image-processor = { max_instances = var.processor.max_instances }, image-tasks = { max_instances = var.tasks.max_instances } }
      subscriptions   = ["image-analyses-push", "image-dead-letters-push", "image-events-push", "image-renditions-push", "image-tasks-push", "image-uploads-push"]
      schedules       = ["image-sweep", "image-audit-retention"]
      job_name        = "image-migrate"
      delivery        = { service = "image-delivery", host = "image-delivery-abc-ew.a.run.app" }

      security_policies = []
      url_maps          = []
    })
    error_message = "Something is not watched."
  }
}

run "connections_of_every_service_are_counted" {
  command = plan

  assert {
    condition     = output.connection_budget.needed == var.api.max_instances * tonumber(local.api_environment["DATABASE_POOL_SIZE"]) + var.processor.max_instances * tonumber(local.processor_environment["DATABASE_POOL_SIZE"]) + var.tasks.max_instances * tonumber(local.tasks_environment["DATABASE_POOL_SIZE"]) + var.delivery.max_instances * tonumber(local.delivery_environment["DATABASE_POOL_SIZE"])
    error_message = "A service opens connections that nobody counted."
  }
}

run "connections_are_watched_at_the_size_of_the_database" {
  command = plan

  assert {
    condition     = module.observability.watched.max_connections == module.database.max_connections
    error_message = "The alert is for a database of another size."
  }
}

run "pictures_are_loaded_by_everybody" {
  command = plan

  assert {
    condition     = module.image_delivery[0].access.ingress == "INGRESS_TRAFFIC_ALL" && module.image_delivery[0].access.public
    error_message = "A page cannot load a picture."
  }
}

run "pictures_are_loaded_by_everybody_beside_an_exclusive_load_balancer" {
  command = plan

  variables {
    api  = { max_instances = 1, public_base_url = "https://images.example.com" }
    edge = { enabled = true, exclusive = true, domains = ["images.example.com"] }
  }

  assert {
    condition     = module.image_delivery[0].access.ingress == "INGRESS_TRAFFIC_ALL" && local.delivery_environment["PUBLIC_BASE_URL"] == "https://images.example.com"
    error_message = "Addresses that pages contain stop working with the API's other way in."
  }
}

run "delivery_is_its_own_program_with_its_own_login" {
  command = plan

  assert {
    condition = alltrue([
      module.image_delivery[0].command == tolist(["python", "-m", "image_delivery"]),
      startswith(module.image_delivery[0].image, "europe-west1-docker.pkg.dev/example-project/images/image-delivery@"),
      local.delivery_environment["DATABASE_USER"] == "image-delivery@example-project.iam",
      local.migration_environment["DELIVERY_DATABASE_USER"] == "image-delivery@example-project.iam",
    ])
    error_message = "Another program, or another login."
  }
}

run "workers_of_delivery_are_confined_by_the_second_generation" {
  command = plan

  assert {
    condition     = module.image_delivery[0].execution_environment == "EXECUTION_ENVIRONMENT_GEN2"
    error_message = "Workers stand beside a secret with less to keep them from it."
  }
}

run "delivery_is_sized_for_one_worker" {
  command = plan

  assert {
    condition = jsonencode(module.image_delivery[0].size) == jsonencode({
      concurrency   = 80
      cpu           = "1"
      cpu_idle      = true
      max_instances = var.delivery.max_instances
      memory        = "1024Mi"
      min_instances = var.delivery.min_instances
    }) && local.delivery_environment["WORKER_COUNT"] == "1" && tonumber(local.delivery_environment["WORKER_MEMORY_LIMIT_BYTES"]) == 512 * 1024 * 1024
    error_message = "Instances of delivery are of another size."
  }
}

run "addresses_name_the_service_itself_by_default" {
  command = plan

  assert {
    condition     = local.api_environment["DELIVERY_URL"] == "https://image-delivery-abc-ew.a.run.app" && output.delivery_url == "https://image-delivery-abc-ew.a.run.app"
    error_message = "Addresses lead elsewhere."
  }
}

run "addresses_name_the_host_that_is_asked_for" {
  command = plan

  variables {
    delivery = { max_instances = 1, public_base_url = "https://pictures.example.com" }
  }

  assert {
    condition     = local.api_environment["DELIVERY_URL"] == "https://pictures.example.com" && output.delivery_url == "https://pictures.example.com"
    error_message = "Addresses lead elsewhere."
  }
}

run "api_signs_with_the_master_that_delivery_reads_and_the_job_writes" {
  command = plan

  assert {
    condition     = toset([for environment in [local.api_environment, local.delivery_environment, local.migration_environment] : environment["DELIVERY_MASTER_SECRET"]]) == toset(["projects/example-project/secrets/image-manager-delivery-master"])
    error_message = "Signatures are made and checked with different masters, or nobody writes the first."
  }
}

run "purged_files_are_remembered_and_found_under_the_master_that_the_job_writes" {
  command = plan

  assert {
    condition     = toset([for environment in [local.api_environment, local.tasks_environment, local.migration_environment] : environment["PURGED_HASH_MASTER_SECRET"]]) == toset(["projects/example-project/secrets/image-manager-purged-hash-master"])
    error_message = "Purged files are remembered and looked up with different masters, or nobody writes the first."
  }
}

run "no_service_that_decodes_is_told_the_master_of_purged_files" {
  command = plan

  assert {
    condition     = !contains(keys(merge(local.processor_environment, local.delivery_environment)), "PURGED_HASH_MASTER_SECRET")
    error_message = "A service that decodes pictures is told where the master of purged files is."
  }
}

run "addresses_of_uploads_are_encrypted_under_the_master_that_the_job_writes" {
  command = plan

  assert {
    condition     = toset([for environment in [local.api_environment, local.migration_environment] : environment["UPLOAD_SESSION_MASTER_SECRET"]]) == toset(["projects/example-project/secrets/image-manager-upload-session-master"])
    error_message = "The API encrypts addresses with another master than the job writes, or nobody writes the first."
  }
}

run "no_other_service_is_told_the_master_of_uploads" {
  command = plan

  assert {
    condition     = !contains(keys(merge(local.processor_environment, local.delivery_environment, local.tasks_environment)), "UPLOAD_SESSION_MASTER_SECRET")
    error_message = "A service that opens no uploads is told where the master of their addresses is."
  }
}

run "no_service_is_told_the_master_itself" {
  command = plan

  assert {
    condition     = !anytrue([for environment in [local.api_environment, local.delivery_environment, local.migration_environment] : contains(keys(environment), "DELIVERY_MASTER")])
    error_message = "The master secret would be in the state."
  }
}

run "delivery_has_no_monthly_limit_by_default" {
  command = plan

  assert {
    condition     = !contains(keys(merge(local.delivery_environment, local.tasks_environment)), "DELIVERY_BYTES_PER_MONTH")
    error_message = "Pictures stop at a limit that nobody chose."
  }
}

run "delivery_keeps_to_the_monthly_limit" {
  command = plan

  variables {
    delivery = { max_instances = 1, bytes_per_month = 1000000000000 }
  }

  assert {
    condition     = local.delivery_environment["DELIVERY_BYTES_PER_MONTH"] == "1000000000000" && local.tasks_environment["DELIVERY_BYTES_PER_MONTH"] == "1000000000000"
    error_message = "The limit is not kept, or nobody is warned of it."
  }
}

run "until_image_delivery_is_there_no_address_is_issued" {
  command = plan

  variables {
    images = {
      api       = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      processor = "europe-west1-docker.pkg.dev/example-project/images/image-processor@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      tasks     = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    }
  }

  assert {
    condition = alltrue([
      !contains(keys(local.api_environment), "DELIVERY_URL"),
      output.delivery_url == null,
      length([for key in keys(local.grants) : key if strcontains(key, "image-delivery")]) == 0,
      !contains(keys(local.migration_environment), "DELIVERY_DATABASE_USER"),
      local.migration_environment["DELIVERY_MASTER_SECRET"] == local.api_environment["DELIVERY_MASTER_SECRET"],
    ])
    error_message = "Addresses are issued that nobody answers."
  }
}

run "both_ways_to_pictures_are_open_at_first" {
  command = plan

  variables {
    edge = { enabled = true, domains = ["images.example.com"], delivery = { domain = "pictures.example.com" } }
  }

  assert {
    condition     = module.image_delivery[0].access.ingress == "INGRESS_TRAFFIC_ALL" && module.observability.watched.delivery.host == "image-delivery-abc-ew.a.run.app" && local.api_environment["DELIVERY_URL"] == "https://image-delivery-abc-ew.a.run.app"
    error_message = "Pages show no pictures until domain and certificate are ready."
  }
}

run "load_balancer_is_the_only_way_to_pictures_when_asked" {
  command = plan

  variables {
    delivery = { max_instances = 1, public_base_url = "https://pictures.example.com" }
    edge     = { enabled = true, domains = ["images.example.com"], delivery = { domain = "pictures.example.com", exclusive = true } }
  }

  assert {
    condition     = module.image_delivery[0].access.ingress == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER" && module.image_api.access.ingress == "INGRESS_TRAFFIC_ALL" && module.observability.watched.delivery.host == "pictures.example.com"
    error_message = "Pictures are loaded round the load balancer, or the API is closed too."
  }
}

run "policies_and_url_maps_of_the_load_balancer_are_watched" {
  command = plan

  variables {
    edge = { enabled = true, domains = ["images.example.com"], delivery = { domain = "pictures.example.com" } }
  }

  assert {
    condition     = module.observability.watched.security_policies == tolist(["image-manager-edge", "image-manager-links", "image-manager-delivery"]) && module.observability.watched.url_maps == tolist(["image-manager-https", "image-manager-redirect"])
    error_message = "Nobody sees whom they refuse, or their log keeps the addresses of share links."
  }
}
