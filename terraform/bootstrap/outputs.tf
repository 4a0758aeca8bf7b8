output "github_variables" {
  description = "Variables of the workflows, which scripts/infra/bootstrap.py sets in the GitHub environment."
  value = {
    GCP_PROJECT_ID                 = var.project_id
    GCP_REGION                     = var.region
    GCP_WORKLOAD_IDENTITY_PROVIDER = module.github_federation.provider_name
    GCP_PLAN_SERVICE_ACCOUNT       = module.github_federation.account_emails["plan"]
    GCP_APPLY_SERVICE_ACCOUNT      = module.github_federation.account_emails["apply"]
    GCP_DEPLOY_SERVICE_ACCOUNT     = module.github_federation.account_emails["deploy"]
    GCP_IMAGE_REPOSITORY           = module.registry.url
    TERRAFORM_STATE_BUCKET         = google_storage_bucket.state.name
  }
}

output "image_repository" {
  description = "Prefix of the image names."
  value       = module.registry.url
}
