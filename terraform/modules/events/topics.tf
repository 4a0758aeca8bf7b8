locals {
  topics = {
    uploads      = "image-uploads"
    analyses     = "image-analyses"
    renditions   = "image-renditions"
    events       = "image-events"
    tasks        = "image-tasks"
    dead_letters = "image-dead-letters"
  }
}

resource "google_pubsub_topic" "this" {
  #checkov:skip=CKV_GCP_83:A customer-managed key is an option (kms_key), off by default.
  for_each = local.topics

  project      = var.project_id
  name         = each.value
  labels       = var.labels
  kms_key_name = var.kms_key

  # Published messages can be replayed for a week, also to subscriptions that are created later.
  message_retention_duration = "604800s"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }
}

locals {
  # Composed rather than read from the topic, so that plans and tests know it before the topic exists.
  topic_ids = { for key, topic in google_pubsub_topic.this : key => "projects/${var.project_id}/topics/${topic.name}" }
}
