module "network" {
  source = "../modules/network"

  project_id = var.project_id
  region     = var.region

  subnet = {
    cidr_range = var.network.cidr_range
  }

  depends_on = [google_project_service.this]
}
