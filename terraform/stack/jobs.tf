module "image_migrate" {
  source = "../modules/run_job"

  project_id          = var.project_id
  region              = var.region
  labels              = local.labels
  name                = "image-migrate"
  purpose             = "Brings the schema to the newest revision and hands over the first admin key."
  deletion_protection = local.protected

  container = {
    image = var.images.api
    # The key is rotated only on a schema that is there; `-e` ends the run at the first failure.
    command   = ["sh", "-ec"]
    arguments = ["image-manager-admin migrate\nimage-manager-admin bootstrap"]

    environment = {
      CLOUD_SQL_INSTANCE      = module.database.connection_name
      DATABASE_USER           = module.database.user_names["migrator"]
      DATABASE_NAME           = module.database.database_name
      API_DATABASE_USER       = module.database.user_names["api"]
      PROCESSOR_DATABASE_USER = module.database.user_names["processor"]
      ADMIN_KEY_SECRET        = module.secrets.secret_names["image-manager-admin-key"]
    }
  }

  run = {
    # Statements of a migration give up after 15 minutes by themselves.
    timeout_seconds = 1800
  }

  network = {
    network_id = module.network.network_id
    subnet_id  = module.network.subnet_id
  }

  depends_on = [google_project_service.this]
}
