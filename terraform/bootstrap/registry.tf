# Images are pushed before the stack is applied for the first time, so the repository is created here.
module "registry" {
  source = "../modules/registry"

  project_id = var.project_id
  region     = var.region

  depends_on = [google_project_service.this]
}
