locals {
  migration_environment = merge(
    {
      CLOUD_SQL_INSTANCE           = module.database.connection_name
      DATABASE_USER                = module.database.user_names["migrator"]
      DATABASE_NAME                = module.database.database_name
      API_DATABASE_USER            = module.database.user_names["api"]
      PROCESSOR_DATABASE_USER      = module.database.user_names["processor"]
      ADMIN_KEY_SECRET             = module.secrets.secret_names["image-manager-admin-key"]
      TOKEN_SIGNING_SECRET         = module.secrets.secret_names["image-manager-token-signing-keys"]
      DELIVERY_MASTER_SECRET       = module.secrets.secret_names["image-manager-delivery-master"]
      PURGED_HASH_MASTER_SECRET    = module.secrets.secret_names["image-manager-purged-hash-master"]
      WEBHOOK_MASTER_SECRET        = module.secrets.secret_names["image-manager-webhook-master"]
      UPLOAD_SESSION_MASTER_SECRET = module.secrets.secret_names["image-manager-upload-session-master"]
      AUDIT_RETENTION_DAYS         = tostring(var.observability.audit_retention_days)
    },
    var.images.tasks == null ? {} : { TASKS_DATABASE_USER = module.database.user_names["tasks"] },
    var.images.delivery == null ? {} : { DELIVERY_DATABASE_USER = module.database.user_names["delivery"] },
  )
}

module "image_migrate" {
  source = "../modules/run_job"

  project_id          = var.project_id
  region              = var.region
  labels              = local.labels
  name                = "image-migrate"
  purpose             = "Brings the schema to the newest revision, hands over the first keys, and removes old audit events."
  deletion_protection = local.protected

  container = {
    image = var.images.api
    # The key is rotated only after a successful migration: `-e` stops at the first failure.
    command   = ["sh", "-ec"]
    arguments = ["image-manager-admin migrate\nimage-manager-admin bootstrap\nimage-manager-admin audit prune"]

    environment = local.migration_environment
  }

  run = {
    # Statements of a migration time out after 15 minutes.
    timeout_seconds = 1800
  }

  network = {
    network_id = module.network.network_id
    subnet_id  = module.network.subnet_id
    tags       = local.denied_tags.migrate
  }

  depends_on = [google_project_service.this]
}

# The whole job, not a part of it: whoever may choose arguments of the job can do anything as the schema's owner. On an
# existing schema, migration and bootstrap do nothing.
resource "google_cloud_scheduler_job" "retention" {
  project          = var.project_id
  region           = var.region
  name             = "image-audit-retention"
  description      = "Removes audit events past their retention."
  schedule         = "20 3 * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "60s"
  paused           = false

  # No retries: it runs again the next day, and a failed run triggers the job's alert.
  retry_config {
    retry_count = 0
  }

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/projects/${var.project_id}/locations/${var.region}/jobs/${module.image_migrate.name}:run"

    oauth_token {
      service_account_email = local.caller_emails["image-scheduler"]
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [google_project_service.this]
}
