module "storage" {
  source = "../modules/storage"

  project_id            = var.project_id
  location              = upper(var.region)
  labels                = local.labels
  name_prefix           = coalesce(var.storage.name_prefix, var.project_id)
  direct_upload_origins = var.storage.direct_upload_origins
  force_destroy         = !local.protected
  kms_key               = var.kms_key

  retention = {
    soft_delete_days = var.storage.soft_delete_days
  }

  depends_on = [google_project_service.this]
}

# Originals only: derivatives have their own bucket, so processing never triggers itself.
resource "google_storage_notification" "originals" {
  bucket         = module.storage.bucket_names["originals"]
  topic          = module.events.topic_ids["uploads"]
  payload_format = "JSON_API_V1"
  event_types    = ["OBJECT_FINALIZE"]

  # Cloud Storage rejects a notification to a topic that it cannot publish to.
  depends_on = [google_pubsub_topic_iam_member.table]
}
