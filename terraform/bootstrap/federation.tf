module "github_federation" {
  source = "../modules/github_federation"

  project_id = var.project_id
  repository = var.repository

  environments = {
    apply  = "infra-${var.environment}"
    deploy = var.environment
  }

  # main is deployed to dev, tags to prod.
  deploy_ref = var.environment == "dev" ? "refs/heads/main" : "refs/tags/v"

  depends_on = [google_project_service.this]
}
