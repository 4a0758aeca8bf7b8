resource "google_pubsub_subscription" "uploads" {
  project = var.project_id
  name    = "image-uploads-push"
  topic   = local.topic_ids["uploads"]
  labels  = var.labels

  # Longer than the receiver works on one message, or the message comes again while the first is in work.
  ack_deadline_seconds       = var.push.ack_deadline_seconds
  message_retention_duration = "604800s"

  push_config {
    push_endpoint = var.push.endpoint

    oidc_token {
      service_account_email = var.push.service_account_email
      audience              = var.push.audience
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = local.topic_ids["dead_letters"]
    max_delivery_attempts = 10
  }

  # A month without uploads must not remove the only way in which they are processed.
  expiration_policy {
    ttl = ""
  }
}

# Nobody consumes it: it keeps what failed until a person has looked.
resource "google_pubsub_subscription" "dead_letters" {
  project = var.project_id
  name    = "image-dead-letters-pull"
  topic   = local.topic_ids["dead_letters"]
  labels  = var.labels

  ack_deadline_seconds       = 60
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = ""
  }
}
