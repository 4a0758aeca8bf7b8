locals {
  # Topics whose messages trigger work, and the receiver's route for each.
  push_routes = {
    uploads    = "/push/uploads"
    analyses   = "/push/analyses"
    renditions = "/push/renditions"
  }

  max_delivery_attempts = {
    uploads    = var.push.max_delivery_attempts
    analyses   = var.push.max_delivery_attempts
    renditions = var.push.renditions_max_delivery_attempts
  }
}

resource "google_pubsub_subscription" "push" {
  for_each = local.push_routes

  project = var.project_id
  name    = "${local.topics[each.key]}-push"
  topic   = local.topic_ids[each.key]
  labels  = var.labels

  # Longer than the receiver's time limit; otherwise a message would be delivered again while it is processed.
  ack_deadline_seconds       = var.push.ack_deadline_seconds
  message_retention_duration = "604800s"

  push_config {
    push_endpoint = "${var.push.service_url}${each.value}"

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
    max_delivery_attempts = local.max_delivery_attempts[each.key]
  }

  # A subscription must not expire after a month without messages.
  expiration_policy {
    ttl = ""
  }
}

locals {
  # Topics whose messages only nudge image-tasks, which finds the work in the database: a nudge that gets lost is made up
  # for by the next tick.
  nudge_routes = {
    events = "/push/events"
    tasks  = "/push/tasks"
  }
}

resource "google_pubsub_subscription" "nudge" {
  for_each = var.tasks == null ? {} : local.nudge_routes

  project = var.project_id
  name    = "${local.topics[each.key]}-push"
  topic   = local.topic_ids[each.key]
  labels  = var.labels

  # Longer than a step of image-tasks, which works for up to 45 seconds.
  ack_deadline_seconds = 60
  # No dead letters, because a receiver that asks for a later delivery uses up attempts. Old messages lapse instead.
  message_retention_duration = "3600s"

  push_config {
    push_endpoint = "${var.tasks.service_url}${each.value}"

    oidc_token {
      service_account_email = var.push.service_account_email
      audience              = var.tasks.audience
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  # A subscription must not expire after a month without messages.
  expiration_policy {
    ttl = ""
  }
}

# Replacing a subscription loses its messages.
moved {
  from = google_pubsub_subscription.uploads
  to   = google_pubsub_subscription.push["uploads"]
}

# image-tasks stores dead letters as rows. Without a dead-letter policy of its own, so that none goes in a circle; what
# it does not take comes again for a month.
resource "google_pubsub_subscription" "dead_letters_push" {
  count = var.tasks == null ? 0 : 1

  project = var.project_id
  name    = "image-dead-letters-push"
  topic   = local.topic_ids["dead_letters"]
  labels  = var.labels

  ack_deadline_seconds       = 60
  message_retention_duration = "2678400s"

  push_config {
    push_endpoint = "${var.tasks.service_url}/push/dead-letters"

    oidc_token {
      service_account_email = var.push.service_account_email
      audience              = var.tasks.audience
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  expiration_policy {
    ttl = ""
  }
}

# Nothing consumes it: it keeps failed messages for a disaster, such as the loss of the database with its rows.
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
