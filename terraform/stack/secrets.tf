# The migration job writes the values, which are never here.
module "secrets" {
  source = "../modules/secrets"

  project_id          = var.project_id
  region              = var.region
  labels              = local.labels
  deletion_protection = local.protected
  kms_key             = var.kms_key

  secrets = {
    image-manager-admin-key             = "The first admin key, as the migration job wrote it."
    image-manager-token-signing-keys    = "The keys that sign access tokens, as the migration job wrote them; the API reads the latest version."
    image-manager-delivery-master       = "The master secret of delivery addresses, as the migration job wrote it; the API and image-delivery read the latest version."
    image-manager-webhook-master        = "The master secret of webhooks, as the migration job wrote it; the API and image-tasks read the latest version."
    image-manager-upload-session-master = "The master secret of direct uploads, as the migration job wrote it; the API reads the latest version."
    image-manager-purged-hash-master    = "The master secret of purged files, as the migration job wrote it; the API and image-tasks read the latest version."
  }

  depends_on = [google_project_service.this]
}
