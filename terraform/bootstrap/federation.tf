module "github_federation" {
  source = "../modules/github_federation"

  project_id = var.project_id
  repository = var.repository

  environments = {
    apply  = "infra-${var.environment}"
    deploy = var.environment
  }

  depends_on = [google_project_service.this]
}
