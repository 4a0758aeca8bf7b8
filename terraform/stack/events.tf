resource "google_service_account" "caller" {
  for_each = {
    image-push      = "Signs the pushes of Pub/Sub."
    image-scheduler = "Signs the calls of Cloud Scheduler."
  }

  project      = var.project_id
  account_id   = each.key
  display_name = each.key
  description  = each.value
}

locals {
  # Composed rather than read from the accounts, so that plans and tests know every grant before they exist.
  caller_emails = { for key, account in google_service_account.caller : key => "${account.account_id}@${var.project_id}.iam.gserviceaccount.com" }
}

module "events" {
  source = "../modules/events"

  project_id = var.project_id
  region     = var.region
  labels     = local.labels
  kms_key    = var.kms_key

  push = {
    service_url           = module.image_processor.uri
    audience              = local.processor_audience
    service_account_email = local.caller_emails["image-push"]
    # 30 seconds longer than the processor's time limit, so that its own response always arrives first.
    ack_deadline_seconds             = local.request_seconds.processor + 30
    max_delivery_attempts            = local.max_delivery_attempts
    renditions_max_delivery_attempts = local.renditions_max_delivery_attempts
  }

  tasks = var.images.tasks == null ? null : { service_url = module.image_tasks[0].uri, audience = local.tasks_audience }

  depends_on = [google_project_service.this]
}

resource "google_cloud_scheduler_job" "sweep" {
  project          = var.project_id
  region           = var.region
  name             = "image-sweep"
  description      = "Starts the sweep, which repairs incomplete work."
  schedule         = "* * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "${local.request_seconds.tasks}s"
  paused           = false

  # The next sweep starts in a minute, so retries are pointless.
  retry_config {
    retry_count = 0
  }

  http_target {
    http_method = "POST"
    uri         = "${local.sweeper.uri}/tasks/sweep"

    oidc_token {
      service_account_email = local.caller_emails["image-scheduler"]
      audience              = local.sweeper.audience
    }
  }

  depends_on = [google_project_service.this]
}
