module "database" {
  source = "../"

  project_id         = "example-project"
  region             = "europe-west1"
  private_network_id = "projects/example-project/global/networks/image-manager"

  instance = {
    name = "image-manager-k3f9"
    tier = "db-custom-1-3840"
  }

  users = {
    api      = { service_account_email = "image-api@example-project.iam.gserviceaccount.com" }
    migrator = { service_account_email = "image-migrate@example-project.iam.gserviceaccount.com", database_roles = ["cloudsqlsuperuser"] }
  }
}
